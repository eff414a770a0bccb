package registrytest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

var concurrencyClauses = []clause{
	{Name: "concurrency/numbers-are-unique", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		const writers, each = 8, 20
		got := make([][]faas.Function, writers)
		kit.Together(writers, func(i int) {
			for n := range each {
				fn, err := r.Publish(tb.Context(), kit.Ref(tb, "a"), sampleSpec(i*each+n), nil)
				if err != nil {
					tb.Errorf("Publish: %v", err)
					return
				}
				if read, err := r.Get(tb.Context(), fn.Ref); err != nil || read.Revision != fn.Revision {
					tb.Errorf("Get(%v) after its Publish returned: revision %d of %d, %v", fn.Ref, read.Revision, fn.Revision, err)
				}
				got[i] = append(got[i], fn)
			}
		})
		byVersion, byRevision := make(map[string]faas.Function), make(map[faas.Revision]bool)
		for _, fn := range slices.Concat(got...) {
			if other, twice := byVersion[fn.Ref.Version]; twice {
				tb.Errorf("version %s twice: of revisions %d and %d", fn.Ref.Version, other.Revision, fn.Revision)
			}
			if byRevision[fn.Revision] {
				tb.Errorf("revision %d twice", fn.Revision)
			}
			byVersion[fn.Ref.Version], byRevision[fn.Revision] = fn, true
			wantSame(tb, "at the end", get(tb, r, fn.Ref.String()), fn)
		}
		wantNumber(tb, "the latest", get(tb, r, "a"), fmt.Sprint(writers*each))
	}},
	{Name: "concurrency/watch-adds-up-to-list", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		const workers, each = 6, 30
		allowed := []error{faas.ErrNotFound, faas.ErrConflict}
		mayFail := func(call string, err error) {
			if err != nil && !slices.ContainsFunc(allowed, func(c error) bool { return errors.Is(err, c) }) {
				tb.Errorf("%s: %v", call, err)
			}
		}
		kit.Together(workers, func(i int) {
			for n := range each {
				name := kit.Ref(tb, fmt.Sprintf("f-%d", (i+n)%3))
				live := name
				live.Version = "live"
				fn, err := r.Publish(tb.Context(), name, sampleSpec(n), nil)
				if err != nil {
					tb.Errorf("Publish: %v", err)
					return
				}
				switch n % 6 {
				case 0:
					_, err = r.SetAlias(tb.Context(), registry.Alias{Ref: live, Target: fn.Ref.Version}, nil)
				case 1:
					err = r.Delete(tb.Context(), fn.Ref, nil)
				case 2:
					err = r.DeleteAlias(tb.Context(), live)
				case 3:
					_, err = r.Get(tb.Context(), live)
				case 4:
					err = r.Delete(tb.Context(), name, nil)
				case 5:
					_, err = r.List(tb.Context(), registry.Query{AllVersions: true})
				}
				mayFail(fmt.Sprint("step ", n%6), err)
			}
		})

		versions, aliases := make(map[string]bool), make(map[string]string)
		now := revision(tb, r)
		for e, err := range r.Watch(within(tb), 0) {
			if err != nil {
				tb.Fatalf("Watch: %v", err)
			}
			switch name := e.Ref.String(); e.Kind {
			case registry.Published:
				if versions[name] {
					tb.Errorf("%s was published twice", name)
				}
				versions[name] = true
			case registry.Deleted:
				if !versions[name] {
					tb.Errorf("%s was deleted and was not there", name)
				}
				delete(versions, name)
			case registry.AliasSet:
				aliases[name] = e.Target
			case registry.AliasDeleted:
				delete(aliases, name)
			}
			for name, target := range aliases {
				at := kit.Ref(tb, name)
				at.Version = target
				if !versions[at.String()] {
					tb.Fatalf("at revision %d the alias %s points to %s, which is not there", e.Revision, name, target)
				}
			}
			if e.Revision >= now {
				break
			}
		}
		listed := kit.Walk(tb, listed{r}, kit.Query{AllVersions: true}, nil)
		if sum := slices.Sorted(maps.Keys(versions)); !slices.Equal(sum, slices.Sorted(slices.Values(listed))) {
			tb.Errorf("the changes add up to\n%v\nthe list is\n%v", sum, listed)
		}
		for name, target := range aliases {
			wantNumber(tb, name, get(tb, r, name), target)
		}
	}},
}
