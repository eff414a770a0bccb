package drivertest

import (
	"reflect"
	"slices"

	"github.com/joinery/faas/orchestrator/driver"
)

func listClauses() []clause {
	return []clause{
		{"exact", listIsExact},
		{"own-slice", listIsTheCallers},
	}
}

// listIsExact: every task that was started and not stopped, with the status that Start returned.
func listIsExact(f *fixture) {
	f.nothingLeft("before the first Start")
	want := map[string]driver.Status{}
	var order []string
	for range 3 {
		st := f.serve()
		want[st.ID] = st
		order = append(order, st.ID)
	}
	for _, id := range order {
		got := f.list()
		if len(got) != len(want) {
			f.Errorf("List has %d tasks, want %d", len(got), len(want))
		}
		for _, st := range got {
			if !sameStatus(st, want[st.ID]) {
				f.Errorf("List has %+v, Start returned %+v", st, want[st.ID])
			}
		}
		f.stop(id, patience)
		delete(want, id)
	}
	f.nothingLeft("after the last Stop")
}

// sameStatus compares times as moments: a wire may drop their zone and monotonic part.
func sameStatus(a, b driver.Status) bool {
	if !a.Started.Equal(b.Started) || !a.Ready.Equal(b.Ready) {
		return false
	}
	a.Started, a.Ready = b.Started, b.Ready
	return reflect.DeepEqual(a, b)
}

// listIsTheCallers: what List returns is the caller's own.
func listIsTheCallers(f *fixture) {
	st := f.serve()
	got := f.list()
	got[0].ID = "changed"
	if ids := f.ids(); !slices.Equal(ids, []string{st.ID}) {
		f.Errorf("List changed with the caller's slice: %q", ids)
	}
}
