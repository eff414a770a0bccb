package registrytest

import (
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
)

var getClauses = []clause{
	{Name: "get/resolves", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		one, two, three := publish(tb, r, "ns/a", 1), publish(tb, r, "ns/a", 2), publish(tb, r, "ns/a", 3)
		setAlias(tb, r, "ns/a@live", "2")
		for name, want := range map[string]faas.Function{
			"ns/a": three, "ns/a@1": one, "ns/a@2": two, "ns/a@3": three, "ns/a@live": two,
		} {
			wantSame(tb, "Get("+name+")", get(tb, r, name), want)
		}
	}},
	{Name: "get/not-found", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publish(tb, r, "a", 1)
		setAlias(tb, r, "a@live", "1")
		for _, name := range []string{"b", "ns/a", "a@2", "a@0", "a@01", "a@next", "b@1", "b@live", "a@18446744073709551617", "a@99999999999999999999999"} {
			_, err := r.Get(tb.Context(), kit.Ref(tb, name))
			kit.WantClass(tb, err, faas.ErrNotFound, "Get(%s)", name)
		}
	}},
}
