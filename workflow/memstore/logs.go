package memstore

import (
	"context"
	"iter"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

// Append commits a batch.
func (s *Store) Append(ctx context.Context, b *workflow.Batch) error {
	if err := b.Validate(); err != nil {
		return err
	}
	ref := b.Execution.WithDefaults()
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "workflow store", "append", ref.String())
	}
	sh, err := s.lock("append", ref)
	if err != nil {
		return err
	}
	defer sh.mu.Unlock()
	h := sh.find(ref)
	switch {
	case b.After == 0 && h != nil:
		return faas.Errorf("workflow store", "append", ref.String(), faas.ErrConflict, "the execution exists")
	case b.After == 0:
		h = new(history)
	case h == nil:
		return errNotFound("append", ref)
	case h.last != b.After:
		return faas.Errorf("workflow store", "append", ref.String(), faas.ErrConflict, "the log ends at %d, not at %d", h.last, b.After)
	}
	snapshotAt := h.snapshotAt
	if b.Snapshot != nil {
		snapshotAt = b.SnapshotAt
	}
	if b.TrimBefore > snapshotAt+1 {
		return faas.Errorf("workflow store", "append", ref.String(), faas.ErrInvalidArgument, "trim before %d is after the snapshot at %d", b.TrimBefore, snapshotAt)
	}
	if b.After != 0 && b.Record != nil && !b.Record.Started.Equal(h.record.Started) {
		return faas.Errorf("workflow store", "append", ref.String(), faas.ErrInvalidArgument, "the record has another start")
	}
	open := b.After == 0 || h.record.Status.Open()
	h.apply(s, b)
	if b.After == 0 {
		sh.insert(h)
	}
	if s.maxClosed > 0 && open && !h.record.Status.Open() {
		sh.bound(h, s.maxClosed)
	}
	return nil
}

// Read returns events of a log.
func (s *Store) Read(ctx context.Context, ref workflow.ExecutionRef, from uint64, limit int) ([]workflow.Event, error) {
	ref = ref.WithDefaults()
	limit, err := order.Limit("read", limit)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, "workflow store", "read", ref.String())
	}
	sh, err := s.lock("read", ref)
	if err != nil {
		return nil, err
	}
	defer sh.mu.Unlock()
	h := sh.find(ref)
	if h == nil {
		return nil, errNotFound("read", ref)
	}
	events := h.from(from)
	return slices.Clone(events[:min(len(events), limit)]), nil
}

// Payload returns the bytes of a payload.
func (s *Store) Payload(ctx context.Context, ref workflow.ExecutionRef, d faas.Digest) ([]byte, error) {
	ref = ref.WithDefaults()
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, "workflow store", "payload", ref.String())
	}
	sh, err := s.lock("payload", ref)
	if err != nil {
		return nil, err
	}
	defer sh.mu.Unlock()
	h := sh.find(ref)
	if h == nil {
		return nil, errNotFound("payload", ref)
	}
	data, ok := h.payloads[d]
	if !ok {
		return nil, faas.Errorf("workflow store", "payload", ref.String(), faas.ErrNotFound, "there is no payload %s", d)
	}
	return data, nil
}

// Recover yields every open execution, those of a shard oldest start first.
func (s *Store) Recover(ctx context.Context) iter.Seq2[*workflow.Recovered, error] {
	return func(yield func(*workflow.Recovered, error) bool) {
		for i := range s.shards {
			sh := &s.shards[i]
			sh.mu.Lock()
			open := make([]*history, 0, len(sh.index.runs))
			for _, h := range sh.index.runs {
				if h.record.Status.Open() {
					open = append(open, h)
				}
			}
			sh.mu.Unlock()
			for _, h := range open {
				r, err := s.recovered(ctx, sh, h)
				if r == nil && err == nil {
					continue
				}
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
		if s.closed.Load() {
			yield(nil, errClosed("recover", ""))
		}
	}
}

// recovered returns nothing if the execution closed or went in the meantime.
func (s *Store) recovered(ctx context.Context, sh *shard, h *history) (*workflow.Recovered, error) {
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, "workflow store", "recover", "")
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s.closed.Load() || h.gone || !h.record.Status.Open() {
		return nil, nil
	}
	return &workflow.Recovered{
		Record: h.copyRecord(), Snapshot: h.snapshot, SnapshotAt: h.snapshotAt, Last: h.last,
		Events: slices.Clone(h.from(h.snapshotAt + 1)), First: h.events[0],
	}, nil
}
