package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// List implements workflow.Registry. A token is the reference of the last workflow, or with
// AllVersions the last version, of the page before: it says where to go on, whatever came or went.
func (c *Catalog) List(ctx context.Context, q workflow.DefinitionQuery) (workflow.DefinitionPage, error) {
	const op = "list"
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.usable(ctx, op); err != nil {
		return workflow.DefinitionPage{}, err
	}
	after, err := checkQuery(q)
	if err != nil {
		return workflow.DefinitionPage{}, invalid(op, err)
	}
	if q.Limit == 0 {
		q.Limit = workflow.DefaultPage
	}

	var page workflow.DefinitionPage
	from := key{after.Namespace, after.Name}
	if first := (key{q.Namespace, q.Name}); q.Namespace != "" && compareKeys(from, first) < 0 {
		from = first
	}
	i, _ := slices.BinarySearchFunc(c.order, from, func(f *flow, k key) int { return compareKeys(f.key, k) })
	for _, f := range c.order[i:] {
		if q.Namespace != "" && f.namespace != q.Namespace {
			break
		}
		if q.Name != "" && f.name != q.Name {
			continue
		}
		versions := f.versions
		seen := f.key == key{after.Namespace, after.Name}
		switch {
		case q.AllVersions && seen:
			n, _ := Number(after.Version)
			i, _ := f.find(n + 1)
			versions = versions[i:]
		case seen:
			continue
		case !q.AllVersions && len(versions) > 0:
			versions = versions[len(versions)-1:]
		}
		for _, v := range versions {
			if len(page.Definitions) == q.Limit {
				last := page.Definitions[q.Limit-1].Ref
				if !q.AllVersions {
					last = last.Unversioned()
				}
				page.Next = last.String()
				return page, nil
			}
			page.Definitions = append(page.Definitions, v.definition)
		}
	}
	return page, nil
}

// checkQuery returns the place after which the page begins.
func checkQuery(q workflow.DefinitionQuery) (after faas.Ref, err error) {
	var errs []error
	if q.Namespace != "" {
		errs = append(errs, faas.ValidateName("namespace", q.Namespace))
	}
	if q.Name != "" {
		errs = append(errs, faas.ValidateName("name", q.Name))
	}
	if q.Limit < 0 || q.Limit > workflow.MaxPage {
		errs = append(errs, fmt.Errorf("the limit %d is not 1 to %d, or 0 for %d", q.Limit, workflow.MaxPage, workflow.DefaultPage))
	}
	if q.Token != "" {
		after, err = faas.ParseRef(q.Token)
		_, numbered := Number(after.Version)
		if err != nil || q.AllVersions != numbered || !q.AllVersions && after.Version != "" {
			errs = append(errs, errors.New("the token is not the Next of a page of this query"))
		}
	}
	return after, errors.Join(errs...)
}
