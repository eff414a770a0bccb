package definitionstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// walk lists every page of a query and calls between after each; it returns what was listed.
func walk(tb testing.TB, r workflow.Registry, q workflow.DefinitionQuery, between func()) (names []string) {
	tb.Helper()
	for range 10_000 {
		page, err := r.List(tb.Context(), q)
		if err != nil {
			tb.Fatalf("List(%+v): %v", q, err)
		}
		if q.Limit > 0 && len(page.Definitions) > q.Limit {
			tb.Errorf("a page of %d, more than the limit of %d", len(page.Definitions), q.Limit)
		}
		for _, d := range page.Definitions {
			names = append(names, d.Ref.String())
		}
		if page.Next == "" {
			return names
		}
		q.Token = page.Next
		if between != nil {
			between()
		}
	}
	tb.Fatalf("List(%+v) does not come to an end", q)
	return nil
}

func wantNames(tb testing.TB, what string, got []string, want string) {
	tb.Helper()
	if s := strings.Join(got, " "); s != want {
		tb.Errorf("%s:\n got %s\nwant %s", what, s, want)
	}
}

// some registers 3 versions of b/x, and one of each of the others, in no order.
func some(tb testing.TB, h Harness) workflow.Registry {
	r := h.open(tb)
	for i, name := range []string{"b/x", "a/z", "b/x", "c/a", "b/a", "a/y-1", "b/x", "b-1/m", "a/y"} {
		register(tb, r, name, i)
	}
	return r
}

var listClauses = []clause{
	{"list/order", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		wantNames(tb, "the latest", walk(tb, r, workflow.DefinitionQuery{}, nil), "a/y@1 a/y-1@1 a/z@1 b/a@1 b/x@3 b-1/m@1 c/a@1")
		wantNames(tb, "all", walk(tb, r, workflow.DefinitionQuery{AllVersions: true}, nil), "a/y@1 a/y-1@1 a/z@1 b/a@1 b/x@1 b/x@2 b/x@3 b-1/m@1 c/a@1")
	}},
	{"list/versions-by-number", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		var want []string
		for i := range 12 {
			want = append(want, register(tb, r, "a", i).Ref.String())
		}
		wantNames(tb, "versions", walk(tb, r, workflow.DefinitionQuery{AllVersions: true, Limit: 5}, nil), strings.Join(want, " "))
	}},
	{"list/definitions-are-those-of-get", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		page, err := r.List(tb.Context(), workflow.DefinitionQuery{AllVersions: true})
		if err != nil || len(page.Definitions) == 0 {
			tb.Fatalf("List: %d definitions, %v", len(page.Definitions), err)
		}
		for _, d := range page.Definitions {
			wantSame(tb, "listed", d, get(tb, r, d.Ref.String()))
		}
	}},
	{"list/filters", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		for want, q := range map[string]workflow.DefinitionQuery{
			"b/a@1 b/x@3":         {Namespace: "b"},
			"b/a@1 c/a@1":         {Name: "a"},
			"b/x@3":               {Namespace: "b", Name: "x"},
			"b/x@1 b/x@2 b/x@3":   {Namespace: "b", Name: "x", AllVersions: true},
			"":                    {Namespace: "nobody"},
			"a/y@1 a/y-1@1 a/z@1": {Namespace: "a", AllVersions: true},
			"a/y-1@1":             {Name: "y-1"},
		} {
			for _, limit := range []int{0, 1, 2} {
				q.Limit = limit
				wantNames(tb, fmt.Sprintf("%+v", q), walk(tb, r, q, nil), want)
			}
		}
	}},
	{"list/deleted-are-not-listed", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		remove(tb, r, "b/x@3")
		remove(tb, r, "a/z")
		remove(tb, r, "c/a@1")
		wantNames(tb, "the latest", walk(tb, r, workflow.DefinitionQuery{}, nil), "a/y@1 a/y-1@1 b/a@1 b/x@2 b-1/m@1")
		wantNames(tb, "all", walk(tb, r, workflow.DefinitionQuery{AllVersions: true}, nil), "a/y@1 a/y-1@1 b/a@1 b/x@1 b/x@2 b-1/m@1")
	}},
	{"list/every-page-size", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		for _, all := range []bool{false, true} {
			want := strings.Join(walk(tb, r, workflow.DefinitionQuery{AllVersions: all}, nil), " ")
			for limit := 1; limit <= 10; limit++ {
				wantNames(tb, fmt.Sprint("limit ", limit), walk(tb, r, workflow.DefinitionQuery{AllVersions: all, Limit: limit}, nil), want)
			}
		}
	}},
	{"list/stable-while-workflows-come-and-go", func(tb testing.TB, h Harness) {
		for _, all := range []bool{false, true} {
			r := h.open(tb)
			var keep []string
			for i := range 20 {
				register(tb, r, fmt.Sprintf("keep-%02d", i), i)
				keep = append(keep, fmt.Sprintf("default/keep-%02d@1", i))
				register(tb, r, fmt.Sprintf("keep-%02d-goes", i), i)
			}
			n := 0
			got := walk(tb, r, workflow.DefinitionQuery{AllVersions: all, Limit: 3}, func() {
				if n < 10 { // behind, at and before the place of the walk
					remove(tb, r, fmt.Sprintf("keep-%02d-goes", n))
					remove(tb, r, fmt.Sprintf("keep-%02d-goes", 19-n))
					register(tb, r, fmt.Sprintf("a-%02d", n), n)
					register(tb, r, fmt.Sprintf("keep-%02d-comes", n), n)
					register(tb, r, fmt.Sprintf("z-%02d", n), n)
				}
				n++
			})
			got = slices.DeleteFunc(got, func(s string) bool { return !slices.Contains(keep, s) })
			wantNames(tb, "those that stayed", got, strings.Join(keep, " "))
		}
	}},
	{"list/sizes", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		together(8, func(worker int) {
			for i := worker; i <= workflow.MaxPage; i += 8 {
				if _, err := r.Register(tb.Context(), sample(tb, fmt.Sprintf("f-%04d", i), i)); err != nil {
					tb.Errorf("Register: %v", err)
				}
			}
		})
		for limit, want := range map[int]int{0: workflow.DefaultPage, 1: 1, workflow.MaxPage: workflow.MaxPage} {
			page, err := r.List(tb.Context(), workflow.DefinitionQuery{Limit: limit})
			if err != nil || len(page.Definitions) != want || page.Next == "" {
				tb.Errorf("limit %d of %d workflows: %d, next %q, %v; want %d and a next page", limit, workflow.MaxPage+1, len(page.Definitions), page.Next, err, want)
			}
		}
		for _, limit := range []int{-1, workflow.MaxPage + 1, 1 << 30} {
			_, err := r.List(tb.Context(), workflow.DefinitionQuery{Limit: limit})
			wantClass(tb, err, faas.ErrInvalidArgument, "List with the limit %d", limit)
		}
	}},
	{"list/last-page-has-no-next", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		page, err := r.List(tb.Context(), workflow.DefinitionQuery{Limit: 7})
		if err != nil || len(page.Definitions) != 7 || page.Next != "" {
			tb.Errorf("7 of 7 workflows: %d, next %q, %v", len(page.Definitions), page.Next, err)
		}
	}},
	{"list/bad-query", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		for _, q := range []workflow.DefinitionQuery{
			{Token: "\x00 no token"}, {Token: strings.Repeat("x", 10_000)}, {Token: "../.."},
			{Namespace: "No"}, {Name: "no/no"}, {Namespace: strings.Repeat("x", 64)},
		} {
			_, err := r.List(tb.Context(), q)
			wantClass(tb, err, faas.ErrInvalidArgument, "List(%.60q)", fmt.Sprint(q))
		}
	}},
}
