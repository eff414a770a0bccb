package definitionstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// double is a correct registry of which single methods are replaced.
type double struct {
	workflow.Registry
	register func(context.Context, workflow.Definition) (workflow.Definition, error)
	get      func(context.Context, faas.Ref) (workflow.Definition, error)
	list     func(context.Context, workflow.DefinitionQuery) (workflow.DefinitionPage, error)
	delete   func(context.Context, faas.Ref) error
	close    func() error
}

func (d *double) Register(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
	return d.register(ctx, w)
}
func (d *double) Get(ctx context.Context, r faas.Ref) (workflow.Definition, error) {
	return d.get(ctx, r)
}
func (d *double) List(ctx context.Context, q workflow.DefinitionQuery) (workflow.DefinitionPage, error) {
	return d.list(ctx, q)
}
func (d *double) Delete(ctx context.Context, r faas.Ref) error { return d.delete(ctx, r) }
func (d *double) Close() error                                 { return d.close() }

func doubleOf(r workflow.Registry) *double {
	return &double{r, r.Register, r.Get, r.List, r.Delete, r.Close}
}

type registerFunc = func(context.Context, workflow.Definition) (workflow.Definition, error)

// spoilRegister wraps Register.
func spoilRegister(f func(d *double, next registerFunc) registerFunc) func(*double) {
	return func(d *double) { d.register = f(d, d.Registry.Register) }
}

// spoilDefinition changes what is asked of Register.
func spoilDefinition(f func(*workflow.Definition)) func(*double) {
	return spoilRegister(func(_ *double, next registerFunc) registerFunc {
		return func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
			f(&w)
			return next(ctx, w)
		}
	})
}

// spoilRef changes what is asked of Get and Delete.
func spoilRef(f func(*faas.Ref)) func(*double) {
	return func(d *double) {
		d.get = func(ctx context.Context, r faas.Ref) (workflow.Definition, error) {
			f(&r)
			return d.Registry.Get(ctx, r)
		}
		d.delete = func(ctx context.Context, r faas.Ref) error {
			f(&r)
			return d.Registry.Delete(ctx, r)
		}
	}
}

// spoilGot changes what Get returns.
func spoilGot(f func(*workflow.Definition)) func(*double) {
	return func(d *double) {
		d.get = func(ctx context.Context, r faas.Ref) (workflow.Definition, error) {
			w, err := d.Registry.Get(ctx, r)
			f(&w)
			return w, err
		}
	}
}

// spoilPage changes every page of a list.
func spoilPage(f func(workflow.DefinitionQuery, *workflow.DefinitionPage)) func(*double) {
	return func(d *double) {
		d.list = func(ctx context.Context, q workflow.DefinitionQuery) (workflow.DefinitionPage, error) {
			p, err := d.Registry.List(ctx, q)
			f(q, &p)
			return p, err
		}
	}
}

// spoilQuery changes what is asked of a list.
func spoilQuery(f func(*workflow.DefinitionQuery)) func(*double) {
	return func(d *double) {
		d.list = func(ctx context.Context, q workflow.DefinitionQuery) (workflow.DefinitionPage, error) {
			f(&q)
			return d.Registry.List(ctx, q)
		}
	}
}

// admitsAll registers under language and source that always compile, and puts the real ones back.
func admitsAll(match error) func(*double) {
	return func(d *double) {
		kept := map[faas.Ref]workflow.Definition{}
		d.register = func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
			got, err := d.Registry.Register(ctx, w)
			if err == nil || !errors.Is(err, match) {
				return got, err
			}
			w.Language, w.Source = "words", "anything"
			if got, err = d.Registry.Register(ctx, w); err == nil {
				kept[got.Ref] = got
			}
			return got, err
		}
	}
}

// anyNumber is a registry that gives numbers without looking what others do at the time.
func anyNumber(d *double) {
	var mu sync.Mutex
	last := 0
	d.register = func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
		mu.Lock()
		n := last + 1
		mu.Unlock()
		time.Sleep(time.Millisecond) // virtual
		got, err := d.Registry.Register(ctx, w)
		mu.Lock()
		last = n
		mu.Unlock()
		got.Ref.Version = strconv.Itoa(n)
		return got, err
	}
}

// reusing gives numbers as if what was deleted had never been.
func reusing(d *double) {
	shift := 0
	d.delete = func(ctx context.Context, r faas.Ref) error {
		shift++
		return d.Registry.Delete(ctx, r)
	}
	d.register = func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
		got, err := d.Registry.Register(ctx, w)
		if n, _ := strconv.Atoi(got.Ref.Version); n > shift {
			got.Ref.Version = strconv.Itoa(n - shift)
		}
		return got, err
	}
}

// broken says for each clause how to break a registry so that the clause must notice.
var broken = map[string][]func(*double){
	"register/numbers-versions-from-1": {spoilRegister(func(_ *double, next registerFunc) registerFunc { // text that sorts, not numbers
		return func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
			got, err := next(ctx, w)
			if len(got.Ref.Version) > 1 {
				got.Ref.Version = "9" + got.Ref.Version
			}
			return got, err
		}
	})},
	"register/workflows-are-independent": {spoilDefinition(func(w *workflow.Definition) { w.Ref.Namespace = "" })},
	"register/returns-what-get-does": {
		spoilGot(func(w *workflow.Definition) { w.Source = strings.ReplaceAll(w.Source, "\r\n", "\n") }),
		spoilGot(func(w *workflow.Definition) { w.Timeout = w.Timeout.Truncate(time.Second) }),
		spoilRegister(func(_ *double, next registerFunc) registerFunc { // believes the caller
			return func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
				got, err := next(ctx, w)
				got.Created = w.Created
				return got, err
			}
		}),
	},
	"register/same-digest-is-the-same-version": {
		func(d *double) { // never the same
			n := 0
			d.register = func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
				n++
				w.Source += fmt.Sprint(n)
				return d.Registry.Register(ctx, w)
			}
		},
		func(d *double) { // any version that was ever the same, not the latest
			seen := map[faas.Digest]workflow.Definition{}
			d.register = func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
				if old, ok := seen[w.Digest()]; ok {
					return old, nil
				}
				got, err := d.Registry.Register(ctx, w)
				seen[w.Digest()] = got
				return got, err
			}
		},
	},
	"register/settings-make-a-version": {
		spoilDefinition(func(w *workflow.Definition) { w.Priority = 0 }), spoilDefinition(func(w *workflow.Definition) { w.Retention = 0 }),
		spoilDefinition(func(w *workflow.Definition) { w.Source = strings.TrimSpace(w.Source) }),
	},
	"register/compiles-before-it-admits": {
		admitsAll(faas.ErrInvalidArgument), admitsAll(faas.ErrNotFound), admitsAll(faas.ErrUnimplemented),
		spoilRegister(func(_ *double, next registerFunc) registerFunc { // loses the diagnostics
			return func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
				got, err := next(ctx, w)
				if err != nil {
					err = faas.Errorf("double", "register", "", faas.Class(err), "%s", err.Error())
				}
				return got, err
			}
		}),
	},
	"register/bad-definition": {
		spoilDefinition(func(w *workflow.Definition) { w.Ref.Version = "" }),
		spoilDefinition(func(w *workflow.Definition) { w.Retention = max(w.Retention, 0) }),
		spoilDefinition(func(w *workflow.Definition) { w.Ref.Name = strings.TrimPrefix(w.Ref.Name, "../") }),
		admitsAll(faas.ErrInvalidArgument),
	},
	"register/largest-source": {spoilRegister(func(_ *double, next registerFunc) registerFunc {
		return func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
			if len(w.Source) > 1<<20 {
				return w, faas.Errorf("double", "register", "", faas.ErrExhausted, "too large")
			}
			return next(ctx, w)
		}
	}), spoilGot(func(w *workflow.Definition) { w.Source = w.Source[:min(len(w.Source), 1<<16)] })},
	"register/at-once-gives-different-numbers": {anyNumber},
	"register/at-once-the-same-is-one-version": {func(d *double) {
		var mu sync.Mutex
		n := 0
		d.register = func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
			mu.Lock()
			n++
			w.Source += fmt.Sprint(n)
			mu.Unlock()
			return d.Registry.Register(ctx, w)
		}
	}},

	"get/latest-and-version": {
		spoilRef(func(r *faas.Ref) { r.Version = "" }),
		func(d *double) { // the latest by text: 9 after 11
			d.get = func(ctx context.Context, r faas.Ref) (workflow.Definition, error) {
				if r.Version == "" {
					r.Version = "9"
				}
				return d.Registry.Get(ctx, r)
			}
		},
		spoilRef(func(r *faas.Ref) {
			if r.Namespace == "" {
				r.Namespace = "none"
			}
		}),
	},
	"get/unknown": {func(d *double) { // the latest for a version that is not there
		d.get = func(ctx context.Context, r faas.Ref) (workflow.Definition, error) {
			got, err := d.Registry.Get(ctx, r)
			if errors.Is(err, faas.ErrNotFound) {
				return d.Registry.Get(ctx, r.Unversioned())
			}
			return got, err
		}
	}, spoilRef(func(r *faas.Ref) { r.Namespace = "" })},
	"get/bad-reference": {
		spoilRef(func(r *faas.Ref) { r.Version = strings.TrimLeft(r.Version, "0") }),
		spoilRef(func(r *faas.Ref) {
			if r.Name == "" {
				r.Name = "unknown"
			}
		}),
	},

	"list/order": {spoilPage(func(_ workflow.DefinitionQuery, p *workflow.DefinitionPage) { // "ns/name" as text puts a-1 before a
		slices.SortStableFunc(p.Definitions, func(a, b workflow.Definition) int {
			return strings.Compare(a.Ref.Unversioned().String(), b.Ref.Unversioned().String())
		})
	}), spoilQuery(func(q *workflow.DefinitionQuery) { q.AllVersions = true })},
	"list/versions-by-number": {func(d *double) { // "10" before "2"
		d.list = func(ctx context.Context, q workflow.DefinitionQuery) (workflow.DefinitionPage, error) {
			q.Limit = workflow.MaxPage
			p, err := d.Registry.List(ctx, q)
			slices.SortFunc(p.Definitions, func(a, b workflow.Definition) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
			return p, err
		}
	}},
	"list/definitions-are-those-of-get": {spoilPage(func(_ workflow.DefinitionQuery, p *workflow.DefinitionPage) {
		for i := range p.Definitions {
			p.Definitions[i].Source = ""
		}
	})},
	"list/filters": {spoilQuery(func(q *workflow.DefinitionQuery) { q.Name = "" }), spoilQuery(func(q *workflow.DefinitionQuery) { q.Namespace = "" })},
	"list/deleted-are-not-listed": {func(d *double) {
		var gone []workflow.Definition
		d.delete = func(ctx context.Context, r faas.Ref) error {
			if w, err := d.Registry.Get(ctx, r); err == nil {
				gone = append(gone, w)
			}
			return d.Registry.Delete(ctx, r)
		}
		d.list = func(ctx context.Context, q workflow.DefinitionQuery) (workflow.DefinitionPage, error) {
			p, err := d.Registry.List(ctx, q)
			p.Definitions = append(p.Definitions, gone...)
			return p, err
		}
	}},
	"list/every-page-size": {spoilPage(func(q workflow.DefinitionQuery, p *workflow.DefinitionPage) { // drops what does not fill a page
		if q.Limit > 1 && len(p.Definitions) < q.Limit {
			p.Definitions = nil
		}
	})},
	"list/stable-while-workflows-come-and-go": {func(d *double) { // pages by offset
		d.list = func(ctx context.Context, q workflow.DefinitionQuery) (workflow.DefinitionPage, error) {
			offset, limit := len(q.Token), q.Limit
			q.Token, q.Limit = "", workflow.MaxPage
			p, err := d.Registry.List(ctx, q)
			if limit == 0 {
				limit = workflow.DefaultPage
			}
			p.Definitions = p.Definitions[min(offset, len(p.Definitions)):]
			if p.Next = ""; len(p.Definitions) > limit {
				p.Definitions, p.Next = p.Definitions[:limit], strings.Repeat("x", offset+limit)
			}
			return p, err
		}
	}},
	"list/sizes": {
		spoilQuery(func(q *workflow.DefinitionQuery) {
			if q.Limit == 0 {
				q.Limit = 50
			}
		}),
		spoilQuery(func(q *workflow.DefinitionQuery) { q.Limit = max(q.Limit, 0) }),
		spoilQuery(func(q *workflow.DefinitionQuery) { q.Limit = min(q.Limit, workflow.MaxPage) }),
	},
	"list/last-page-has-no-next": {spoilPage(func(q workflow.DefinitionQuery, p *workflow.DefinitionPage) {
		if n := len(p.Definitions); n == q.Limit {
			p.Next = p.Definitions[n-1].Ref.Unversioned().String()
		}
	})},
	"list/bad-query": {
		spoilQuery(func(q *workflow.DefinitionQuery) {
			if _, err := faas.ParseRef(q.Token); err != nil {
				q.Token = ""
			}
		}),
		spoilQuery(func(q *workflow.DefinitionQuery) { q.Name = strings.ReplaceAll(q.Name, "/", "-") }),
	},

	"delete/version": {func(d *double) { // the whole workflow
		d.delete = func(ctx context.Context, r faas.Ref) error { return d.Registry.Delete(ctx, r.Unversioned()) }
	}, func(d *double) { d.delete = func(context.Context, faas.Ref) error { return nil } }},
	"delete/workflow": {func(d *double) { // the latest alone
		d.delete = func(ctx context.Context, r faas.Ref) error {
			w, err := d.Registry.Get(ctx, r)
			if err != nil {
				return err
			}
			return d.Registry.Delete(ctx, w.Ref)
		}
	}, func(d *double) { // the name in every namespace
		d.delete = func(ctx context.Context, r faas.Ref) error {
			_ = d.Registry.Delete(ctx, faas.Ref{Namespace: "ns", Name: r.Name})
			return d.Registry.Delete(ctx, r)
		}
	}},
	"delete/numbers-are-not-reused": {reusing},
	"delete/unknown": {func(d *double) {
		d.delete = func(ctx context.Context, r faas.Ref) error {
			if err := d.Registry.Delete(ctx, r); !errors.Is(err, faas.ErrNotFound) {
				return err
			}
			return nil
		}
	}, spoilRef(func(r *faas.Ref) {
		if r.Version == "live" {
			r.Version = "9"
		}
	})},

	"lifecycle/ended-context-changes-nothing": {spoilRegister(func(_ *double, next registerFunc) registerFunc {
		return func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
			return next(context.WithoutCancel(ctx), w)
		}
	}), func(d *double) {
		d.delete = func(ctx context.Context, r faas.Ref) error {
			err := d.Registry.Delete(ctx, r)
			if err != nil {
				_ = d.Registry.Delete(context.WithoutCancel(ctx), r)
			}
			return err
		}
	}},
	"lifecycle/closed": {func(d *double) { d.close = func() error { return nil } }, func(d *double) { // an unknown name is found out first
		d.get = func(ctx context.Context, r faas.Ref) (workflow.Definition, error) {
			if r.Name == "unknown" {
				return workflow.Definition{}, faas.Errorf("double", "get", "", faas.ErrNotFound, "no such workflow")
			}
			return d.Registry.Get(ctx, r)
		}
	}},
	"lifecycle/close-twice": {func(d *double) {
		closed := false
		d.close = func() error {
			if closed {
				return faas.Errorf("double", "close", "", faas.ErrClosed, "was closed")
			}
			closed = true
			return d.Registry.Close()
		}
	}},
}

// brokenReopens say how to break what a registry is after a reopen.
var brokenReopens = map[string][]func(*double){
	"durability/definitions": {
		spoilGot(func(w *workflow.Definition) { w.Created = w.Created.Add(1) }),
		spoilPage(func(_ workflow.DefinitionQuery, p *workflow.DefinitionPage) { p.Definitions = p.Definitions[1:] }),
		spoilDefinition(func(w *workflow.Definition) { w.Source += " " }), // forgets digests
	},
	"durability/deletions": {spoilRef(func(r *faas.Ref) { r.Name = "b"; r.Version = "" })},
	"durability/numbers-are-not-reused": {spoilRegister(func(_ *double, next registerFunc) registerFunc {
		return func(ctx context.Context, w workflow.Definition) (workflow.Definition, error) {
			got, err := next(ctx, w)
			if got.Ref.Name == "b" { // as if numbered from 1 when none is left
				got.Ref.Version = "1"
			}
			return got, err
		}
	})},
}

// harnesses returns for each clause the harnesses that it must not pass.
func harnesses(open func(testing.TB, *workflow.Languages) workflow.Registry) map[string][]Harness {
	all := map[string][]Harness{}
	for name, spoilers := range broken {
		for _, spoil := range spoilers {
			all[name] = append(all[name], Harness{Open: func(tb testing.TB, l *workflow.Languages) workflow.Registry {
				d := doubleOf(open(tb, l))
				spoil(d)
				return d
			}})
		}
	}
	for name, spoilers := range brokenReopens {
		for _, spoil := range spoilers {
			all[name] = append(all[name], reopening(open, spoil))
		}
	}
	return all
}

// reopening is the harness of a registry that outlives its Close.
func reopening(open func(testing.TB, *workflow.Languages) workflow.Registry, spoil func(*double)) Harness {
	stored := func(r workflow.Registry) *double {
		d := doubleOf(r)
		d.close = func() error { return nil }
		return d
	}
	return Harness{
		Open: func(tb testing.TB, l *workflow.Languages) workflow.Registry { return stored(open(tb, l)) },
		Reopen: func(_ testing.TB, r workflow.Registry, _ *workflow.Languages) workflow.Registry {
			d := stored(r.(*double).Registry)
			spoil(d)
			return d
		},
	}
}
