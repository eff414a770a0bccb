package registrytest

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// double is a correct registry of which single methods are replaced.
type double struct {
	registry.Registry
	publish     func(context.Context, faas.Ref, faas.Spec, *registry.PublishOptions) (faas.Function, error)
	get         func(context.Context, faas.Ref) (faas.Function, error)
	list        func(context.Context, registry.Query) (registry.Page, error)
	delete      func(context.Context, faas.Ref, *registry.DeleteOptions) error
	watch       func(context.Context, faas.Revision) iter.Seq2[registry.Event, error]
	setAlias    func(context.Context, registry.Alias, *registry.AliasOptions) (registry.Alias, error)
	listAliases func(context.Context, faas.Ref) ([]registry.Alias, error)
	deleteAlias func(context.Context, faas.Ref) error
	close       func() error
}

func (d *double) Publish(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
	return d.publish(ctx, r, s, o)
}
func (d *double) Get(ctx context.Context, r faas.Ref) (faas.Function, error) { return d.get(ctx, r) }
func (d *double) List(ctx context.Context, q registry.Query) (registry.Page, error) {
	return d.list(ctx, q)
}
func (d *double) Delete(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
	return d.delete(ctx, r, o)
}
func (d *double) Watch(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
	return d.watch(ctx, after)
}
func (d *double) SetAlias(ctx context.Context, a registry.Alias, o *registry.AliasOptions) (registry.Alias, error) {
	return d.setAlias(ctx, a, o)
}
func (d *double) ListAliases(ctx context.Context, r faas.Ref) ([]registry.Alias, error) {
	return d.listAliases(ctx, r)
}
func (d *double) DeleteAlias(ctx context.Context, r faas.Ref) error { return d.deleteAlias(ctx, r) }
func (d *double) Close() error                                      { return d.close() }

func doubleOf(r registry.Registry) *double {
	return &double{r, r.Publish, r.Get, r.List, r.Delete, r.Watch, r.SetAlias, r.ListAliases, r.DeleteAlias, r.Close}
}

// brokenWrites says for clauses about changes how to break a registry so that the clause must notice.
var brokenWrites = map[string][]func(d *double){
	"publish/numbers-versions-from-1": {func(d *double) { // text that sorts, not numbers
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			fn, err := d.Registry.Publish(ctx, r, s, o)
			if n, _ := strconv.Atoi(fn.Ref.Version); n > 9 {
				fn.Ref.Version = "9" + fn.Ref.Version
			}
			return fn, err
		}
	}},
	"publish/functions-are-independent": {func(d *double) { // one name space for all
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			r.Namespace = ""
			return d.Registry.Publish(ctx, r, s, o)
		}
	}},
	"publish/empty-namespace-is-the-default": {func(d *double) {
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			if r.Namespace == "" {
				r.Namespace = "none"
			}
			return d.Registry.Get(ctx, r)
		}
	}},
	"publish/keeps-the-record": {
		spoilSpec(func(s *faas.Spec) { s.Grace = 0 }),
		spoilSpec(func(s *faas.Spec) { s.Scale.Target = float64(float32(s.Scale.Target)) }),
		spoilSpec(func(s *faas.Spec) { s.Env["EMPTY"] = "x" }),
		spoilSpec(func(s *faas.Spec) { s.Command = slices.DeleteFunc(s.Command, func(v string) bool { return v == "" }) }),
		func(d *double) {
			d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
				fn, err := d.Registry.Publish(ctx, r, s, o)
				fn.Created = time.Time{}
				return fn, err
			}
		},
	},
	"publish/revisions-grow": {func(d *double) {
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			fn, err := d.Registry.Publish(ctx, r, s, o)
			fn.Revision = 1
			return fn, err
		}
	}},
	"publish/copies-the-spec": {func(d *double) { // keeps the caller's own maps
		specs := make(map[faas.Ref]faas.Spec)
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			fn, err := d.Registry.Publish(ctx, r, s, o)
			specs[fn.Ref] = s
			return fn, err
		}
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			fn, err := d.Registry.Get(ctx, r)
			fn.Spec = specs[fn.Ref]
			return fn, err
		}
	}},
	"publish/versions-never-change": {func(d *double) { // every version has the newest configuration
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			fn, err := d.Registry.Get(ctx, r)
			if latest, lerr := d.Registry.Get(ctx, r.Unversioned()); lerr == nil {
				fn.Spec = latest.Spec
			}
			return fn, err
		}
	}},
	"publish/reports-every-fault": {func(d *double) { // the first only
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			if err := r.Validate(); err != nil {
				return faas.Function{}, err
			}
			return d.Registry.Publish(ctx, r, s, o)
		}
	}, func(d *double) {
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			r.Version = ""
			return d.Registry.Publish(ctx, r, s, o)
		}
	}},
	"swap/publish": {func(d *double) { // ignores the condition
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, _ *registry.PublishOptions) (faas.Function, error) {
			return d.Registry.Publish(ctx, r, s, nil)
		}
	}, func(d *double) { // 0 means no condition
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			if o != nil && o.IfRevision != nil && *o.IfRevision == 0 {
				o = nil
			}
			return d.Registry.Publish(ctx, r, s, o)
		}
	}},
	"swap/delete": {func(d *double) {
		d.delete = func(ctx context.Context, r faas.Ref, _ *registry.DeleteOptions) error {
			return d.Registry.Delete(ctx, r, nil)
		}
	}},
	"swap/alias": {func(d *double) {
		d.setAlias = func(ctx context.Context, a registry.Alias, _ *registry.AliasOptions) (registry.Alias, error) {
			return d.Registry.SetAlias(ctx, a, nil)
		}
	}},
	"swap/one-winner": {func(d *double) { // compares, then swaps
		var arrived atomic.Int32
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			latest, _ := d.Registry.Get(ctx, r)
			arrived.Add(1)
			time.Sleep(time.Second) // in virtual time: all have read before one writes
			if o != nil && *o.IfRevision != latest.Revision {
				return faas.Function{}, faas.Errorf("registry", "publish", "", faas.ErrConflict, "lost")
			}
			return d.Registry.Publish(ctx, r, s, nil)
		}
	}},
	"alias/set-and-move": {func(d *double) { // moves nothing
		d.setAlias = func(ctx context.Context, a registry.Alias, o *registry.AliasOptions) (registry.Alias, error) {
			if fn, err := d.Registry.Get(ctx, a.Ref); err == nil {
				a.Target = fn.Ref.Version
			}
			return d.Registry.SetAlias(ctx, a, o)
		}
	}},
	"alias/does-not-follow-publishes": {func(d *double) {
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			if fn, err := d.Registry.Get(ctx, r); err != nil || fn.Ref.Version == r.Version {
				return fn, err
			}
			return d.Registry.Get(ctx, r.Unversioned())
		}
	}},
	"alias/belongs-to-its-function": {func(d *double) {
		all := make(map[string]registry.Alias)
		d.setAlias = func(ctx context.Context, a registry.Alias, o *registry.AliasOptions) (registry.Alias, error) {
			a, err := d.Registry.SetAlias(ctx, a, o)
			all[a.Ref.Version] = a
			return a, err
		}
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			if a, ok := all[r.Version]; ok {
				r.Version = a.Target
			}
			return d.Registry.Get(ctx, r)
		}
	}},
	"alias/list": {func(d *double) {
		d.listAliases = func(ctx context.Context, r faas.Ref) ([]registry.Alias, error) {
			l, err := d.Registry.ListAliases(ctx, r)
			slices.Reverse(l)
			return l, err
		}
	}, func(d *double) {
		d.listAliases = func(ctx context.Context, r faas.Ref) ([]registry.Alias, error) {
			l, err := d.Registry.ListAliases(ctx, r)
			if len(l) == 0 && err == nil {
				err = faas.Errorf("registry", "list aliases", "", faas.ErrNotFound, "none")
			}
			return l, err
		}
	}},
	"alias/delete": {func(d *double) { d.deleteAlias = func(context.Context, faas.Ref) error { return nil } }},
	"alias/target-must-exist": {func(d *double) {
		d.setAlias = func(ctx context.Context, a registry.Alias, o *registry.AliasOptions) (registry.Alias, error) {
			set, err := d.Registry.SetAlias(ctx, a, o)
			if faas.Class(err) == faas.ErrNotFound {
				return a, nil
			}
			return set, err
		}
	}},
	"alias/is-not-a-number": {func(d *double) {
		d.setAlias = func(ctx context.Context, a registry.Alias, o *registry.AliasOptions) (registry.Alias, error) {
			if a.Ref.Version == "007" {
				a.Ref.Version = "bond"
			}
			return d.Registry.SetAlias(ctx, a, o)
		}
	}},
	"get/resolves": {func(d *double) { // the latest is the first
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			if r.Version == "" {
				r.Version = "1"
			}
			return d.Registry.Get(ctx, r)
		}
	}},
	"get/not-found": {func(d *double) { // "01" is 1
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			r.Version = strings.TrimLeft(r.Version, "0")
			return d.Registry.Get(ctx, r)
		}
	}, func(d *double) {
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			fn, err := d.Registry.Get(ctx, r)
			if err != nil {
				err = faas.ErrNotFound // a bare class
			}
			return fn, err
		}
	}},
}

func spoilSpec(f func(*faas.Spec)) func(d *double) {
	return func(d *double) {
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			s = s.Clone()
			if s.Env != nil {
				f(&s)
			}
			return d.Registry.Publish(ctx, r, s, o)
		}
	}
}
