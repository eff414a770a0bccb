package registrytest

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// spoilPage changes every page of a list.
func spoilPage(f func(registry.Query, *registry.Page)) func(d *double) {
	return func(d *double) {
		d.list = func(ctx context.Context, q registry.Query) (registry.Page, error) {
			p, err := d.Registry.List(ctx, q)
			f(q, &p)
			return p, err
		}
	}
}

// spoilQuery changes what is asked of a list.
func spoilQuery(f func(*registry.Query)) func(d *double) {
	return func(d *double) {
		d.list = func(ctx context.Context, q registry.Query) (registry.Page, error) {
			f(&q)
			return d.Registry.List(ctx, q)
		}
	}
}

// spoilEvents changes what a watch yields; f returns false for what it leaves out.
func spoilEvents(f func(*registry.Event) bool) func(d *double) {
	return func(d *double) {
		d.watch = func(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
			return func(yield func(registry.Event, error) bool) {
				for e, err := range d.Registry.Watch(ctx, after) {
					if (err != nil || f(&e)) && !yield(e, err) {
						return
					}
				}
			}
		}
	}
}

// spoilEnd changes the error that a watch ends with; nil ends it without.
func spoilEnd(f func(error) error) func(d *double) {
	return func(d *double) {
		d.watch = func(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
			return func(yield func(registry.Event, error) bool) {
				for e, err := range d.Registry.Watch(ctx, after) {
					if err != nil {
						if err = f(err); err == nil {
							return
						}
					}
					if !yield(e, err) {
						return
					}
				}
			}
		}
	}
}

// brokenReads does the same for all other clauses.
var brokenReads = map[string][]func(d *double){
	"list/order": {spoilPage(func(_ registry.Query, p *registry.Page) { // "ns/name" as text puts a-1 before a
		slices.SortStableFunc(p.Functions, func(a, b faas.Function) int {
			return strings.Compare(a.Ref.Unversioned().String(), b.Ref.Unversioned().String())
		})
	}), spoilQuery(func(q *registry.Query) { q.AllVersions = true })},
	"list/versions-by-number": {func(d *double) { // "10" before "2"
		d.list = func(ctx context.Context, q registry.Query) (registry.Page, error) {
			if q.AllVersions {
				q.Limit = 1000
			}
			p, err := d.Registry.List(ctx, q)
			slices.SortFunc(p.Functions, func(a, b faas.Function) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
			return p, err
		}
	}},
	"list/records-are-those-of-get": {spoilPage(func(_ registry.Query, p *registry.Page) {
		for i := range p.Functions {
			p.Functions[i].Spec = faas.Spec{}
		}
	})},
	"list/filters": {spoilQuery(func(q *registry.Query) { q.Name = "" }), spoilQuery(func(q *registry.Query) { q.Namespace = "" })},
	"list/deleted-are-not-listed": {func(d *double) {
		var gone []faas.Function
		d.delete = func(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
			fn, err := d.Registry.Get(ctx, r)
			if err == nil {
				gone = append(gone, fn)
			}
			return d.Registry.Delete(ctx, r, o)
		}
		d.list = func(ctx context.Context, q registry.Query) (registry.Page, error) {
			p, err := d.Registry.List(ctx, q)
			p.Functions = append(p.Functions, gone...)
			return p, err
		}
	}},
	"list/every-page-size": {func(d *double) { // drops what does not fill a page
		d.list = func(ctx context.Context, q registry.Query) (registry.Page, error) {
			p, err := d.Registry.List(ctx, q)
			if q.Limit > 1 && len(p.Functions) < q.Limit {
				p.Functions = nil
			}
			return p, err
		}
	}},
	"list/stable-while-functions-come-and-go": {func(d *double) { // pages by offset
		d.list = func(ctx context.Context, q registry.Query) (registry.Page, error) {
			offset, limit := len(q.Token), q.Limit
			if limit == 0 {
				limit = registry.DefaultPage
			}
			q.Token, q.Limit = "", registry.MaxPage
			p, err := d.Registry.List(ctx, q)
			p.Functions = p.Functions[min(offset, len(p.Functions)):]
			if len(p.Functions) > limit {
				p.Functions, p.Next = p.Functions[:limit], strings.Repeat("x", offset+limit)
			}
			return p, err
		}
	}},
	"list/sizes": {
		spoilQuery(func(q *registry.Query) { q.Limit = min(q.Limit, registry.MaxPage) }),
		spoilQuery(func(q *registry.Query) { q.Limit = max(q.Limit, 0) }),
		spoilQuery(func(q *registry.Query) {
			if q.Limit == 0 {
				q.Limit = 50
			}
		}),
	},
	"list/last-page-has-no-next": {spoilPage(func(q registry.Query, p *registry.Page) {
		if n := len(p.Functions); n > 0 && n == q.Limit {
			p.Next = p.Functions[n-1].Ref.Unversioned().String()
		}
	})},
	"list/bad-query": {func(d *double) { // begins anew at a token that it does not know
		d.list = func(ctx context.Context, q registry.Query) (registry.Page, error) {
			p, err := d.Registry.List(ctx, q)
			if err != nil && q.Token != "" {
				q.Token = ""
				return d.Registry.List(ctx, q)
			}
			return p, err
		}
	}},
	"list/revision": {spoilPage(func(_ registry.Query, p *registry.Page) { p.Revision++ })},
	"delete/version": {func(d *double) { // of the latest does nothing
		d.delete = func(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
			if fn, err := d.Registry.Get(ctx, r.Unversioned()); err == nil && fn.Ref.Version == r.Version {
				return nil
			}
			return d.Registry.Delete(ctx, r, o)
		}
	}},
	"delete/function": {func(d *double) { // leaves the aliased version
		d.delete = func(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
			if r.Version == "" {
				if fn, err := d.Registry.Get(ctx, r); err == nil {
					return d.Registry.Delete(ctx, fn.Ref, o)
				}
			}
			return d.Registry.Delete(ctx, r, o)
		}
	}},
	"delete/numbers-are-not-reused": {func(d *double) { // counts those that exist
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			_, missing := d.Registry.Get(ctx, r)
			fn, err := d.Registry.Publish(ctx, r, s, o)
			if missing != nil && err == nil {
				fn.Ref.Version = "1"
			}
			return fn, err
		}
	}},
	"delete/an-alias-protects-its-target": {func(d *double) { // takes the alias along
		d.delete = func(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
			if l, _ := d.Registry.ListAliases(ctx, r); r.Version != "" {
				for _, a := range l {
					if a.Target == r.Version {
						_ = d.Registry.DeleteAlias(ctx, a.Ref)
					}
				}
			}
			return d.Registry.Delete(ctx, r, o)
		}
	}},
	"delete/refuses-an-alias": {func(d *double) {
		d.delete = func(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
			if r.Version == "live" {
				return d.Registry.DeleteAlias(ctx, r)
			}
			return d.Registry.Delete(ctx, r, o)
		}
	}},
	"delete/not-found": {func(d *double) {
		d.delete = func(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
			err := d.Registry.Delete(ctx, r, o)
			if faas.Class(err) == faas.ErrNotFound {
				return nil
			}
			return err
		}
	}},
	"watch/every-kind-of-change-in-order": {
		spoilEvents(func(e *registry.Event) bool { e.Target = ""; return true }),
		spoilEvents(func(e *registry.Event) bool { return e.Kind != registry.AliasDeleted }),
		spoilEvents(func(e *registry.Event) bool { e.Revision = 1; return true }),
	},
	"watch/refused-calls-are-no-changes": {func(d *double) { // tells of a call before it tries it
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			fn, err := d.Registry.Publish(ctx, r, s, o)
			if err != nil {
				_, _ = d.Registry.Publish(ctx, r, s, nil)
			}
			return fn, err
		}
	}},
	"watch/from-any-revision": {func(d *double) { // includes the revision itself
		d.watch = func(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
			return d.Registry.Watch(ctx, max(after, 1)-1)
		}
	}},
	"watch/from-a-page": {spoilPage(func(_ registry.Query, p *registry.Page) { p.Revision = 0 })},
	"watch/blocks-until-a-change": {func(d *double) { // ends when it has caught up
		d.watch = func(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
			return func(yield func(registry.Event, error) bool) {
				p, _ := d.Registry.List(ctx, registry.Query{Limit: 1})
				if p.Revision == after {
					return
				}
				for e, err := range d.Registry.Watch(ctx, after) {
					if !yield(e, err) || e.Revision >= p.Revision {
						return
					}
				}
			}
		}
	}},
	"watch/ends-with-the-context": {
		spoilEnd(func(error) error { return nil }),
		spoilEnd(func(error) error { return context.Canceled }),
		func(d *double) {
			d.watch = func(_ context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
				return d.Registry.Watch(context.Background(), after)
			}
		},
	},
	"watch/ends-with-close": {spoilEnd(func(err error) error {
		if faas.Class(err) == faas.ErrClosed {
			return nil
		}
		return err
	})},
	"watch/many-watchers-see-the-same": {func(d *double) { // each change goes to one watcher
		var mu sync.Mutex
		seen := make(map[faas.Revision]bool)
		spoilEvents(func(e *registry.Event) bool {
			mu.Lock()
			defer mu.Unlock()
			first := !seen[e.Revision]
			seen[e.Revision] = true
			return first
		})(d)
	}},
	"watch/never-a-gap": {func(d *double) { // goes on with what it still has
		d.watch = func(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
			return func(yield func(registry.Event, error) bool) {
				for {
					for e, err := range d.Registry.Watch(ctx, after) {
						if faas.Class(err) == faas.ErrExhausted {
							after++
							break
						}
						if !yield(e, err) || err != nil {
							return
						}
					}
				}
			}
		}
	}},
	"watch/revision-of-another-registry": {func(d *double) { // waits for it
		d.watch = func(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error] {
			p, _ := d.Registry.List(ctx, registry.Query{Limit: 1})
			return d.Registry.Watch(ctx, min(after, p.Revision))
		}
	}},
	"names/hostile-are-refused": {func(d *double) { // repairs names instead
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			r.Name = strings.ToLower(r.Name)
			return d.Registry.Get(ctx, r)
		}
	}, func(d *double) {
		d.listAliases = func(ctx context.Context, r faas.Ref) ([]registry.Alias, error) {
			l, err := d.Registry.ListAliases(ctx, r)
			if faas.Class(err) == faas.ErrInvalidArgument {
				err = nil
			}
			return l, err
		}
	}, func(d *double) { // repeats the hostile name in full
		d.delete = func(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
			err := d.Registry.Delete(ctx, r, o)
			if err != nil {
				err = faas.Errorf("registry", "delete", r.Name, faas.Class(err), "%w", err)
			}
			return err
		}
	}},
	"names/edges-are-allowed": {func(d *double) { // "latest" is a word of its own
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			if r.Version == "latest" {
				return faas.Function{}, faas.Errorf("registry", "get", "", faas.ErrInvalidArgument, "reserved")
			}
			return d.Registry.Get(ctx, r)
		}
	}},
	"names/do-not-run-into-each-other": {func(d *double) { // deletes by prefix
		d.delete = func(ctx context.Context, r faas.Ref, o *registry.DeleteOptions) error {
			p, _ := d.Registry.List(ctx, registry.Query{Namespace: r.Namespace})
			for _, fn := range p.Functions {
				if strings.HasPrefix(fn.Ref.Name, r.Name) && r.Version == "" {
					_ = d.Registry.Delete(ctx, fn.Ref.Unversioned(), nil)
				}
			}
			return nil
		}
	}},
	"concurrency/numbers-are-unique": {func(d *double) { // a number is taken, and used later
		var mu sync.Mutex
		var calls int
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			fn, err := d.Registry.Publish(ctx, r, s, o)
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == 50 {
				fn.Ref.Version = "1"
			}
			return fn, err
		}
	}},
	"concurrency/watch-adds-up-to-list": {
		spoilEvents(func(e *registry.Event) bool { return e.Kind != registry.Deleted }),
		spoilEvents(func(e *registry.Event) bool { return e.Kind != registry.AliasDeleted }),
	},
	"lifecycle/ended-context-changes-nothing": {func(d *double) {
		d.publish = func(ctx context.Context, r faas.Ref, s faas.Spec, o *registry.PublishOptions) (faas.Function, error) {
			return d.Registry.Publish(context.WithoutCancel(ctx), r, s, o)
		}
	}},
	"lifecycle/closed": {func(d *double) {
		d.listAliases = func(ctx context.Context, r faas.Ref) ([]registry.Alias, error) {
			l, err := d.Registry.ListAliases(ctx, r)
			if faas.Class(err) == faas.ErrClosed {
				err = nil
			}
			return l, err
		}
	}},
	"lifecycle/close-twice": {func(d *double) {
		closed := false
		d.close = func() error {
			if closed {
				return faas.Errorf("registry", "close", "", faas.ErrClosed, "twice")
			}
			closed = true
			return d.Registry.Close()
		}
	}},
	"lifecycle/close-under-load": {func(d *double) {
		d.get = func(ctx context.Context, r faas.Ref) (faas.Function, error) {
			fn, err := d.Registry.Get(ctx, r)
			if err != nil {
				err = faas.Errorf("registry", "get", "", faas.ErrInternal, "use of closed file")
			}
			return fn, err
		}
	}},
}
