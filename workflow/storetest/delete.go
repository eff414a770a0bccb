package storetest

import (
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// remove deletes an execution, which must work.
func remove(tb testing.TB, s workflow.Store, x workflow.ExecutionRef) {
	tb.Helper()
	if err := s.Delete(tb.Context(), x); err != nil {
		tb.Fatalf("Delete(%s): %v", x, err)
	}
}

// wantGone checks that nothing is left of an execution.
func wantGone(tb testing.TB, s workflow.Store, x workflow.ExecutionRef, d faas.Digest) {
	tb.Helper()
	_, err := s.Get(tb.Context(), x)
	wantClass(tb, err, faas.ErrNotFound, "Get(%s) after Delete", x)
	_, err = s.Read(tb.Context(), x, 1, 0)
	wantClass(tb, err, faas.ErrNotFound, "Read(%s) after Delete", x)
	_, err = s.Payload(tb.Context(), x, d)
	wantClass(tb, err, faas.ErrNotFound, "Payload(%s) after Delete", x)
	wantClass(tb, s.Append(tb.Context(), &workflow.Batch{Execution: x, After: 3, Events: events(4, 1)}), faas.ErrNotFound, "Append to %s after Delete", x)
	wantClass(tb, s.Delete(tb.Context(), x), faas.ErrNotFound, "Delete(%s) again", x)
	for _, q := range []workflow.ExecutionQuery{{}, {Namespace: x.Namespace, ID: x.ID}, {KeptUntil: epoch.Add(1000 * time.Hour)}} {
		for _, got := range list(tb, s, q) {
			if got.Ref == x {
				tb.Errorf("%s is listed after Delete", x)
			}
		}
	}
}

var deleteClauses = []clause{
	{Name: "delete/everything-of-it", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		_, d, data := large("held by reference")
		for _, id := range []string{"a", "ab", "b"} {
			x := ref(id)
			put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 2), Payloads: map[faas.Digest][]byte{d: data}})
			finish(tb, s, x, 2)
		}
		remove(tb, s, ref("a"))
		wantGone(tb, s, ref("a"), d)
		for _, id := range []string{"ab", "b"} {
			wantSeqs(tb, "the log of another", read(tb, s, ref(id), 1, 0), 1, 3)
			if _, err := s.Payload(tb.Context(), ref(id), d); err != nil {
				tb.Errorf("the payload of another: %v", err)
			}
		}
	}},
	{Name: "delete/not-an-open-one", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		for i, status := range []workflow.Status{workflow.StatusRunning, workflow.StatusSuspended} {
			x := create(tb, s, string(status), i, status, nil)
			wantClass(tb, s.Delete(tb.Context(), x), faas.ErrConflict, "Delete of one that is %s", status)
			wantSeqs(tb, "its log", read(tb, s, x, 1, 0), 1, 1)
		}
	}},
	{Name: "delete/refusals", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		create(tb, s, "a", 0, workflow.StatusSucceeded, nil)
		wantClass(tb, s.Delete(tb.Context(), workflow.ExecutionRef{ID: "a"}), faas.ErrInvalidArgument, "Delete without a run")
		wantClass(tb, s.Delete(tb.Context(), workflow.ExecutionRef{ID: "a", Run: 2}), faas.ErrNotFound, "Delete of a run that is not there")
		wantClass(tb, s.Delete(tb.Context(), ref("b")), faas.ErrNotFound, "Delete of an ID that is not there")
		wantSeqs(tb, "the log", read(tb, s, ref("a"), 1, 0), 1, 1)
	}},
	{Name: "delete/the-name-is-free-again", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		_, d, data := large("held by reference")
		put(tb, s, &workflow.Batch{
			Execution: x, Record: record(x, 0, workflow.StatusSucceeded), Events: events(1, 60),
			Payloads: map[faas.Digest][]byte{d: data}, Snapshot: []byte("old"), SnapshotAt: 50,
		})
		for i := range uint64(60) { // so many batches that a store may delete them in another way
			put(tb, s, &workflow.Batch{Execution: x, After: 60 + i, Events: events(61+i, 1)})
		}
		remove(tb, s, x)
		create(tb, s, "a", 9, workflow.StatusRunning, nil)
		wantSeqs(tb, "the new log", read(tb, s, x, 1, 0), 1, 1)
		_, err := s.Payload(tb.Context(), x, d)
		wantClass(tb, err, faas.ErrNotFound, "the payload of the old one")
		if r := recovered(tb, s)[x]; r == nil || r.Snapshot != nil || r.Last != 1 || len(r.Events) != 1 {
			tb.Errorf("recovered as %+v, want it new", r)
		}
		put(tb, s, &workflow.Batch{Execution: x, After: 1, Events: events(2, 1)})
	}},
	{Name: "delete/one-of-the-runs", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		run := func(n uint64) workflow.ExecutionRef {
			return workflow.ExecutionRef{Namespace: faas.DefaultNamespace, ID: "a", Run: n}
		}
		for n := range uint64(4) {
			create(tb, s, "a", int(n), workflow.StatusSucceeded, func(x *workflow.Execution) { x.Ref.Run = n + 1 })
		}
		remove(tb, s, run(2))
		remove(tb, s, run(4))
		if got := get(tb, s, run(0)).Ref.Run; got != 3 {
			tb.Errorf("the latest run is %d, want 3", got)
		}
		get(tb, s, run(1))
		if got := len(list(tb, s, workflow.ExecutionQuery{Namespace: faas.DefaultNamespace, ID: "a"})); got != 2 {
			tb.Errorf("%d runs are listed, want 2", got)
		}
		remove(tb, s, run(1))
		remove(tb, s, run(3))
		_, err := s.Get(tb.Context(), run(0))
		wantClass(tb, err, faas.ErrNotFound, "Get after all runs were deleted")
	}},
}
