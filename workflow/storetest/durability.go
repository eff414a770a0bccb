package storetest

import (
	"fmt"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

// durable skips a store that is not, and returns the function that opens one again.
func (h Harness) durable(tb testing.TB) func(workflow.Store) workflow.Store {
	if h.Reopen == nil {
		tb.Skip("the store is not durable: Harness.Reopen is nil")
	}
	return func(s workflow.Store) workflow.Store { return kit.Closing(tb, h.Reopen(tb, s)) }
}

var durabilityClauses = []clause{
	{Name: "durability/logs-records-and-payloads", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		s := h.open(tb)
		_, d, data := large("held by reference")
		put(tb, s, &workflow.Batch{Execution: ref("all"), Record: record(ref("all"), 0, workflow.StatusRunning), Events: everyField(), Payloads: map[faas.Digest][]byte{d: data}})
		for i := range 10 {
			create(tb, s, fmt.Sprint("x", i), i, workflow.StatusRunning, nil)
			if i%2 == 0 {
				x := ref(fmt.Sprint("x", i))
				put(tb, s, &workflow.Batch{Execution: x, After: 1, Events: events(2, 1), Record: record(x, i, workflow.StatusFailed)})
			}
		}
		for range 2 {
			s = reopen(s)
			wantEvents(tb, "the log", read(tb, s, ref("all"), 1, 0), everyField())
			if got, err := s.Payload(tb.Context(), ref("all"), d); err != nil || string(got) != string(data) {
				tb.Errorf("the payload: %q, %v", got, err)
			}
			for i := range 10 {
				status := workflow.StatusRunning
				if i%2 == 0 {
					status = workflow.StatusFailed
				}
				x := ref(fmt.Sprint("x", i))
				wantRecord(tb, "a record", get(tb, s, x), *record(x, i, status))
			}
			wantIDs(tb, "listed", listed(tb, s, workflow.ExecutionQuery{Limit: 4}), "x9", "x8", "x7", "x6", "x5", "x4", "x3", "x2", "x1", "all", "x0")
			if all := recovered(tb, s); len(all) != 6 {
				tb.Errorf("%d are recovered, want 6", len(all))
			}
		}
	}},
	{Name: "durability/the-log-goes-on", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 3)
		s = reopen(s)
		wantClass(tb, s.Append(tb.Context(), &workflow.Batch{Execution: x, After: 2, Events: events(3, 1)}), faas.ErrConflict, "after 2 of 3")
		wantClass(tb, s.Append(tb.Context(), &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 1)}), faas.ErrConflict, "creating it again")
		put(tb, s, &workflow.Batch{Execution: x, After: 3, Events: events(4, 2)})
		s = reopen(s)
		wantEvents(tb, "the log", read(tb, s, x, 1, 0), events(1, 5))
	}},
	{Name: "durability/snapshots-and-trims", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		s := h.open(tb)
		x, y := ref("a"), ref("b")
		start(tb, s, x, 4)
		put(tb, s, &workflow.Batch{Execution: x, After: 4, Events: events(5, 2), Snapshot: []byte("s"), SnapshotAt: 5, TrimBefore: 4})
		start(tb, s, y, 4)
		put(tb, s, &workflow.Batch{Execution: y, After: 4, Events: events(5, 2), Snapshot: []byte("t"), SnapshotAt: 6, TrimBefore: 7})
		s = reopen(s)
		wantTrimmed(tb, s, x, 4, 6)
		wantTrimmed(tb, s, y, 7, 6)
		all := recovered(tb, s)
		if a, b := all[x], all[y]; a == nil || b == nil || string(a.Snapshot) != "s" || a.SnapshotAt != 5 || a.Last != 6 || b.Last != 6 || len(b.Events) != 0 {
			tb.Fatalf("recovered as %+v and %+v", a, b)
		}
		wantSeqs(tb, "the events after the snapshot", all[x].Events, 6, 6)
		put(tb, s, &workflow.Batch{Execution: y, After: 6, Events: events(7, 1)})
		wantTrimmed(tb, s, y, 7, 7)
	}},
	{Name: "durability/deletions", Check: func(tb testing.TB, h Harness) {
		reopen := h.durable(tb)
		s := h.open(tb)
		_, d, data := large("held by reference")
		for _, id := range []string{"a", "b"} {
			x := ref(id)
			put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusSucceeded), Events: events(1, 3), Payloads: map[faas.Digest][]byte{d: data}})
		}
		remove(tb, s, ref("a"))
		s = reopen(s)
		wantGone(tb, s, ref("a"), d)
		wantSeqs(tb, "the other", read(tb, s, ref("b"), 1, 0), 1, 3)
	}},
}
