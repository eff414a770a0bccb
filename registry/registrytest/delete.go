package registrytest

import (
	"testing"

	"github.com/joinery/faas"
)

var deleteClauses = []clause[Harness]{
	{"delete/version", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		one, two := publish(tb, r, "a", 1), publish(tb, r, "a", 2)
		publish(tb, r, "a", 3)
		remove(tb, r, "a@3")
		wantSame(tb, "the latest after 3 was deleted", get(tb, r, "a"), two)
		_, err := r.Get(tb.Context(), ref(tb, "a@3"))
		wantClass(tb, err, faas.ErrNotFound, "Get of a deleted version")
		remove(tb, r, "a@2")
		remove(tb, r, "a@1")
		_, err = r.Get(tb.Context(), ref(tb, "a"))
		wantClass(tb, err, faas.ErrNotFound, "Get after the last version (%v) was deleted", one.Ref)
	}},
	{"delete/function", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		other := publish(tb, r, "ns/a", 1)
		setAlias(tb, r, "a@live", "1")
		remove(tb, r, "a")
		for _, name := range []string{"a", "a@1", "a@2", "a@live"} {
			_, err := r.Get(tb.Context(), ref(tb, name))
			wantClass(tb, err, faas.ErrNotFound, "Get(%s) after the function was deleted", name)
		}
		if l, err := r.ListAliases(tb.Context(), ref(tb, "a")); err != nil || len(l) != 0 {
			tb.Errorf("aliases of a deleted function: %v, %v", l, err)
		}
		wantSame(tb, "another function", get(tb, r, "ns/a"), other)
	}},
	{"delete/numbers-are-not-reused", func(tb testing.TB, h Harness) {
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
	{"delete/an-alias-protects-its-target", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		setAlias(tb, r, "a@live", "1")
		wantClass(tb, r.Delete(tb.Context(), ref(tb, "a@1"), nil), faas.ErrConflict, "Delete of an alias's target")
		wantNumber(tb, "live", get(tb, r, "a@live"), "1")
		setAlias(tb, r, "a@live", "2")
		remove(tb, r, "a@1")
	}},
	{"delete/refuses-an-alias", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		setAlias(tb, r, "a@live", "1")
		wantClass(tb, r.Delete(tb.Context(), ref(tb, "a@live"), nil), faas.ErrInvalidArgument, "Delete of an alias")
		get(tb, r, "a@live")
	}},
	{"delete/not-found", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "gone", 1)
		remove(tb, r, "gone")
		before := revision(tb, r)
		for _, name := range []string{"b", "b@1", "a@2", "a@0", "a@01", "gone", "gone@1"} {
			wantClass(tb, r.Delete(tb.Context(), ref(tb, name), nil), faas.ErrNotFound, "Delete(%s)", name)
		}
		if now := revision(tb, r); now != before {
			tb.Errorf("refused deletions took the registry from revision %d to %d", before, now)
		}
	}},
}
