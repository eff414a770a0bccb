package table

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/versionlist"
	"github.com/joinery/faas/registry"
)

// Publish implements registry.Functions.
func (t *Table) Publish(ctx context.Context, ref faas.Ref, spec faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
	const op = "publish"
	if t.closed.Load() {
		return faas.Function{}, errClosed(op)
	}
	ref = ref.WithDefaults()
	err := ref.Unversioned().Validate()
	if ref.Version != "" {
		err = errors.Join(err, fmt.Errorf("the version must be empty: the registry numbers versions"))
	}
	if err := errors.Join(err, spec.Validate()); err != nil {
		return faas.Function{}, invalid(op, err)
	}
	k := key{strings.Clone(ref.Namespace), strings.Clone(ref.Name)}
	fn := faas.Function{Spec: spec.Clone(), Created: time.Now().UTC().Round(0)}
	err = t.write(ctx, op, ref, func(b *batch) error {
		f := b.function(k)
		if o != nil && o.IfRevision != nil {
			if err := compare(op, ref, f.latest(), *o.IfRevision); err != nil {
				return err
			}
		}
		c := *f
		c.last++
		fn.Ref = k.ref(strconv.FormatUint(c.last, 10))
		fn.Revision = b.record(Change{Event: registry.Event{Kind: registry.Published, Ref: fn.Ref}, Function: &fn})
		c.versions = append(f.versions, &version{c.last, fn})
		b.dirty[k] = &c
		return nil
	})
	if err != nil {
		return faas.Function{}, err
	}
	return fn, nil
}

// compare fails unless v, nil if there is none, has the revision.
func compare(op string, ref faas.Ref, v *version, want faas.Revision) error {
	var have faas.Revision
	if v != nil {
		have = v.record.Revision
	}
	return compareRevisions(op, ref, have, want)
}

func compareRevisions(op string, ref faas.Ref, have, want faas.Revision) error {
	if have != want {
		return fail(op, ref, faas.ErrConflict, "read it again and decide anew", "the revision is %d, not %d", have, want)
	}
	return nil
}

// Delete implements registry.Functions.
func (t *Table) Delete(ctx context.Context, ref faas.Ref, o *registry.DeleteOptions) error {
	const op = "delete"
	if t.closed.Load() {
		return errClosed(op)
	}
	ref = ref.WithDefaults()
	if err := ref.Validate(); err != nil {
		return invalid(op, err)
	}
	if ref.Version != "" && !versionlist.IsNumber(ref.Version) {
		return fail(op, ref, faas.ErrInvalidArgument, "use DeleteAlias for an alias", "%q is not a version number", ref.Version)
	}
	k := key{ref.Namespace, ref.Name}
	return t.write(ctx, op, ref, func(b *batch) error {
		f := b.function(k)
		v := f.resolve(ref.Version)
		if v == nil {
			return notFound(op, ref)
		}
		if o != nil && o.IfRevision != nil {
			if err := compare(op, ref, v, *o.IfRevision); err != nil {
				return err
			}
		}
		if ref.Version == "" {
			b.deleteFunction(k, f)
			return nil
		}
		for _, a := range f.sortedAliases() {
			if a.target == v {
				return fail(op, ref, faas.ErrConflict, "move or delete the alias first", "the alias %q points to it", a.Ref.Version)
			}
		}
		i, _ := f.find(v.number)
		c := *f
		c.versions = slices.Delete(slices.Clone(f.versions), i, i+1)
		b.dirty[k] = &c
		b.record(Change{Event: registry.Event{Kind: registry.Deleted, Ref: v.record.Ref}})
		return nil
	})
}

func (b *batch) deleteFunction(k key, f *function) {
	for _, a := range f.sortedAliases() {
		b.record(Change{Event: registry.Event{Kind: registry.AliasDeleted, Ref: a.Ref}})
	}
	for _, v := range f.versions {
		b.record(Change{Event: registry.Event{Kind: registry.Deleted, Ref: v.record.Ref}})
	}
	b.dirty[k] = &function{last: f.last}
}
