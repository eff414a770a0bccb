package catalog

import (
	"context"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/versionlist"
	"github.com/joinery/faas/workflow"
)

// List implements workflow.Registry.
func (c *Catalog) List(ctx context.Context, query workflow.DefinitionQuery) (workflow.DefinitionPage, error) {
	const op = "list"
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.usable(ctx, op); err != nil {
		return workflow.DefinitionPage{}, err
	}
	q := versionlist.Query(query)
	after, err := q.Check(workflow.DefaultPage, workflow.MaxPage)
	if err != nil {
		return workflow.DefinitionPage{}, invalid(op, err)
	}
	found, next := versionlist.Page(q, after, c.order,
		func(f *flow) faas.Ref { return faas.Ref{Namespace: f.namespace, Name: f.name} },
		func(f *flow) []version { return f.versions },
		func(v version) faas.Ref { return v.definition.Ref })
	page := workflow.DefinitionPage{Next: next}
	for _, v := range found {
		page.Definitions = append(page.Definitions, v.definition)
	}
	return page, nil
}
