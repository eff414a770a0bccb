package storetest

import (
	"fmt"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/workflow"
)

var faultClauses = []clause{
	{Name: "fault/a-failed-write-poisons", Check: func(tb testing.TB, h Harness) {
		if h.Fail == nil {
			tb.Skip("no write can be made to fail: Harness.Fail is nil")
		}
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 2)
		create(tb, s, "closed", 1, workflow.StatusSucceeded, nil)
		h.Fail(tb, s)
		wantClass(tb, s.Append(tb.Context(), &workflow.Batch{Execution: x, After: 2, Events: events(3, 1)}), faas.ErrUnavailable, "the write that fails")
		// The disk works again, but nobody knows what is on it.
		for range 2 {
			wantClass(tb, s.Append(tb.Context(), &workflow.Batch{Execution: ref("b"), Record: record(ref("b"), 0, workflow.StatusRunning), Events: events(1, 1)}), faas.ErrUnavailable, "a write to another one after that")
			wantClass(tb, s.Delete(tb.Context(), ref("closed")), faas.ErrUnavailable, "a delete after that")
		}
		if h.Reopen == nil {
			return
		}
		s = kit.Closing(tb, h.Reopen(tb, s))
		es := read(tb, s, x, 1, 0)
		if len(es) != 2 && len(es) != 3 {
			tb.Errorf("opened again the log has %d events, want 2, or 3 if the write had come through", len(es))
		}
		_, err := s.Get(tb.Context(), ref("b"))
		wantClass(tb, err, faas.ErrNotFound, "what was refused, opened again")
		put(tb, s, &workflow.Batch{Execution: x, After: uint64(len(es)), Events: events(uint64(len(es))+1, 1)})
		remove(tb, s, ref("closed"))
	}},
	{Name: "fault/damage-is-named", Check: func(tb testing.TB, h Harness) {
		s, x := h.damaged(tb)
		_, err := s.Read(tb.Context(), x, 1, 0)
		wantClass(tb, err, faas.ErrCorrupt, "Read of the damaged log")
		found := 0
		for r, err := range s.Recover(tb.Context()) {
			switch {
			case r == nil:
				tb.Errorf("Recover yields no record: %v", err)
			case r.Record.Ref == x:
				found++
				wantClass(tb, err, faas.ErrCorrupt, "Recover of the damaged log")
			case err != nil:
				tb.Errorf("Recover of %s: %v", r.Record.Ref, err)
			default:
				wantEvents(tb, "another's log", r.Events, events(1, 3))
			}
		}
		if found != 1 {
			tb.Errorf("Recover yields the damaged one %d times", found)
		}
	}},
	{Name: "fault/others-are-served", Check: func(tb testing.TB, h Harness) {
		s, x := h.damaged(tb)
		n := 0
		for _, r := range list(tb, s, workflow.ExecutionQuery{}) {
			if n++; r.Ref == x {
				continue
			}
			wantEvents(tb, "another's log", read(tb, s, r.Ref, 1, 0), events(1, 3))
			put(tb, s, &workflow.Batch{Execution: r.Ref, After: 3, Events: events(4, 1)})
		}
		if n != 5 {
			tb.Errorf("%d are listed, want 5", n)
		}
		start(tb, s, ref("new"), 1)
	}},
}

// damaged is a store with five executions, of which the events of one are damaged.
func (h Harness) damaged(tb testing.TB) (workflow.Store, workflow.ExecutionRef) {
	if h.Corrupt == nil {
		tb.Skip("nothing can be damaged: Harness.Corrupt is nil")
	}
	s := h.open(tb)
	for i := range 5 {
		start(tb, s, ref(fmt.Sprint("x", i)), 3)
	}
	x := ref("x2")
	return kit.Closing(tb, h.Corrupt(tb, s, x)), x
}
