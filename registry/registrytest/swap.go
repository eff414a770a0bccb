package registrytest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

var swapClauses = []clause{
	{Name: "swap/publish", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publishIf := func(rev faas.Revision) (faas.Function, error) {
			return r.Publish(tb.Context(), kit.Ref(tb, "a"), sampleSpec(1), &registry.PublishOptions{IfRevision: &rev})
		}
		_, err := publishIf(7)
		kit.WantClass(tb, err, faas.ErrConflict, "the first Publish if at revision 7")
		first, err := publishIf(0)
		if err != nil {
			tb.Fatalf("Publish if there is none: %v", err)
		}
		_, err = publishIf(0)
		kit.WantClass(tb, err, faas.ErrConflict, "Publish if there is none, when there is one")
		publish(tb, r, "other", 1) // another function's change does not matter
		setAlias(tb, r, "a@live", "1")
		second, err := publishIf(first.Revision)
		if err != nil {
			tb.Fatalf("Publish if at the latest revision: %v", err)
		}
		wantNumber(tb, "after refused publishes", second, "2")
		_, err = publishIf(first.Revision)
		kit.WantClass(tb, err, faas.ErrConflict, "Publish if at an old revision")
		remove(tb, r, "a")
		if _, err := publishIf(0); err != nil {
			tb.Errorf("Publish if there is none, after a deletion: %v", err)
		}
	}},
	{Name: "swap/delete", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		first, second := publish(tb, r, "a", 1), publish(tb, r, "a", 2)
		deleteIf := func(name string, rev faas.Revision) error {
			return r.Delete(tb.Context(), kit.Ref(tb, name), &registry.DeleteOptions{IfRevision: &rev})
		}
		kit.WantClass(tb, deleteIf("a@1", second.Revision), faas.ErrConflict, "Delete of version 1 if at the revision of 2")
		kit.WantClass(tb, deleteIf("a", first.Revision), faas.ErrConflict, "Delete of all if the latest is at the revision of 1")
		get(tb, r, "a@1")
		if err := deleteIf("a@1", first.Revision); err != nil {
			tb.Errorf("Delete of version 1 if at its revision: %v", err)
		}
		if err := deleteIf("a", second.Revision); err != nil {
			tb.Errorf("Delete of all if at the latest revision: %v", err)
		}
	}},
	{Name: "swap/alias", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		fn := publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		setIf := func(target string, rev faas.Revision) (registry.Alias, error) {
			return r.SetAlias(tb.Context(), registry.Alias{Ref: kit.Ref(tb, "a@live"), Target: target}, &registry.AliasOptions{IfRevision: &rev})
		}
		_, err := setIf("1", fn.Revision)
		kit.WantClass(tb, err, faas.ErrConflict, "the first SetAlias if at a revision")
		first, err := setIf("1", 0)
		if err != nil {
			tb.Fatalf("SetAlias if there is none: %v", err)
		}
		_, err = setIf("2", 0)
		kit.WantClass(tb, err, faas.ErrConflict, "SetAlias if there is none, when there is one")
		if _, err := setIf("2", first.Revision); err != nil {
			tb.Errorf("SetAlias if at its revision: %v", err)
		}
		_, err = setIf("1", first.Revision)
		kit.WantClass(tb, err, faas.ErrConflict, "SetAlias if at an old revision")
		wantNumber(tb, "live", get(tb, r, "a@live"), "2")
	}},
	{Name: "swap/one-winner", Check: func(tb testing.TB, h Harness) {
		r := h.open(tb)
		const rivals, rounds = 8, 10
		var latest faas.Revision
		for round := range rounds {
			var mu sync.Mutex
			var won []faas.Function
			kit.Together(rivals, func(i int) {
				fn, err := r.Publish(tb.Context(), kit.Ref(tb, "a"), sampleSpec(i), &registry.PublishOptions{IfRevision: &latest})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, fn)
				} else if !errors.Is(err, faas.ErrConflict) {
					tb.Errorf("Publish of a loser: %v, want the class %q", err, faas.ErrConflict)
				}
			})
			if len(won) != 1 {
				tb.Fatalf("round %d: %d of %d rivals won", round, len(won), rivals)
			}
			wantNumber(tb, "the winner's", won[0], fmt.Sprint(round+1))
			latest = won[0].Revision
		}
	}},
}
