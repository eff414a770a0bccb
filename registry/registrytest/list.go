package registrytest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

// listed is a registry as the clauses that are the same for all lists see it.
type listed struct{ registry.Registry }

func (r listed) Add(tb testing.TB, name string, n int) (faas.Ref, error) {
	fn, err := r.Publish(tb.Context(), kit.Ref(tb, name), sampleSpec(n), nil)
	return fn.Ref, err
}

func (r listed) Remove(tb testing.TB, name string) {
	tb.Helper()
	remove(tb, r.Registry, name)
}

func (r listed) Refs(tb testing.TB, q kit.Query) (refs []faas.Ref, next string, err error) {
	page, err := r.List(tb.Context(), registry.Query(q))
	for _, fn := range page.Functions {
		refs = append(refs, fn.Ref)
	}
	return refs, page.Next, err
}

var listClauses = slices.Concat(kit.Listing[Harness]{
	Things:      "functions",
	Open:        func(tb testing.TB, h Harness) kit.Catalog { return listed{h.open(tb)} },
	DefaultPage: registry.DefaultPage, MaxPage: registry.MaxPage,
}.Clauses(), []clause{
	{Name: "list/records-are-those-of-get", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		for i := range 9 {
			publish(tb, r, fmt.Sprintf("ns-%d/f-%d", i%2, i%4), i)
		}
		page, err := r.List(tb.Context(), registry.Query{AllVersions: true})
		if err != nil || len(page.Functions) == 0 {
			tb.Fatalf("List: %d functions, %v", len(page.Functions), err)
		}
		for _, fn := range page.Functions {
			wantSame(tb, "listed", fn, get(tb, r, fn.Ref.String()))
		}
	}},
	{Name: "list/revision", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		if page, err := r.List(tb.Context(), registry.Query{}); err != nil || page.Revision != 0 || len(page.Functions) != 0 {
			tb.Errorf("an empty registry: %+v, %v", page, err)
		}
		fn := publish(tb, r, "a", 1)
		if now := revision(tb, r); now != fn.Revision {
			tb.Errorf("revision %d after a publish of revision %d", now, fn.Revision)
		}
		if a := setAlias(tb, r, "a@live", "1"); revision(tb, r) != a.Revision {
			tb.Errorf("revision %d after an alias of revision %d", revision(tb, r), a.Revision)
		}
	}},
})
