// Package versionlist is how the registries of functions (F1) and of workflows (W1) list what they
// keep: names with numbered versions, in pages that stay valid while things come and go.
package versionlist

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/joinery/faas"
)

// Query is what the queries of both registries say.
type Query struct {
	Namespace, Name string
	AllVersions     bool
	Limit           int
	Token           string
}

// Check returns the place after which the page begins, and every fault of the query. A token is the reference
// of the last name, or with AllVersions the last version, of the page before.
func (q *Query) Check(defaultPage, maxPage int) (after faas.Ref, err error) {
	var errs []error
	if q.Namespace != "" {
		errs = append(errs, faas.ValidateName("namespace", q.Namespace))
	}
	if q.Name != "" {
		errs = append(errs, faas.ValidateName("name", q.Name))
	}
	if q.Limit < 0 || q.Limit > maxPage {
		errs = append(errs, fmt.Errorf("the limit %d is not 1 to %d, or 0 for %d", q.Limit, maxPage, defaultPage))
	}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	if q.Token != "" {
		after, err = faas.ParseRef(q.Token)
		if err != nil || q.AllVersions != (Number(after.Version) > 0) || !q.AllVersions && after.Version != "" {
			errs = append(errs, errors.New("the token is not the Next of a page of this query"))
		}
	}
	return after, errors.Join(errs...)
}

// Compare orders names by namespace and name.
func Compare(a, b faas.Ref) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Page returns the versions of one page and the token of the next. all is in the order of Compare; name
// returns the reference of one of them without a version, versions those it has in the order of their
// numbers, and ref that of a version.
func Page[T, V any](q Query, after faas.Ref, all []T, name func(T) faas.Ref, versions func(T) []V, ref func(V) faas.Ref) (page []V, next string) {
	from := after.Unversioned()
	if first := (faas.Ref{Namespace: q.Namespace, Name: q.Name}); q.Namespace != "" && Compare(from, first) < 0 {
		from = first
	}
	i, _ := slices.BinarySearchFunc(all, from, func(t T, from faas.Ref) int { return Compare(name(t), from) })
	for _, t := range all[i:] {
		n := name(t)
		if q.Namespace != "" && n.Namespace != q.Namespace {
			break
		}
		if q.Name != "" && n.Name != q.Name {
			continue
		}
		those := versions(t)
		seen := Compare(n, after) == 0
		switch {
		case q.AllVersions && seen:
			last := Number(after.Version)
			i, _ := slices.BinarySearchFunc(those, last+1, func(v V, n uint64) int { return cmp.Compare(Number(ref(v).Version), n) })
			those = those[i:]
		case seen:
			continue
		case !q.AllVersions && len(those) > 0:
			those = those[len(those)-1:]
		}
		for _, v := range those {
			if len(page) == q.Limit {
				last := ref(page[q.Limit-1])
				if !q.AllVersions {
					last = last.Unversioned()
				}
				return page, last.String()
			}
			page = append(page, v)
		}
	}
	return page, ""
}
