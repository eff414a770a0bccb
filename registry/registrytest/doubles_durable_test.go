package registrytest

import (
	"context"
	"iter"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memregistry"
)

// durable is a harness of registries that outlive their Close, as if they were stored.
// spoil changes what a reopen finds.
func durable(spoil func(*double)) Harness {
	return Harness{
		Open: func(tb testing.TB) registry.Registry {
			d := doubleOf(memregistry.New(nil))
			d.close = func() error { return nil }
			return d
		},
		Reopen: func(tb testing.TB, r registry.Registry) registry.Registry {
			d := doubleOf(r.(*double).Registry)
			d.close = func() error { return nil }
			spoil(d)
			return d
		},
	}
}

var brokenReopens = map[string]func(d *double){
	"durability/records": func(d *double) { // loses a field
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			fn, err := d.Registry.Get(ctx, r)
			fn.Spec.Scale.KeepAlive = 0
			return fn, err
		}
	},
	"durability/aliases": func(d *double) { // keeps only the first place of an alias
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			if r.Version == "live" {
				r.Version = "1"
			}
			return d.Registry.Get(ctx, r)
		}
	},
	"durability/deletions": func(d *double) { // a deleted function comes back
		_, _ = d.Registry.Publish(context.Background(), faas.Ref{Name: "a"}, sampleSpec(1), nil)
	},
	"durability/numbers-are-not-reused": func(d *double) { // goes on after the highest that is stored
		fresh := memregistry.New(nil)
		p, _ := d.Registry.List(context.Background(), registry.Query{AllVersions: true})
		for _, fn := range p.Functions {
			_, _ = fresh.Publish(context.Background(), fn.Ref.Unversioned(), fn.Spec, nil)
		}
		*d = *doubleOf(fresh)
	},
	"durability/revisions-go-on": func(d *double) { *d = *doubleOf(memregistry.New(nil)) },
	"durability/watch-goes-on-or-says-so": func(d *double) { // skips what was before
		p, _ := d.Registry.List(context.Background(), registry.Query{})
		d.watch = func(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
			return d.Registry.Watch(ctx, max(after, p.Revision))
		}
	},
}
