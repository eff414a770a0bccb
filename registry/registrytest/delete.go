package registrytest

import (
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
)

var deleteClauses = []clause{
	{Name: "delete/version", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		one, two := publish(tb, r, "a", 1), publish(tb, r, "a", 2)
		publish(tb, r, "a", 3)
		remove(tb, r, "a@3")
		wantSame(tb, "the latest after 3 was deleted", get(tb, r, "a"), two)
		_, err := r.Get(tb.Context(), kit.Ref(tb, "a@3"))
		kit.WantClass(tb, err, faas.ErrNotFound, "Get of a deleted version")
		remove(tb, r, "a@2")
		remove(tb, r, "a@1")
		_, err = r.Get(tb.Context(), kit.Ref(tb, "a"))
		kit.WantClass(tb, err, faas.ErrNotFound, "Get after the last version (%v) was deleted", one.Ref)
	}},
	{Name: "delete/function", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		other := publish(tb, r, "ns/a", 1)
		setAlias(tb, r, "a@live", "1")
		remove(tb, r, "a")
		for _, name := range []string{"a", "a@1", "a@2", "a@live"} {
			_, err := r.Get(tb.Context(), kit.Ref(tb, name))
			kit.WantClass(tb, err, faas.ErrNotFound, "Get(%s) after the function was deleted", name)
		}
		if l, err := r.ListAliases(tb.Context(), kit.Ref(tb, "a")); err != nil || len(l) != 0 {
			tb.Errorf("aliases of a deleted function: %v, %v", l, err)
		}
		wantSame(tb, "another function", get(tb, r, "ns/a"), other)
	}},
	{Name: "delete/numbers-are-not-reused", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		remove(tb, r, "a@2")
		wantNumber(tb, "after the latest version was deleted", publish(tb, r, "a", 3), "3")
		remove(tb, r, "a@3")
		remove(tb, r, "a@1")
		wantNumber(tb, "after every version was deleted", publish(tb, r, "a", 4), "4")
		remove(tb, r, "a")
		wantNumber(tb, "after the function was deleted", publish(tb, r, "a", 5), "5")
	}},
	{Name: "delete/an-alias-protects-its-target", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		setAlias(tb, r, "a@live", "1")
		kit.WantClass(tb, r.Delete(tb.Context(), kit.Ref(tb, "a@1"), nil), faas.ErrConflict, "Delete of an alias's target")
		wantNumber(tb, "live", get(tb, r, "a@live"), "1")
		setAlias(tb, r, "a@live", "2")
		remove(tb, r, "a@1")
	}},
	{Name: "delete/refuses-an-alias", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		setAlias(tb, r, "a@live", "1")
		kit.WantClass(tb, r.Delete(tb.Context(), kit.Ref(tb, "a@live"), nil), faas.ErrInvalidArgument, "Delete of an alias")
		get(tb, r, "a@live")
	}},
	{Name: "delete/not-found", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "gone", 1)
		remove(tb, r, "gone")
		before := revision(tb, r)
		for _, name := range []string{"b", "b@1", "a@2", "a@0", "a@01", "gone", "gone@1"} {
			kit.WantClass(tb, r.Delete(tb.Context(), kit.Ref(tb, name), nil), faas.ErrNotFound, "Delete(%s)", name)
		}
		if now := revision(tb, r); now != before {
			tb.Errorf("refused deletions took the registry from revision %d to %d", before, now)
		}
	}},
}
