package registrytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// walk lists every page of a query and calls between after each; it returns what was listed.
func walk(tb testing.TB, r registry.Registry, q registry.Query, between func()) (names []string) {
	tb.Helper()
	for range 10_000 {
		page, err := r.List(tb.Context(), q)
		if err != nil {
			tb.Fatalf("List(%+v): %v", q, err)
		}
		if limit := max(q.Limit, 0); limit > 0 && len(page.Functions) > limit {
			tb.Errorf("a page of %d, more than the limit of %d", len(page.Functions), limit)
		}
		for _, fn := range page.Functions {
			names = append(names, fn.Ref.String())
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
func some(tb testing.TB, h Harness) registry.Registry {
	r := h.open(tb)
	for _, name := range []string{"b/x", "a/z", "b/x", "c/a", "b/a", "a/y-1", "b/x", "b-1/m", "a/y"} {
		publish(tb, r, name, 1)
	}
	return r
}

var listClauses = []clause[Harness]{
	{"list/order", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		wantNames(tb, "the latest", walk(tb, r, registry.Query{}, nil), "a/y@1 a/y-1@1 a/z@1 b/a@1 b/x@3 b-1/m@1 c/a@1")
		wantNames(tb, "all", walk(tb, r, registry.Query{AllVersions: true}, nil), "a/y@1 a/y-1@1 a/z@1 b/a@1 b/x@1 b/x@2 b/x@3 b-1/m@1 c/a@1")
	}},
	{"list/versions-by-number", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		var want []string
		for i := range 12 {
			want = append(want, publish(tb, r, "a", i).Ref.String())
		}
		wantNames(tb, "versions", walk(tb, r, registry.Query{AllVersions: true, Limit: 5}, nil), strings.Join(want, " "))
	}},
	{"list/records-are-those-of-get", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		page, err := r.List(tb.Context(), registry.Query{AllVersions: true})
		if err != nil || len(page.Functions) == 0 {
			tb.Fatalf("List: %d functions, %v", len(page.Functions), err)
		}
		for _, fn := range page.Functions {
			wantSame(tb, "listed", fn, get(tb, r, fn.Ref.String()))
		}
	}},
	{"list/filters", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		for want, q := range map[string]registry.Query{
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
		wantNames(tb, "the latest", walk(tb, r, registry.Query{}, nil), "a/y@1 a/y-1@1 b/a@1 b/x@2 b-1/m@1")
		wantNames(tb, "all", walk(tb, r, registry.Query{AllVersions: true}, nil), "a/y@1 a/y-1@1 b/a@1 b/x@1 b/x@2 b-1/m@1")
	}},
	{"list/every-page-size", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		for _, all := range []bool{false, true} {
			want := strings.Join(walk(tb, r, registry.Query{AllVersions: all}, nil), " ")
			for limit := 1; limit <= 10; limit++ {
				wantNames(tb, fmt.Sprint("limit ", limit), walk(tb, r, registry.Query{AllVersions: all, Limit: limit}, nil), want)
			}
		}
	}},
	{"list/stable-while-functions-come-and-go", func(tb testing.TB, h Harness) {
		for _, all := range []bool{false, true} {
			r := h.open(tb)
			var keep []string
			for i := range 20 {
				publish(tb, r, fmt.Sprintf("keep-%02d", i), i)
				keep = append(keep, fmt.Sprintf("default/keep-%02d@1", i))
				publish(tb, r, fmt.Sprintf("keep-%02d-goes", i), i)
			}
			n := 0
			got := walk(tb, r, registry.Query{AllVersions: all, Limit: 3}, func() {
				if n < 10 { // behind, at and before the place of the walk
					remove(tb, r, fmt.Sprintf("keep-%02d-goes", n))
					remove(tb, r, fmt.Sprintf("keep-%02d-goes", 19-n))
					publish(tb, r, fmt.Sprintf("a-%02d", n), n)
					publish(tb, r, fmt.Sprintf("keep-%02d-comes", n), n)
					publish(tb, r, fmt.Sprintf("z-%02d", n), n)
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
			for i := worker; i <= registry.MaxPage; i += 8 {
				if _, err := r.Publish(tb.Context(), faas.Ref{Name: fmt.Sprintf("f-%04d", i)}, sampleSpec(i), nil); err != nil {
					tb.Errorf("Publish: %v", err)
				}
			}
		})
		for limit, want := range map[int]int{0: registry.DefaultPage, 1: 1, registry.MaxPage: registry.MaxPage} {
			page, err := r.List(tb.Context(), registry.Query{Limit: limit})
			if err != nil || len(page.Functions) != want || page.Next == "" {
				tb.Errorf("limit %d of %d functions: %d, next %q, %v; want %d and a next page", limit, registry.MaxPage+1, len(page.Functions), page.Next, err, want)
			}
		}
		for _, limit := range []int{-1, registry.MaxPage + 1, 1 << 30} {
			_, err := r.List(tb.Context(), registry.Query{Limit: limit})
			wantClass(tb, err, faas.ErrInvalidArgument, "List with the limit %d", limit)
		}
	}},
	{"list/last-page-has-no-next", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		page, err := r.List(tb.Context(), registry.Query{Limit: 7})
		if err != nil || len(page.Functions) != 7 || page.Next != "" {
			tb.Errorf("7 of 7 functions: %d, next %q, %v", len(page.Functions), page.Next, err)
		}
	}},
	{"list/bad-query", func(tb testing.TB, h Harness) {
		r := some(tb, h)
		for _, q := range []registry.Query{
			{Token: "\x00 no token"}, {Token: strings.Repeat("x", 10_000)}, {Token: "../.."},
			{Namespace: "No"}, {Name: "no/no"}, {Namespace: strings.Repeat("x", 64)},
		} {
			_, err := r.List(tb.Context(), q)
			wantClass(tb, err, faas.ErrInvalidArgument, "List(%.60q)", fmt.Sprint(q))
		}
	}},
	{"list/revision", func(tb testing.TB, h Harness) {
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
}
