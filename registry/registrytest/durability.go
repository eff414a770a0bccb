package registrytest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

// durable skips a registry that is not, and returns the function that opens one again.
func (h Harness) durable(tb testing.TB) func(registry.Registry) registry.Registry {
	if h.Reopen == nil {
		tb.Skip("the registry is not durable: Harness.Reopen is nil")
	}
	return func(r registry.Registry) registry.Registry {
		return kit.Closing(tb, h.Reopen(tb, r))
	}
}

var durabilityClauses = []clause{
	{Name: "durability/records", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := h.open(tb)
		var want []faas.Function
		for i := range 12 {
			want = append(want, publish(tb, r, fmt.Sprintf("ns-%d/a", i%3), i))
		}
		for range 2 {
			r = reopen(r)
			for _, fn := range want {
				wantSame(tb, "after a reopen", get(tb, r, fn.Ref.String()), fn)
			}
			if got := kit.Walk(tb, listed{r}, kit.Query{AllVersions: true}, nil); len(got) != len(want) {
				tb.Errorf("after a reopen %d functions are listed, want %d: %v", len(got), len(want), got)
			}
		}
	}},
	{Name: "durability/aliases", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := twoAndLive(tb, h)
		setAlias(tb, r, "a@live", "2")
		setAlias(tb, r, "a@old", "1")
		want, err := r.ListAliases(tb.Context(), kit.Ref(tb, "a"))
		if err != nil {
			tb.Fatalf("ListAliases: %v", err)
		}
		r = reopen(r)
		if got, err := r.ListAliases(tb.Context(), kit.Ref(tb, "a")); err != nil || !reflect.DeepEqual(got, want) {
			tb.Errorf("aliases after a reopen:\n got %v, %v\nwant %v", got, err, want)
		}
		wantNumber(tb, "live", get(tb, r, "a@live"), "2")
		rev := want[0].Revision
		if _, err := r.SetAlias(tb.Context(), registry.Alias{Ref: kit.Ref(tb, "a@live"), Target: "1"}, &registry.AliasOptions{IfRevision: &rev}); err != nil {
			tb.Errorf("SetAlias if at the revision from before the reopen: %v", err)
		}
	}},
	{Name: "durability/deletions", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := twoAndLive(tb, h)
		publish(tb, r, "b", 1)
		publish(tb, r, "b", 2)
		remove(tb, r, "b@2")
		remove(tb, r, "a")
		r = reopen(r)
		for _, name := range []string{"a", "a@1", "a@live", "b@2"} {
			_, err := r.Get(tb.Context(), kit.Ref(tb, name))
			kit.WantClass(tb, err, faas.ErrNotFound, "Get(%s) after a reopen", name)
		}
		wantNumber(tb, "b after a reopen", get(tb, r, "b"), "1")
	}},
	{Name: "durability/numbers-are-not-reused", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := h.open(tb)
		for _, name := range []string{"a", "a", "b", "b", "c"} {
			publish(tb, r, name, 1)
		}
		remove(tb, r, "a@2")
		remove(tb, r, "b")
		r = reopen(r)
		wantNumber(tb, "a after its latest was deleted", publish(tb, r, "a", 3), "3")
		wantNumber(tb, "b after it was deleted", publish(tb, r, "b", 3), "3")
		wantNumber(tb, "c", publish(tb, r, "c", 2), "2")
	}},
	{Name: "durability/revisions-go-on", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := h.open(tb)
		publish(tb, r, "a", 1)
		remove(tb, r, "a") // the last change leaves no record but its revision
		before := revision(tb, r)
		r = reopen(r)
		if now := revision(tb, r); now != before {
			tb.Errorf("revision %d after a reopen, %d before", now, before)
		}
		if fn := publish(tb, r, "a", 2); fn.Revision <= before {
			tb.Errorf("revision %d after %d", fn.Revision, before)
		}
	}},
	{Name: "durability/watch-goes-on-or-says-so", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		r := twoAndLive(tb, h)
		want := collect(tb, r, 0, 3)
		r = reopen(r)
		var got []registry.Event
		for e, err := range r.Watch(within(tb), 0) {
			if err != nil {
				if !errors.Is(err, faas.ErrExhausted) || len(got) > 0 {
					tb.Errorf("a watch from before the reopen ended after %d changes: %v", len(got), err)
				}
				break
			}
			if got = append(got, e); len(got) == len(want) {
				if !reflect.DeepEqual(got, want) {
					tb.Errorf("changes after a reopen:\n got %v\nwant %v", got, want)
				}
				break
			}
		}
		after := revision(tb, r)
		publish(tb, r, "b", 1)
		wantEvents(tb, collect(tb, r, after, 1), "published default/b@1")
	}},
}
