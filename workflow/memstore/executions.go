package memstore

import (
	"context"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

// Get returns an execution's record.
func (s *Store) Get(ctx context.Context, ref workflow.ExecutionRef) (workflow.Execution, error) {
	ref = ref.WithDefaults()
	if ctx.Err() != nil {
		return workflow.Execution{}, faas.ContextError(ctx, "workflow store", "get", ref.String())
	}
	sh, err := s.lock("get", ref)
	if err != nil {
		return workflow.Execution{}, err
	}
	defer sh.mu.Unlock()
	h := sh.find(ref)
	if h == nil {
		return workflow.Execution{}, errNotFound("get", ref)
	}
	return h.copyRecord(), nil
}

// List returns a page of records.
func (s *Store) List(ctx context.Context, q workflow.ExecutionQuery) (workflow.ExecutionPage, error) {
	limit, after, err := order.Parse(&q)
	if err != nil {
		return workflow.ExecutionPage{}, err
	}
	// The first of each shard that match: among them are the first of all. One more than asked
	// for says whether there is another page.
	var found []workflow.Execution
	for i := range s.shards {
		if ctx.Err() != nil {
			return workflow.ExecutionPage{}, faas.ContextError(ctx, "workflow store", "list", "")
		}
		sh := &s.shards[i]
		most := len(found) + limit + 1
		sh.mu.Lock()
		for h := range sh.index.after(after) {
			if q.Matches(&h.record) {
				found = append(found, h.copyRecord())
			}
			if len(found) == most {
				break
			}
		}
		sh.mu.Unlock()
	}
	if s.closed.Load() {
		return workflow.ExecutionPage{}, errClosed("list", "")
	}
	slices.SortFunc(found, func(a, b workflow.Execution) int { return order.Compare(order.Of(&a), order.Of(&b)) })
	page := workflow.ExecutionPage{Executions: found}
	if len(found) > limit {
		page.Executions = found[:limit:limit]
		page.Next = order.Of(&found[limit-1]).Token()
	}
	return page, nil
}

// Delete removes a closed execution.
func (s *Store) Delete(ctx context.Context, ref workflow.ExecutionRef) error {
	ref = ref.WithDefaults()
	if ref.Run == 0 {
		return faas.Errorf("workflow store", "delete", ref.String(), faas.ErrInvalidArgument, "the run is not set")
	}
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "workflow store", "delete", ref.String())
	}
	sh, err := s.lock("delete", ref)
	if err != nil {
		return err
	}
	defer sh.mu.Unlock()
	h := sh.find(ref)
	switch {
	case h == nil:
		return errNotFound("delete", ref)
	case h.record.Status.Open():
		return faas.Errorf("workflow store", "delete", ref.String(), faas.ErrConflict, "the execution is open")
	}
	sh.remove(h)
	return nil
}
