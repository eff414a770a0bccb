package kit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/faas"
)

// Query is what the clauses about lists ask for: the type that a contract has for it converts to this one.
type Query struct {
	Namespace, Name string
	AllVersions     bool
	Limit           int
	Token           string
}

// Catalog is a registry of things with versions, as the clauses about lists see it.
type Catalog interface {
	// Add adds the next version of a name, which tells n, and returns its reference.
	Add(tb testing.TB, name string, n int) (faas.Ref, error)
	// Remove deletes a version, or a name with all its versions, which must work.
	Remove(tb testing.TB, name string)
	// Refs lists one page.
	Refs(tb testing.TB, q Query) (page []faas.Ref, next string, err error)
}

// Walk lists every page of a query and calls between, if not nil, after each; it returns what was listed.
func Walk(tb testing.TB, c Catalog, q Query, between func()) (names []string) {
	tb.Helper()
	for range 10_000 {
		page, next, err := c.Refs(tb, q)
		if err != nil {
			tb.Fatalf("List(%+v): %v", q, err)
		}
		if q.Limit > 0 && len(page) > q.Limit {
			tb.Errorf("a page of %d, more than the limit of %d", len(page), q.Limit)
		}
		for _, ref := range page {
			names = append(names, ref.String())
		}
		if next == "" {
			return names
		}
		q.Token = next
		if between != nil {
			between()
		}
	}
	tb.Fatalf("List(%+v) does not come to an end", q)
	return nil
}

// Listing is a contract's List: what its clauses need.
type Listing[H any] struct {
	// Things names what is listed, for names and messages: "functions".
	Things string
	// Open returns a new and empty catalog, which the kit closes.
	Open func(tb testing.TB, h H) Catalog
	// DefaultPage and MaxPage are the contract's sizes of a page.
	DefaultPage, MaxPage int
}

// Clauses are those about lists, filters and pages.
func (l Listing[H]) Clauses() []Clause[H] {
	return []Clause[H]{
		{"list/order", l.order},
		{"list/versions-by-number", l.versionsByNumber},
		{"list/filters", l.filters},
		{"list/deleted-are-not-listed", l.deleted},
		{"list/every-page-size", l.everyPageSize},
		{"list/stable-while-" + l.Things + "-come-and-go", l.stable},
		{"list/sizes", l.sizes},
		{"list/last-page-has-no-next", l.lastPage},
		{"list/bad-query", l.badQuery},
	}
}

// WantNames checks names that Walk has listed, in one string.
func WantNames(tb testing.TB, what string, got []string, want string) {
	tb.Helper()
	if s := strings.Join(got, " "); s != want {
		tb.Errorf("%s:\n got %s\nwant %s", what, s, want)
	}
}

func add(tb testing.TB, c Catalog, name string, n int) faas.Ref {
	tb.Helper()
	ref, err := c.Add(tb, name, n)
	if err != nil {
		tb.Fatalf("add %s: %v", name, err)
	}
	return ref
}

// some adds 3 versions of b/x, and one of each of the others, in no order.
func (l Listing[H]) some(tb testing.TB, h H) Catalog {
	c := l.Open(tb, h)
	for i, name := range []string{"b/x", "a/z", "b/x", "c/a", "b/a", "a/y-1", "b/x", "b-1/m", "a/y"} {
		add(tb, c, name, i)
	}
	return c
}

func (l Listing[H]) order(tb testing.TB, h H) {
	c := l.some(tb, h)
	WantNames(tb, "the latest", Walk(tb, c, Query{}, nil), "a/y@1 a/y-1@1 a/z@1 b/a@1 b/x@3 b-1/m@1 c/a@1")
	WantNames(tb, "all", Walk(tb, c, Query{AllVersions: true}, nil), "a/y@1 a/y-1@1 a/z@1 b/a@1 b/x@1 b/x@2 b/x@3 b-1/m@1 c/a@1")
}

func (l Listing[H]) versionsByNumber(tb testing.TB, h H) {
	c := l.Open(tb, h)
	var want []string
	for i := range 12 {
		want = append(want, add(tb, c, "a", i).String())
	}
	WantNames(tb, "versions", Walk(tb, c, Query{AllVersions: true, Limit: 5}, nil), strings.Join(want, " "))
}

func (l Listing[H]) filters(tb testing.TB, h H) {
	c := l.some(tb, h)
	for want, q := range map[string]Query{
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
			WantNames(tb, fmt.Sprintf("%+v", q), Walk(tb, c, q, nil), want)
		}
	}
}

func (l Listing[H]) deleted(tb testing.TB, h H) {
	c := l.some(tb, h)
	c.Remove(tb, "b/x@3")
	c.Remove(tb, "a/z")
	c.Remove(tb, "c/a@1")
	WantNames(tb, "the latest", Walk(tb, c, Query{}, nil), "a/y@1 a/y-1@1 b/a@1 b/x@2 b-1/m@1")
	WantNames(tb, "all", Walk(tb, c, Query{AllVersions: true}, nil), "a/y@1 a/y-1@1 b/a@1 b/x@1 b/x@2 b-1/m@1")
}

func (l Listing[H]) everyPageSize(tb testing.TB, h H) {
	c := l.some(tb, h)
	for _, all := range []bool{false, true} {
		want := strings.Join(Walk(tb, c, Query{AllVersions: all}, nil), " ")
		for limit := 1; limit <= 10; limit++ {
			WantNames(tb, fmt.Sprint("limit ", limit), Walk(tb, c, Query{AllVersions: all, Limit: limit}, nil), want)
		}
	}
}

func (l Listing[H]) stable(tb testing.TB, h H) {
	for _, all := range []bool{false, true} {
		c := l.Open(tb, h)
		var keep []string
		for i := range 20 {
			add(tb, c, fmt.Sprintf("keep-%02d", i), i)
			keep = append(keep, fmt.Sprintf("default/keep-%02d@1", i))
			add(tb, c, fmt.Sprintf("keep-%02d-goes", i), i)
		}
		n := 0
		got := Walk(tb, c, Query{AllVersions: all, Limit: 3}, func() {
			if n < 10 { // behind, at and before the place of the walk
				c.Remove(tb, fmt.Sprintf("keep-%02d-goes", n))
				c.Remove(tb, fmt.Sprintf("keep-%02d-goes", 19-n))
				add(tb, c, fmt.Sprintf("a-%02d", n), n)
				add(tb, c, fmt.Sprintf("keep-%02d-comes", n), n)
				add(tb, c, fmt.Sprintf("z-%02d", n), n)
			}
			n++
		})
		got = slices.DeleteFunc(got, func(s string) bool { return !slices.Contains(keep, s) })
		WantNames(tb, "those that stayed", got, strings.Join(keep, " "))
	}
}

func (l Listing[H]) sizes(tb testing.TB, h H) {
	c := l.Open(tb, h)
	Together(8, func(worker int) {
		for i := worker; i <= l.MaxPage; i += 8 {
			if _, err := c.Add(tb, fmt.Sprintf("f-%04d", i), i); err != nil {
				tb.Errorf("add: %v", err)
			}
		}
	})
	for limit, want := range map[int]int{0: l.DefaultPage, 1: 1, l.MaxPage: l.MaxPage} {
		page, next, err := c.Refs(tb, Query{Limit: limit})
		if err != nil || len(page) != want || next == "" {
			tb.Errorf("limit %d of %d %s: %d, next %q, %v; want %d and a next page", limit, l.MaxPage+1, l.Things, len(page), next, err, want)
		}
	}
	for _, limit := range []int{-1, l.MaxPage + 1, 1 << 30} {
		_, _, err := c.Refs(tb, Query{Limit: limit})
		WantClass(tb, err, faas.ErrInvalidArgument, "List with the limit %d", limit)
	}
}

func (l Listing[H]) lastPage(tb testing.TB, h H) {
	c := l.some(tb, h)
	page, next, err := c.Refs(tb, Query{Limit: 7})
	if err != nil || len(page) != 7 || next != "" {
		tb.Errorf("7 of 7 %s: %d, next %q, %v", l.Things, len(page), next, err)
	}
}

func (l Listing[H]) badQuery(tb testing.TB, h H) {
	c := l.some(tb, h)
	for _, q := range []Query{
		{Token: "\x00 no token"}, {Token: strings.Repeat("x", 10_000)}, {Token: "../.."},
		{Namespace: "No"}, {Name: "no/no"}, {Namespace: strings.Repeat("x", 64)},
	} {
		_, _, err := c.Refs(tb, q)
		WantClass(tb, err, faas.ErrInvalidArgument, "List(%.60q)", fmt.Sprint(q))
	}
}
