package registrytest

import (
	"reflect"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

var aliasClauses = []clause{
	{Name: "alias/set-and-move", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		first := setAlias(tb, r, "a@live", "1")
		if want := (registry.Alias{Ref: kit.Ref(tb, "a@live"), Target: "1", Revision: revision(tb, r)}); first != want {
			tb.Errorf("SetAlias returned %+v, want %+v", first, want)
		}
		wantSame(tb, "live", get(tb, r, "a@live"), get(tb, r, "a@1"))
		second := setAlias(tb, r, "a@live", "2")
		if second.Revision <= first.Revision || second.Target != "2" {
			tb.Errorf("moved from %+v to %+v", first, second)
		}
		wantSame(tb, "live, moved", get(tb, r, "a@live"), get(tb, r, "a@2"))
	}},
	{Name: "alias/does-not-follow-publishes", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		setAlias(tb, r, "a@live", "1")
		publish(tb, r, "a", 2)
		wantNumber(tb, "live", get(tb, r, "a@live"), "1")
		wantNumber(tb, "the latest", get(tb, r, "a"), "2")
	}},
	{Name: "alias/belongs-to-its-function", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "b", 1)
		publish(tb, r, "ns/a", 1)
		setAlias(tb, r, "a@live", "1")
		for _, name := range []string{"b@live", "ns/a@live"} {
			_, err := r.Get(tb.Context(), kit.Ref(tb, name))
			kit.WantClass(tb, err, faas.ErrNotFound, "Get(%s), an alias of another function", name)
		}
	}},
	{Name: "alias/list", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "b", 1)
		setAlias(tb, r, "b@live", "1")
		var want []registry.Alias
		c, a, b := setAlias(tb, r, "a@c", "1"), setAlias(tb, r, "a@a", "1"), setAlias(tb, r, "a@b-9", "1")
		want = append(want, a, b, c)
		list := func(name string) []registry.Alias {
			l, err := r.ListAliases(tb.Context(), kit.Ref(tb, name))
			if err != nil {
				tb.Errorf("ListAliases(%s): %v", name, err)
			}
			return l
		}
		for _, name := range []string{"a", "a@1", "a@c", "a@gone"} {
			if got := list(name); !reflect.DeepEqual(got, want) {
				tb.Errorf("ListAliases(%s):\n got %v\nwant %v", name, got, want)
			}
		}
		if got := list("unknown"); len(got) != 0 {
			tb.Errorf("the aliases of an unknown function: %v", got)
		}
	}},
	{Name: "alias/delete", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		setAlias(tb, r, "a@live", "1")
		setAlias(tb, r, "a@old", "1")
		if err := r.DeleteAlias(tb.Context(), kit.Ref(tb, "a@live")); err != nil {
			tb.Fatalf("DeleteAlias: %v", err)
		}
		_, err := r.Get(tb.Context(), kit.Ref(tb, "a@live"))
		kit.WantClass(tb, err, faas.ErrNotFound, "Get of a deleted alias")
		wantNumber(tb, "the other alias", get(tb, r, "a@old"), "1")
		for _, name := range []string{"a@live", "a@never", "unknown@live", "a@1"} {
			kit.WantClass(tb, r.DeleteAlias(tb.Context(), kit.Ref(tb, name)), faas.ErrNotFound, "DeleteAlias(%s)", name)
		}
		kit.WantClass(tb, r.DeleteAlias(tb.Context(), kit.Ref(tb, "a")), faas.ErrInvalidArgument, "DeleteAlias without an alias")
		get(tb, r, "a@1")
	}},
	{Name: "alias/target-must-exist", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		remove(tb, r, "a@1")
		for _, target := range []string{"1", "3", "0", "02", "18446744073709551618"} {
			_, err := r.SetAlias(tb.Context(), registry.Alias{Ref: kit.Ref(tb, "a@live"), Target: target}, nil)
			kit.WantClass(tb, err, faas.ErrNotFound, "SetAlias to %s", target)
		}
		_, err := r.SetAlias(tb.Context(), registry.Alias{Ref: kit.Ref(tb, "unknown@live"), Target: "1"}, nil)
		kit.WantClass(tb, err, faas.ErrNotFound, "SetAlias of an unknown function")
		if l, err := r.ListAliases(tb.Context(), kit.Ref(tb, "a")); err != nil || len(l) != 0 {
			tb.Errorf("refused aliases are there: %v, %v", l, err)
		}
	}},
	{Name: "alias/is-not-a-number", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		setAlias(tb, r, "a@live", "1")
		for _, name := range []string{"a@1", "a@2", "a@007", "a"} {
			_, err := r.SetAlias(tb.Context(), registry.Alias{Ref: kit.Ref(tb, name), Target: "1"}, nil)
			kit.WantClass(tb, err, faas.ErrInvalidArgument, "SetAlias(%s)", name)
		}
		for _, target := range []string{"live", "", "-1", "x"} {
			_, err := r.SetAlias(tb.Context(), registry.Alias{Ref: kit.Ref(tb, "a@next"), Target: target}, nil)
			kit.WantClass(tb, err, faas.ErrInvalidArgument, "SetAlias to %q", target)
		}
		setAlias(tb, r, "a@1a", "1") // begins with a digit, is no number
		wantNumber(tb, "1a", get(tb, r, "a@1a"), "1")
	}},
}
