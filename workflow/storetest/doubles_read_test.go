package storetest

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// changesEvents changes what Read returns.
func changesEvents(change func(*workflow.Event)) func(*double) {
	return func(d *double) {
		inner := d.read
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			es, err := inner(ctx, x, from, limit)
			for i := range es {
				change(&es[i])
			}
			return es, err
		}
	}
}

// changesRecords changes what Get returns.
func changesRecords(change func(*workflow.Execution)) func(*double) {
	return func(d *double) {
		d.get = func(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
			r, err := d.Store.Get(ctx, x)
			change(&r)
			return r, err
		}
	}
}

// changesRecovered changes what Recover yields.
func changesRecovered(change func(*workflow.Recovered)) func(*double) {
	return func(d *double) {
		inner := d.recover
		d.recover = func(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
			return func(yield func(*workflow.Recovered, error) bool) {
				for r, err := range inner(ctx) {
					if r != nil {
						change(r)
					}
					if !yield(r, err) {
						return
					}
				}
			}
		}
	}
}

var brokenReads = map[string][]func(*double){
	"read/pages": {func(d *double) { // begins at a batch
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			return d.Store.Read(ctx, x, from-from%2, limit)
		}
	}, func(d *double) { // a page ends at a batch
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			return d.Store.Read(ctx, x, from, min(limit, 4))
		}
	}},
	"read/limits": {func(d *double) {
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			return d.Store.Read(ctx, x, from, min(limit, workflow.MaxPage))
		}
	}},
	"read/not-found": {func(d *double) {
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			es, err := d.Store.Read(ctx, x, from, limit)
			if errors.Is(err, faas.ErrNotFound) {
				err = nil
			}
			return es, err
		}
	}},
	"read/result-is-the-callers": {func(d *double) { // hands out what it keeps
		kept := make(map[workflow.ExecutionRef][]workflow.Event)
		d.read = func(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
			more, err := d.Store.Read(ctx, x, uint64(len(kept[x]))+1, limit)
			kept[x] = append(kept[x], more...)
			return kept[x], err
		}
	}},
	"payload/bytes-of-a-digest": {keepsPayloads, func(d *double) { // an empty one is none
		d.payload = func(ctx context.Context, x workflow.ExecutionRef, g faas.Digest) ([]byte, error) {
			data, err := d.Store.Payload(ctx, x, g)
			if err == nil && len(data) == 0 {
				err = faas.Errorf("workflow store", "payload", "", faas.ErrNotFound, "empty")
			}
			return data, err
		}
	}},
	"payload/bound-in-events": {changesEvents(func(e *workflow.Event) { e.Payload = e.Payload.WithSource(nil) }), changesEvents(func(e *workflow.Event) {
		if e.Failure != nil {
			e.Failure.Details = e.Failure.Details.WithSource(nil)
		}
	}), changesRecovered(func(r *workflow.Recovered) {
		for i := range r.Events {
			r.Events[i].Payload = r.Events[i].Payload.WithSource(nil)
		}
	})},
	"payload/bound-in-records": {changesRecords(func(x *workflow.Execution) { x.Output = x.Output.WithSource(nil) })},
	"get/every-field": {changesRecords(func(x *workflow.Execution) { x.Deadline = x.Keep }), changesRecords(func(x *workflow.Execution) {
		if data, ok := x.Output.InHand(); ok { // white space goes
			x.Output = workflow.Bytes(x.Output.MediaType(), []byte(strings.Join(strings.Fields(string(data)), "")))
		}
	}), changesRecords(func(x *workflow.Execution) { x.Parent = nil })},
	"get/latest-run": {func(d *double) { // the latest as text
		d.get = func(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
			if x.Run == 0 && x.ID == "a" {
				x.Run = 2
			}
			return d.Store.Get(ctx, x)
		}
	}},
	"get/not-found": {func(d *double) { // capitals are all the same
		d.get = func(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
			x.ID = strings.ToLower(x.ID)
			return d.Store.Get(ctx, x)
		}
	}, func(d *double) { // so are runs
		d.get = func(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
			x.Run = 0
			return d.Store.Get(ctx, x)
		}
	}},
	"get/result-is-the-callers": {func(d *double) {
		kept := make(map[workflow.ExecutionRef]workflow.Execution)
		d.get = func(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
			if r, ok := kept[x]; ok {
				return r, nil
			}
			r, err := d.Store.Get(ctx, x)
			kept[x] = r
			return r, err
		}
	}},
	"recover/every-open-one-once": {func(d *double) { // twice
		d.recover = func(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
			return func(yield func(*workflow.Recovered, error) bool) {
				for r, err := range d.Store.Recover(ctx) {
					for range 2 {
						if !yield(r, err) {
							return
						}
					}
				}
			}
		}
	}, func(d *double) { // the suspended ones are left out
		d.recover = func(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
			return func(yield func(*workflow.Recovered, error) bool) {
				for r, err := range d.Store.Recover(ctx) {
					if r.Record.Status != workflow.StatusSuspended && !yield(r, err) {
						return
					}
				}
			}
		}
	}, changesRecovered(func(r *workflow.Recovered) { r.First = workflow.Event{} }), changesRecovered(func(r *workflow.Recovered) { r.Last-- })},
	"recover/long-log": {changesRecovered(func(r *workflow.Recovered) { r.Events = r.Events[:min(len(r.Events), workflow.MaxPage)] })},
	"recover/from-the-latest-snapshot": {rewrites(func(b *workflow.Batch) { // the first one stays
		if b.After > 0 {
			b.Snapshot, b.SnapshotAt = nil, 0
		}
	}), changesRecovered(func(r *workflow.Recovered) {
		if r.SnapshotAt > 0 {
			r.Events = append([]workflow.Event{r.First}, r.Events...)
		}
	})},
	"recover/not-what-closed": {func(d *double) {
		d.recover = func(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
			return func(yield func(*workflow.Recovered, error) bool) {
				page, err := d.Store.List(ctx, workflow.ExecutionQuery{})
				for _, x := range page.Executions {
					if !yield(&workflow.Recovered{Record: x}, err) {
						return
					}
				}
			}
		}
	}},
	"recover/the-loop-may-append": {func(d *double) {
		looping := false
		d.recover = func(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
			return func(yield func(*workflow.Recovered, error) bool) {
				looping = true
				defer func() { looping = false }()
				d.Store.Recover(ctx)(yield)
			}
		}
		d.append = func(ctx context.Context, b *workflow.Batch) error {
			if looping {
				return unavailable()
			}
			return d.Store.Append(ctx, b)
		}
	}},
	"recover/the-loop-may-end": {func(d *double) {
		d.recover = func(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
			return d.Store.Recover(context.WithoutCancel(ctx))
		}
	}},
	"trim/anywhere": {rewrites(func(b *workflow.Batch) { b.TrimBefore = 0 }), rewrites(func(b *workflow.Batch) { // batches are dropped whole
		if b.TrimBefore > 1 && b.TrimBefore < b.SnapshotAt+1 {
			b.TrimBefore++
		}
	})},
	"trim/the-log-goes-on": {hides(faas.ErrConflict), rewrites(func(b *workflow.Batch) { b.TrimBefore = 0 })},
	"trim/from-the-start": {rewrites(func(b *workflow.Batch) {
		if b.After == 0 {
			b.TrimBefore = 0
		}
	})},
	"trim/payloads-that-nothing-holds": {keepsPayloads, losesPayload("in the snapshot"), losesPayload("in the snapshot as JSON"), losesPayload("kept failure"), losesPayload("in the record"), losesPayload("input")},
}

// losesPayload forgets one payload when a log is trimmed.
func losesPayload(text string) func(*double) {
	return func(d *double) {
		d.payload = func(ctx context.Context, x workflow.ExecutionRef, g faas.Digest) ([]byte, error) {
			if g == digest([]byte(text)) {
				return nil, faas.Errorf("workflow store", "payload", "", faas.ErrNotFound, "trimmed")
			}
			return d.Store.Payload(ctx, x, g)
		}
	}
}
