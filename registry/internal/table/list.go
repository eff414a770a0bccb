package table

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// List implements registry.Functions. A token is the reference of the last function, or with
// AllVersions the last version, of the page before: it says where to go on, whatever came or went.
func (t *Table) List(ctx context.Context, q registry.Query) (registry.Page, error) {
	const op = "list"
	if t.closed.Load() {
		return registry.Page{}, errClosed(op)
	}
	if ctx.Err() != nil {
		return registry.Page{}, faas.ContextError(ctx, "registry", op, "")
	}
	after, err := check(q)
	if err != nil {
		return registry.Page{}, invalid(op, err)
	}
	if q.Limit == 0 {
		q.Limit = registry.DefaultPage
	}

	t.mu.RLock()
	defer t.mu.RUnlock()
	page := registry.Page{Revision: t.revision}
	from := key{after.Namespace, after.Name}
	if first := (key{q.Namespace, q.Name}); q.Namespace != "" && compareKeys(from, first) < 0 {
		from = first
	}
	i, _ := slices.BinarySearchFunc(t.order, from, func(e *entry, k key) int { return compareKeys(e.key, k) })
	for _, e := range t.order[i:] {
		if q.Namespace != "" && e.namespace != q.Namespace {
			break
		}
		if q.Name != "" && e.name != q.Name {
			continue
		}
		versions := e.current.Load().versions
		seen := e.key == key{after.Namespace, after.Name}
		switch {
		case q.AllVersions && seen:
			i, ok := (&function{versions: versions}).find(number(after.Version))
			if ok {
				i++
			}
			versions = versions[i:]
		case seen:
			continue
		case !q.AllVersions:
			versions = versions[len(versions)-1:]
		}
		for _, v := range versions {
			if len(page.Functions) == q.Limit {
				last := page.Functions[q.Limit-1].Ref
				if !q.AllVersions {
					last = last.Unversioned()
				}
				page.Next = last.String()
				return page, nil
			}
			page.Functions = append(page.Functions, v.record)
		}
	}
	return page, nil
}

// check returns the place after which the page begins.
func check(q registry.Query) (after faas.Ref, err error) {
	var errs []error
	if q.Namespace != "" {
		errs = append(errs, faas.ValidateName("namespace", q.Namespace))
	}
	if q.Name != "" {
		errs = append(errs, faas.ValidateName("name", q.Name))
	}
	if q.Limit < 0 || q.Limit > registry.MaxPage {
		errs = append(errs, fmt.Errorf("the limit %d is not 1 to %d, or 0 for %d", q.Limit, registry.MaxPage, registry.DefaultPage))
	}
	if q.Token != "" {
		after, err = faas.ParseRef(q.Token)
		if err != nil || q.AllVersions != (number(after.Version) > 0) || !q.AllVersions && after.Version != "" {
			errs = append(errs, errors.New("the token is not the Next of a page of this query"))
		}
	}
	return after, errors.Join(errs...)
}
