package storetest

import (
	"context"
	"iter"
	"sync"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/memstore"
)

// double is a correct store of which single methods are replaced.
type double struct {
	workflow.Store
	mu      sync.Mutex // for what a spoiler remembers
	append  func(context.Context, *workflow.Batch) error
	read    func(context.Context, workflow.ExecutionRef, uint64, int) ([]workflow.Event, error)
	payload func(context.Context, workflow.ExecutionRef, faas.Digest) ([]byte, error)
	recover func(context.Context) iter.Seq2[*workflow.Recovered, error]
	get     func(context.Context, workflow.ExecutionRef) (workflow.Execution, error)
	list    func(context.Context, workflow.ExecutionQuery) (workflow.ExecutionPage, error)
	delete  func(context.Context, workflow.ExecutionRef) error
	close   func() error
}

func (d *double) Append(ctx context.Context, b *workflow.Batch) error { return d.append(ctx, b) }
func (d *double) Read(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
	return d.read(ctx, x, from, limit)
}
func (d *double) Payload(ctx context.Context, x workflow.ExecutionRef, g faas.Digest) ([]byte, error) {
	return d.payload(ctx, x, g)
}
func (d *double) Recover(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
	return d.recover(ctx)
}
func (d *double) Get(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
	return d.get(ctx, x)
}
func (d *double) List(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
	return d.list(ctx, q)
}
func (d *double) Delete(ctx context.Context, x workflow.ExecutionRef) error { return d.delete(ctx, x) }
func (d *double) Close() error                                              { return d.close() }

func doubleOf(s workflow.Store) *double {
	return &double{
		Store: s, append: s.Append, read: s.Read, payload: s.Payload, recover: s.Recover,
		get: s.Get, list: s.List, delete: s.Delete, close: s.Close,
	}
}

// device plays a disk that outlives the stores opened over it, can fail once and be damaged.
type device struct {
	failNext bool
	damaged  workflow.ExecutionRef
}

// opened is a correct store over a device.
type opened struct {
	*memstore.Store
	dev      *device
	mu       sync.Mutex
	closed   bool
	poisoned bool
}

func unavailable() error {
	return faas.Errorf("workflow store", "append", "", faas.ErrUnavailable, "poisoned")
}

func corrupt(x workflow.ExecutionRef) error {
	return faas.Errorf("workflow store", "read", x.String(), faas.ErrCorrupt, "file 1, offset 2")
}

func (o *opened) state(writes bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return faas.Errorf("workflow store", "call", "", faas.ErrClosed, "closed")
	case writes && (o.poisoned || o.dev.failNext):
		o.poisoned, o.dev.failNext = true, false
		return unavailable()
	}
	return nil
}

func (o *opened) Append(ctx context.Context, b *workflow.Batch) error {
	if err := o.state(true); err != nil {
		return err
	}
	return o.Store.Append(ctx, b)
}

func (o *opened) Delete(ctx context.Context, x workflow.ExecutionRef) error {
	if err := o.state(true); err != nil {
		return err
	}
	return o.Store.Delete(ctx, x)
}

func (o *opened) Read(ctx context.Context, x workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
	if err := o.state(false); err != nil {
		return nil, err
	}
	if x == o.dev.damaged {
		return nil, corrupt(x)
	}
	return o.Store.Read(ctx, x, from, limit)
}

func (o *opened) Get(ctx context.Context, x workflow.ExecutionRef) (workflow.Execution, error) {
	if err := o.state(false); err != nil {
		return workflow.Execution{}, err
	}
	return o.Store.Get(ctx, x)
}

func (o *opened) Recover(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
	return func(yield func(*workflow.Recovered, error) bool) {
		if err := o.state(false); err != nil {
			yield(nil, err)
			return
		}
		for r, err := range o.Store.Recover(ctx) {
			if err == nil && r.Record.Ref == o.dev.damaged {
				r, err = &workflow.Recovered{Record: r.Record}, corrupt(r.Record.Ref)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (o *opened) List(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
	if err := o.state(false); err != nil {
		return workflow.ExecutionPage{}, err
	}
	return o.Store.List(ctx, q)
}

func (o *opened) Payload(ctx context.Context, x workflow.ExecutionRef, d faas.Digest) ([]byte, error) {
	if err := o.state(false); err != nil {
		return nil, err
	}
	return o.Store.Payload(ctx, x, d)
}

func (o *opened) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return nil
}

// durable is a harness of correct stores; spoil changes each store that was opened after the first.
func durable(spoil func(*double)) Harness {
	first := func(tb testing.TB) *double {
		return doubleOf(&opened{Store: memstore.New(nil), dev: new(device)})
	}
	reopen := func(tb testing.TB, s workflow.Store) *double {
		if err := s.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
		o := s.(*double).Store.(*opened)
		return doubleOf(&opened{Store: o.Store, dev: o.dev})
	}
	return Harness{
		Open: func(tb testing.TB) workflow.Store { return first(tb) },
		Reopen: func(tb testing.TB, s workflow.Store) workflow.Store {
			d := reopen(tb, s)
			spoil(d)
			return d
		},
		Fail: func(tb testing.TB, s workflow.Store) {
			s.(*double).Store.(*opened).dev.failNext = true
			spoil(s.(*double))
		},
		Corrupt: func(tb testing.TB, s workflow.Store, x workflow.ExecutionRef) workflow.Store {
			d := reopen(tb, s)
			d.Store.(*opened).dev.damaged = x
			spoil(d)
			return d
		},
	}
}
