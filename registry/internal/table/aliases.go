package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/versionlist"
	"github.com/joinery/faas/registry"
)

// SetAlias implements registry.Aliases.
func (t *Table) SetAlias(ctx context.Context, a registry.Alias, o *registry.AliasOptions) (registry.Alias, error) {
	const op = "set alias"
	if t.closed.Load() {
		return registry.Alias{}, errClosed(op)
	}
	err := validateAlias(a.Ref)
	if versionlist.IsNumber(a.Ref.Version) {
		err = errors.Join(err, fmt.Errorf("the alias %q is a number: numbers are versions", a.Ref.Version))
	}
	if terr := faas.ValidateName("target", a.Target); terr != nil {
		err = errors.Join(err, terr)
	} else if !versionlist.IsNumber(a.Target) {
		err = errors.Join(err, fmt.Errorf("the target %q is not a version number", a.Target))
	}
	if err != nil {
		return registry.Alias{}, invalid(op, err)
	}
	ref := a.Ref.WithDefaults()
	k := key{ref.Namespace, ref.Name}
	var set registry.Alias
	err = t.write(ctx, op, ref, func(b *batch) error {
		f := b.function(k)
		v := f.version(versionlist.Number(a.Target))
		if v == nil {
			target := ref
			target.Version = a.Target
			return notFound(op, target)
		}
		if o != nil && o.IfRevision != nil {
			var have faas.Revision
			if old := f.aliases[ref.Version]; old != nil {
				have = old.Revision
			}
			if err := compareRevisions(op, ref, have, *o.IfRevision); err != nil {
				return err
			}
		}
		set = registry.Alias{Ref: v.record.Ref, Target: v.record.Ref.Version}
		set.Ref.Version = strings.Clone(ref.Version)
		set.Revision = b.record(Change{Event: registry.Event{Kind: registry.AliasSet, Ref: set.Ref, Target: set.Target}})
		c := f.with()
		if c.aliases == nil {
			c.aliases = make(map[string]*alias)
		}
		c.aliases[set.Ref.Version] = &alias{set, v}
		b.dirty[k] = c
		return nil
	})
	if err != nil {
		return registry.Alias{}, err
	}
	return set, nil
}

// validateAlias checks a reference that must name an alias.
func validateAlias(ref faas.Ref) error {
	return errors.Join(ref.Unversioned().Validate(), faas.ValidateName("alias", ref.Version))
}

// ListAliases implements registry.Aliases.
func (t *Table) ListAliases(ctx context.Context, fn faas.Ref) ([]registry.Alias, error) {
	const op = "list aliases"
	if t.closed.Load() {
		return nil, errClosed(op)
	}
	fn = fn.Unversioned().WithDefaults()
	if err := fn.Validate(); err != nil {
		return nil, invalid(op, err)
	}
	f := t.find(key{fn.Namespace, fn.Name})
	if f == nil {
		return nil, nil
	}
	sorted := f.sortedAliases()
	list := make([]registry.Alias, len(sorted))
	for i, a := range sorted {
		list[i] = a.Alias
	}
	return list, nil
}

func (f *function) sortedAliases() []*alias {
	return slices.SortedFunc(maps.Values(f.aliases), func(a, b *alias) int { return strings.Compare(a.Ref.Version, b.Ref.Version) })
}

// DeleteAlias implements registry.Aliases.
func (t *Table) DeleteAlias(ctx context.Context, ref faas.Ref) error {
	const op = "delete alias"
	if t.closed.Load() {
		return errClosed(op)
	}
	if err := validateAlias(ref); err != nil {
		return invalid(op, err)
	}
	ref = ref.WithDefaults()
	k := key{ref.Namespace, ref.Name}
	return t.write(ctx, op, ref, func(b *batch) error {
		f := b.function(k)
		a := f.aliases[ref.Version]
		if a == nil {
			return notFound(op, ref)
		}
		c := f.with()
		delete(c.aliases, ref.Version)
		b.dirty[k] = c
		b.record(Change{Event: registry.Event{Kind: registry.AliasDeleted, Ref: a.Ref}})
		return nil
	})
}
