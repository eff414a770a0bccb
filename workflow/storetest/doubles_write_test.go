package storetest

import (
	"context"
	"errors"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// hides takes errors of a class from Append.
func hides(class error) func(*double) {
	return func(d *double) {
		inner := d.append
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			if err := inner(ctx, b); !errors.Is(err, class) {
				return err
			}
			return nil
		}
	}
}

// rewrites changes a copy of each batch before it is appended.
func rewrites(change func(*workflow.Batch)) func(*double) {
	return func(d *double) {
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			c := *b
			change(&c)
			return d.Store.Append(ctx, &c)
		}
	}
}

// keepsPayloads keeps every payload that came, whatever came of its batch and execution.
func keepsPayloads(d *double) {
	all := make(map[faas.Digest][]byte)
	d.append = func(ctx context.Context, b *workflow.Batch) error {
		d.mu.Lock()
		for g, data := range b.Payloads {
			all[g] = slices.Clone(data)
		}
		d.mu.Unlock()
		return d.Store.Append(ctx, b)
	}
	d.payload = func(ctx context.Context, x workflow.ExecutionRef, g faas.Digest) ([]byte, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if data, ok := all[g]; ok {
			return data, nil
		}
		return d.Store.Payload(ctx, x, g)
	}
}

// keepsTheBatch keeps the caller's slice instead of a copy.
func keepsTheBatch(d *double) {
	logs := make(map[workflow.ExecutionRef][][]workflow.Event)
	d.append = func(ctx context.Context, b *workflow.Batch) error {
		logs[b.Execution] = append(logs[b.Execution], b.Events)
		return d.Store.Append(ctx, b)
	}
	d.read = func(_ context.Context, x workflow.ExecutionRef, _ uint64, _ int) ([]workflow.Event, error) {
		return slices.Concat(logs[x]...), nil
	}
}

// reclasses gives errors of a class of Append another class.
func reclasses(from, to error) func(*double) {
	return func(d *double) {
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			err := d.Store.Append(ctx, b)
			if errors.Is(err, from) {
				return faas.Errorf("workflow store", "append", "", to, "%s", err.Error())
			}
			return err
		}
	}
}

var brokenWrites = map[string][]func(*double){
	"append/creates-and-extends": {func(d *double) { // the last event is missing
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			es, err := d.Store.Read(ctx, x, from, limit)
			return es[:max(len(es)-1, 0)], err
		}
	}, func(d *double) { // batches are in the wrong order
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			es, err := d.Store.Read(ctx, x, from, limit)
			slices.Reverse(es)
			return es, err
		}
	}},
	"append/every-field-comes-back": {changesEvents(func(e *workflow.Event) { e.Rule = 0 }), changesEvents(func(e *workflow.Event) { e.Undone = nil }),
		changesEvents(func(e *workflow.Event) {
			if data, ok := e.Payload.InHand(); ok && len(data) == 0 {
				e.Payload = workflow.Payload{}
			}
		})},
	"append/replaces-the-record-or-keeps-it": {rewrites(func(b *workflow.Batch) { // the first record stays
		if b.After > 0 {
			b.Record = nil
		}
	}), func(d *double) { // it goes with a batch that has none
		gone := make(map[workflow.ExecutionRef]bool)
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			gone[b.Execution] = b.Record == nil
			return d.Store.Append(ctx, b)
		}
		d.get = func(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
			if gone[x] {
				return workflow.Execution{Ref: x}, nil
			}
			return d.Store.Get(ctx, x)
		}
	}},
	"append/default-namespace": {func(d *double) {
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			if x.Namespace == "" {
				x.Namespace = "none"
			}
			return d.Store.Read(ctx, x, from, limit)
		}
	}},
	"append/batch-is-the-callers-again": {keepsTheBatch},
	"append/runs-of-one-id": {func(d *double) { // the latest is the one that came last
		var last workflow.ExecutionRef
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			if b.Execution.Run == 2 || last.Run == 0 {
				last = b.Execution
			}
			return d.Store.Append(ctx, b)
		}
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			if x.Run == 0 {
				x = last
			}
			return d.Store.Read(ctx, x, from, limit)
		}
	}},
	"append/reopens-a-closed-one": {func(d *double) {
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			if x, err := d.Store.Get(ctx, b.Execution); err == nil && !x.Status.Open() {
				return faas.Errorf("workflow store", "append", "", faas.ErrConflict, "it has closed")
			}
			return d.Store.Append(ctx, b)
		}
	}},
	"append/conflict-when-it-exists":              {hides(faas.ErrConflict), reclasses(faas.ErrConflict, faas.ErrAlreadyExists)},
	"append/conflict-when-the-log-ends-elsewhere": {hides(faas.ErrConflict), reclasses(faas.ErrConflict, faas.ErrInvalidArgument)},
	"append/not-found":                            {hides(faas.ErrNotFound), reclasses(faas.ErrNotFound, faas.ErrConflict)},
	"append/invalid": {hides(faas.ErrInvalidArgument), rewrites(func(b *workflow.Batch) { // numbers are its own business
		for i := range b.Events {
			b.Events[i].Seq = b.After + 1 + uint64(i)
		}
	})},
	"append/refused-changes-nothing": {keepsPayloads, func(d *double) { // the record is written first
		records := make(map[workflow.ExecutionRef]workflow.Execution)
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			if b.Record != nil {
				records[b.Execution] = *b.Record
			}
			return d.Store.Append(ctx, b)
		}
		d.get = func(_ context.Context, x workflow.ExecutionRef) (workflow.Execution, error) { return records[x], nil }
	}},
	"append/cancelled": {func(d *double) {
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			return d.Store.Append(context.WithoutCancel(ctx), b)
		}
	}},
	"delete/everything-of-it": {keepsPayloads, func(d *double) { // nothing goes
		d.delete = func(context.Context, workflow.ExecutionRef) error { return nil }
	}, func(d *double) { // others go too
		d.delete = func(ctx context.Context, x workflow.ExecutionRef) error {
			_ = d.Store.Delete(ctx, ref(x.ID+"b"))
			return d.Store.Delete(ctx, x)
		}
	}},
	"delete/not-an-open-one": {func(d *double) {
		d.delete = func(ctx context.Context, x workflow.ExecutionRef) error {
			if err := d.Store.Delete(ctx, x); !errors.Is(err, faas.ErrConflict) {
				return err
			}
			return nil
		}
	}},
	"delete/refusals": {func(d *double) { // without a run, the first
		d.delete = func(ctx context.Context, x workflow.ExecutionRef) error {
			x.Run = max(x.Run, 1)
			return d.Store.Delete(ctx, x)
		}
	}, func(d *double) { // what is not there is deleted
		d.delete = func(ctx context.Context, x workflow.ExecutionRef) error {
			if err := d.Store.Delete(ctx, x); !errors.Is(err, faas.ErrNotFound) {
				return err
			}
			return nil
		}
	}},
	"delete/the-name-is-free-again": {keepsPayloads, func(d *double) { // it is taken for ever
		gone := make(map[workflow.ExecutionRef]bool)
		d.delete = func(ctx context.Context, x workflow.ExecutionRef) error {
			gone[x] = true
			return d.Store.Delete(ctx, x)
		}
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			if gone[b.Execution] {
				return faas.Errorf("workflow store", "append", "", faas.ErrConflict, "it exists")
			}
			return d.Store.Append(ctx, b)
		}
	}},
	"delete/one-of-the-runs": {func(d *double) { // the earlier ones go too
		d.delete = func(ctx context.Context, x workflow.ExecutionRef) error {
			for y := x; y.Run > 1; {
				y.Run--
				_ = d.Store.Delete(ctx, y)
			}
			return d.Store.Delete(ctx, x)
		}
	}},
	"many/one-winner":  {hides(faas.ErrConflict)},
	"many/one-creates": {hides(faas.ErrConflict)},
	"many/lives-side-by-side": {func(d *double) {
		d.delete = func(context.Context, workflow.ExecutionRef) error { return nil }
	}, func(d *double) { // a list begins again at each page
		d.list = func(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
			q.Limit = 0
			page, err := d.Store.List(ctx, q)
			page.Executions = append(page.Executions, page.Executions...)
			return page, err
		}
	}},
	"lifecycle/close-twice": {func(d *double) {
		closed := false
		d.close = func() error {
			if closed {
				return faas.Errorf("workflow store", "close", "", faas.ErrClosed, "again")
			}
			closed = true
			return d.Store.Close()
		}
	}},
	"lifecycle/after-close": {reclasses(faas.ErrClosed, faas.ErrUnavailable), func(d *double) {
		d.list = func(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
			page, err := d.Store.List(ctx, q)
			if errors.Is(err, faas.ErrClosed) {
				err = nil
			}
			return page, err
		}
	}},
	"lifecycle/close-while-busy": {reclasses(faas.ErrClosed, faas.ErrInternal)},
}
