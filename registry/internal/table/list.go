package table

import (
	"context"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/versionlist"
	"github.com/joinery/faas/registry"
)

// List implements registry.Functions.
func (t *Table) List(ctx context.Context, query registry.Query) (registry.Page, error) {
	const op = "list"
	if t.closed.Load() {
		return registry.Page{}, errClosed(op)
	}
	if ctx.Err() != nil {
		return registry.Page{}, faas.ContextError(ctx, "registry", op, "")
	}
	q := versionlist.Query(query)
	after, err := q.Check(registry.DefaultPage, registry.MaxPage)
	if err != nil {
		return registry.Page{}, invalid(op, err)
	}

	t.mu.RLock()
	defer t.mu.RUnlock()
	found, next := versionlist.Page(q, after, t.order,
		func(e *entry) faas.Ref { return e.ref("") },
		func(e *entry) []*version { return e.current.Load().versions },
		func(v *version) faas.Ref { return v.record.Ref })
	page := registry.Page{Next: next, Revision: t.revision}
	for _, v := range found {
		page.Functions = append(page.Functions, v.record)
	}
	return page, nil
}
