package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var refusalClauses = []clause{
	{Name: "append/conflict-when-it-exists", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 2)
		err := s.Append(tb.Context(), &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 1)})
		wantClass(tb, err, faas.ErrConflict, "creating it again")
		finish(tb, s, x, 2)
		err = s.Append(tb.Context(), &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 1)})
		wantClass(tb, err, faas.ErrConflict, "creating it again after it has closed")
		wantSeqs(tb, "the log", read(tb, s, x, 1, 0), 1, 3)
	}},
	{Name: "append/conflict-when-the-log-ends-elsewhere", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 3)
		for _, after := range []uint64{1, 2, 4, 1000} {
			err := s.Append(tb.Context(), &workflow.Batch{Execution: x, After: after, Events: events(after+1, 1)})
			wantClass(tb, err, faas.ErrConflict, "after %d of 3", after)
		}
		wantSeqs(tb, "the log", read(tb, s, x, 1, 0), 1, 3)
	}},
	{Name: "append/not-found", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		start(tb, s, ref("a"), 1)
		second := ref("a")
		second.Run = 2
		for _, x := range []workflow.ExecutionRef{ref("b"), second, {Namespace: "other", ID: "a", Run: 1}} {
			wantClass(tb, s.Append(tb.Context(), &workflow.Batch{Execution: x, After: 1, Events: events(2, 1)}), faas.ErrNotFound, "after 1 of %s", x)
		}
	}},
	{Name: "append/invalid", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 4), Snapshot: []byte("s"), SnapshotAt: 2})
		gap := events(5, 2)
		gap[1].Seq = 7
		moved := record(x, 0, workflow.StatusRunning)
		moved.Started = moved.Started.Add(time.Nanosecond)
		noRun := x
		noRun.Run = 0
		for what, b := range map[string]*workflow.Batch{
			"no events":                      {Execution: x, After: 4},
			"a gap between":                  {Execution: x, After: 4, Events: gap},
			"a gap before":                   {Execution: x, After: 4, Events: events(6, 1)},
			"no run":                         {Execution: noRun, After: 4, Events: events(5, 1)},
			"another's record":               {Execution: x, After: 4, Events: events(5, 1), Record: record(ref("b"), 0, workflow.StatusRunning)},
			"another start":                  {Execution: x, After: 4, Events: events(5, 1), Record: moved},
			"a snapshot after the end":       {Execution: x, After: 4, Events: events(5, 1), Snapshot: []byte("s"), SnapshotAt: 6},
			"a snapshot of nothing":          {Execution: x, After: 4, Events: events(5, 1), Snapshot: []byte("s")},
			"a trim after the snapshot":      {Execution: x, After: 4, Events: events(5, 1), TrimBefore: 4},
			"a trim after the new snapshot":  {Execution: x, After: 4, Events: events(5, 1), Snapshot: []byte("s"), SnapshotAt: 4, TrimBefore: 6},
			"creating without a record":      {Execution: ref("b"), Events: events(1, 1)},
			"creating with a malformed name": {Execution: ref("b/c"), Events: events(1, 1), Record: record(ref("b/c"), 0, workflow.StatusRunning)},
		} {
			wantClass(tb, s.Append(tb.Context(), b), faas.ErrInvalidArgument, "%s", what)
		}
		wantEvents(tb, "the log", read(tb, s, x, 1, 0), events(1, 4))
		wantRecord(tb, "the record", get(tb, s, x), *record(x, 0, workflow.StatusRunning))
	}},
	{Name: "append/refused-changes-nothing", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 4), Snapshot: []byte("old"), SnapshotAt: 2})
		_, d, data := large("new")
		changed := record(x, 0, workflow.StatusFailed)
		changed.Note = "new"
		b := &workflow.Batch{
			Execution: x, After: 3, Events: events(4, 1), Record: changed, Payloads: map[faas.Digest][]byte{d: data},
			Snapshot: []byte("new"), SnapshotAt: 4, TrimBefore: 4,
		}
		wantClass(tb, s.Append(tb.Context(), b), faas.ErrConflict, "after 3 of 4")
		b.Execution, changed.Ref, b.After, b.Events = ref("b"), ref("b"), 4, events(5, 1)
		wantClass(tb, s.Append(tb.Context(), b), faas.ErrNotFound, "to one that is not there")
		for _, x := range []workflow.ExecutionRef{x, ref("b")} {
			_, err := s.Payload(tb.Context(), x, d)
			wantClass(tb, err, faas.ErrNotFound, "the payload of a refused batch of %s", x)
		}
		wantEvents(tb, "the log", read(tb, s, x, 1, 0), events(1, 4))
		wantRecord(tb, "the record", get(tb, s, x), *record(x, 0, workflow.StatusRunning))
		if all := recovered(tb, s); len(all) != 1 || string(all[x].Snapshot) != "old" || all[x].SnapshotAt != 2 {
			tb.Errorf("recovered %d, the first as %+v; want it alone, as it was", len(all), all[x])
		}
		if got := list(tb, s, workflow.ExecutionQuery{}); len(got) != 1 {
			tb.Errorf("listed %v, want one", got)
		}
	}},
	{Name: "append/cancelled", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 1)
		ctx, cancel := context.WithCancel(tb.Context())
		cancel()
		wantClass(tb, s.Append(ctx, &workflow.Batch{Execution: x, After: 1, Events: events(2, 1)}), faas.ErrCanceled, "Append with a context that has ended")
		wantSeqs(tb, "the log", read(tb, s, x, 1, 0), 1, 1)
		_, err := s.Read(ctx, x, 1, 0)
		wantClass(tb, err, faas.ErrCanceled, "Read with a context that has ended")
	}},
}
