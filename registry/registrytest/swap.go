package registrytest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

var swapClauses = []clause[Harness]{
	{"swap/publish", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		publishIf := func(rev faas.Revision) (faas.Function, error) {
			return r.Publish(tb.Context(), ref(tb, "a"), sampleSpec(1), &registry.PublishOptions{IfRevision: &rev})
		}
		_, err := publishIf(7)
		wantClass(tb, err, faas.ErrConflict, "the first Publish if at revision 7")
		first, err := publishIf(0)
		if err != nil {
			tb.Fatalf("Publish if there is none: %v", err)
		}
		_, err = publishIf(0)
		wantClass(tb, err, faas.ErrConflict, "Publish if there is none, when there is one")
		publish(tb, r, "other", 1) // another function's change does not matter
		setAlias(tb, r, "a@live", "1")
		second, err := publishIf(first.Revision)
		if err != nil {
			tb.Fatalf("Publish if at the latest revision: %v", err)
		}
		wantNumber(tb, "after refused publishes", second, "2")
		_, err = publishIf(first.Revision)
		wantClass(tb, err, faas.ErrConflict, "Publish if at an old revision")
		remove(tb, r, "a")
		if _, err := publishIf(0); err != nil {
			tb.Errorf("Publish if there is none, after a deletion: %v", err)
		}
	}},
	{"swap/delete", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		first, second := publish(tb, r, "a", 1), publish(tb, r, "a", 2)
		deleteIf := func(name string, rev faas.Revision) error {
			return r.Delete(tb.Context(), ref(tb, name), &registry.DeleteOptions{IfRevision: &rev})
		}
		wantClass(tb, deleteIf("a@1", second.Revision), faas.ErrConflict, "Delete of version 1 if at the revision of 2")
		wantClass(tb, deleteIf("a", first.Revision), faas.ErrConflict, "Delete of all if the latest is at the revision of 1")
		get(tb, r, "a@1")
		if err := deleteIf("a@1", first.Revision); err != nil {
			tb.Errorf("Delete of version 1 if at its revision: %v", err)
		}
		if err := deleteIf("a", second.Revision); err != nil {
			tb.Errorf("Delete of all if at the latest revision: %v", err)
		}
	}},
	{"swap/alias", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		fn := publish(tb, r, "a", 1)
		publish(tb, r, "a", 2)
		setIf := func(target string, rev faas.Revision) (registry.Alias, error) {
			return r.SetAlias(tb.Context(), registry.Alias{Ref: ref(tb, "a@live"), Target: target}, &registry.AliasOptions{IfRevision: &rev})
		}
		_, err := setIf("1", fn.Revision)
		wantClass(tb, err, faas.ErrConflict, "the first SetAlias if at a revision")
		first, err := setIf("1", 0)
		if err != nil {
			tb.Fatalf("SetAlias if there is none: %v", err)
		}
		_, err = setIf("2", 0)
		wantClass(tb, err, faas.ErrConflict, "SetAlias if there is none, when there is one")
		if _, err := setIf("2", first.Revision); err != nil {
			tb.Errorf("SetAlias if at its revision: %v", err)
		}
		_, err = setIf("1", first.Revision)
		wantClass(tb, err, faas.ErrConflict, "SetAlias if at an old revision")
		wantNumber(tb, "live", get(tb, r, "a@live"), "2")
	}},
	{"swap/one-winner", func(tb testing.TB, h Harness) {
		r := h.open(tb)
		const rivals, rounds = 8, 10
		var latest faas.Revision
		for round := range rounds {
			var mu sync.Mutex
			var won []faas.Function
			together(rivals, func(i int) {
				fn, err := r.Publish(tb.Context(), ref(tb, "a"), sampleSpec(i), &registry.PublishOptions{IfRevision: &latest})
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

// together runs n goroutines that begin at once and waits for them.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	gun := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-gun
			f(i)
		})
	}
	close(gun)
	wg.Wait()
}
