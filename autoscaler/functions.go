package autoscaler

import (
	"context"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// Functions is where the loop learns of functions that want instances without any
// request (Scale.Min, Scale.Initial); a registry.Registry is one.
type Functions interface {
	// List pages through the functions; the revision of a page tells whether anything changed.
	List(ctx context.Context, q registry.Query) (registry.Page, error)
	// ListAliases returns the aliases of a function.
	ListAliases(ctx context.Context, fn faas.Ref) ([]registry.Alias, error)
}

// standing are the versions that want instances without any request and are current:
// the latest of their function, or the target of an alias.
type standing struct {
	source   Functions
	revision faas.Revision
	read     bool
	versions map[faas.Ref]faas.Function
}

func wantsStanding(fn *faas.Function) bool { return fn.Spec.Scale.Min > 0 || fn.Spec.Scale.Initial > 0 }

// refresh reads the source again if it has changed.
func (s *standing) refresh(ctx context.Context) error {
	if s.source == nil {
		return nil
	}
	page, err := s.source.List(ctx, registry.Query{Limit: 1})
	if err != nil || s.read && page.Revision == s.revision {
		return err
	}
	versions, err := s.readAll(ctx)
	if err == nil {
		s.versions, s.revision, s.read = versions, page.Revision, true
	}
	return err
}

func (s *standing) readAll(ctx context.Context) (map[faas.Ref]faas.Function, error) {
	latest := map[faas.Ref]string{} // of each function that has a version of interest
	found := map[faas.Ref]faas.Function{}
	q := registry.Query{AllVersions: true, Limit: registry.MaxPage}
	for {
		page, err := s.source.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, fn := range page.Functions { // the versions of a function follow each other, the latest last
			name := fn.Ref.Unversioned()
			if wantsStanding(&fn) {
				found[fn.Ref] = fn
				latest[name] = ""
			}
			if _, ok := latest[name]; ok {
				latest[name] = fn.Ref.Version
			}
		}
		if q.Token = page.Next; q.Token == "" {
			break
		}
	}
	versions := map[faas.Ref]faas.Function{}
	for name, version := range latest {
		aliases, err := s.source.ListAliases(ctx, name)
		if err != nil {
			return nil, err
		}
		current := []string{version}
		for _, a := range aliases {
			current = append(current, a.Target)
		}
		for _, v := range current {
			ref := faas.Ref{Namespace: name.Namespace, Name: name.Name, Version: v}
			if fn, ok := found[ref]; ok {
				versions[ref] = fn
			}
		}
	}
	return versions, nil
}

// retired reports whether the version's standing instances are not wanted any more.
func (s *standing) retired(fn *faas.Function) bool {
	if !s.read || !wantsStanding(fn) {
		return false
	}
	_, current := s.versions[fn.Ref]
	return !current
}
