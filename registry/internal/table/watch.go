package table

import (
	"context"
	"iter"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// Watch implements registry.Functions. A watcher costs nothing while it waits, and one
// that falls behind the history ends with ErrExhausted rather than with a gap.
func (t *Table) Watch(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
	return func(yield func(registry.Event, error) bool) {
		for {
			events, changed, err := t.since(ctx, after)
			if err != nil {
				yield(registry.Event{}, err)
				return
			}
			if changed != nil {
				select {
				case <-changed:
				case <-ctx.Done():
				}
				continue
			}
			for _, e := range events {
				if t.closed.Load() || ctx.Err() != nil {
					break
				}
				if !yield(e, nil) {
					return
				}
				after = e.Revision
			}
		}
	}
}

// since returns the changes after a revision or, when there is none, a channel that is closed
// at the next change. The events are never overwritten: the slice only grows behind them.
func (t *Table) since(ctx context.Context, after faas.Revision) (events []registry.Event, changed <-chan struct{}, err error) {
	const op = "watch"
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := faas.Revision(len(t.events))
	switch {
	case t.closed.Load():
		return nil, nil, errClosed(op)
	case ctx.Err() != nil:
		return nil, nil, faas.ContextError(ctx, "registry", op, "")
	case after > t.revision || t.revision-after > kept:
		err := faas.Errorf("registry", op, "", faas.ErrExhausted, "the changes after revision %d are not kept: here are those from %d to %d", after, t.revision-kept+1, t.revision)
		err.Next = "list again and watch from the page's revision"
		return nil, nil, err
	case after == t.revision:
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		return nil, t.changed, nil
	}
	return t.events[kept-(t.revision-after):], nil, nil
}
