package definitionstest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

// listed is a registry as the clauses that are the same for all lists see it.
type listed struct{ workflow.Registry }

func (r listed) Add(tb testing.TB, name string, n int) (faas.Ref, error) {
	d, err := r.Register(tb.Context(), sample(tb, name, n))
	return d.Ref, err
}

func (r listed) Remove(tb testing.TB, name string) {
	tb.Helper()
	remove(tb, r.Registry, name)
}

func (r listed) Refs(tb testing.TB, q kit.Query) (refs []faas.Ref, next string, err error) {
	page, err := r.List(tb.Context(), workflow.DefinitionQuery(q))
	for i := range page.Definitions {
		refs = append(refs, page.Definitions[i].Ref)
	}
	return refs, page.Next, err
}

var listClauses = slices.Concat(kit.Listing[Harness]{
	Things:      "workflows",
	Open:        func(tb testing.TB, h Harness) kit.Catalog { return listed{h.open(tb)} },
	DefaultPage: workflow.DefaultPage, MaxPage: workflow.MaxPage,
}.Clauses(), []clause{
	{Name: "list/definitions-are-those-of-get", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i := range 9 {
			register(tb, r, fmt.Sprintf("ns-%d/w-%d", i%2, i%4), i)
		}
		page, err := r.List(tb.Context(), workflow.DefinitionQuery{AllVersions: true})
		if err != nil || len(page.Definitions) == 0 {
			tb.Fatalf("List: %d definitions, %v", len(page.Definitions), err)
		}
		for _, d := range page.Definitions {
			wantSame(tb, "listed", d, get(tb, r, d.Ref.String()))
		}
	}},
})
