package storetest

import (
	"maps"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// everyField are events that between them use each field in each way.
func everyField() []workflow.Event {
	t := epoch.Add(time.Second)
	held, _, _ := large("held by reference")
	es := []workflow.Event{
		{Kind: workflow.ExecutionStarted, Payload: workflow.JSON(` {"a": [1, 2] } `), Start: &workflow.Start{
			Execution: ref("all"), Seed: 1 << 63, Secret: []byte{0, 1, 255}, Deadline: t.Add(time.Hour),
			Definition: workflow.Definition{Ref: faas.Ref{Namespace: "ns", Name: "wf", Version: "9"}, Language: "dag", Source: "a\x00b <&> ü\n", Durability: workflow.Express, Timeout: time.Minute, Priority: -3, Retention: 5, Created: t},
			Parent:     &workflow.Parent{Execution: workflow.ExecutionRef{Namespace: "ns", ID: "p", Run: 2}, Step: "s", OnClose: workflow.ChildCancels},
			Attributes: map[string]string{"k": "v", "": "<&>"},
			ForkOf:     &workflow.ExecutionRef{Namespace: "ns", ID: "f", Run: 3},
		}},
		{Kind: workflow.StepSucceeded, Step: "a/b c", Node: "n", Name: "ns/fn@1", Attempt: 3, Began: t.Add(-time.Second), Cold: time.Millisecond, Payload: workflow.Bytes("image/png", []byte{0, 255, '\n'})},
		{Kind: workflow.StepFailed, Step: "b", Attempt: 1, Failure: &workflow.Failure{Name: "Boom", Cause: "because <&>", Status: 502, Details: workflow.Bytes("text/plain", []byte("body"))}},
		{Kind: workflow.StepRetrying, Step: "c", Attempt: 2, Due: t.Add(72 * time.Hour), Rule: 4, Failure: &workflow.Failure{Name: workflow.FailureTimeout, Details: held}},
		{Kind: workflow.SignalReceived, Name: "approve", Payload: workflow.Bytes("", nil)},
		{Kind: workflow.StepSucceeded, Step: "d", From: 5, Payload: held},
		{Kind: workflow.ExecutionRedriven, Undone: []uint64{3, 4}},
		{Kind: workflow.ExecutionSucceeded},
	}
	for i := range es {
		es[i].Seq, es[i].Time = uint64(i)+1, t.Add(time.Duration(i)*time.Nanosecond)
	}
	return es
}

var appendClauses = []clause{
	{Name: "append/creates-and-extends", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 2)
		put(tb, s, &workflow.Batch{Execution: x, After: 2, Events: events(3, 3)})
		put(tb, s, &workflow.Batch{Execution: x, After: 5, Events: events(6, 1)})
		wantEvents(tb, "the log", read(tb, s, x, 1, 0), events(1, 6))
	}},
	{Name: "append/every-field-comes-back", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("all")
		_, d, data := large("held by reference")
		put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: everyField(), Payloads: map[faas.Digest][]byte{d: data}})
		wantEvents(tb, "the log", read(tb, s, x, 1, 0), everyField())
	}},
	{Name: "append/replaces-the-record-or-keeps-it", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 1)
		wantRecord(tb, "the first record", get(tb, s, x), *record(x, 0, workflow.StatusRunning))
		put(tb, s, &workflow.Batch{Execution: x, After: 1, Events: events(2, 1)})
		wantRecord(tb, "the record after a batch without one", get(tb, s, x), *record(x, 0, workflow.StatusRunning))
		second := record(x, 0, workflow.StatusSuspended)
		second.Note, second.Attributes = "other", map[string]string{"m": "1"}
		put(tb, s, &workflow.Batch{Execution: x, After: 2, Events: events(3, 1), Record: second})
		wantRecord(tb, "the second record", get(tb, s, x), *second)
	}},
	{Name: "append/default-namespace", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		bare := workflow.ExecutionRef{ID: "a", Run: 1}
		r := record(bare, 0, workflow.StatusRunning)
		put(tb, s, &workflow.Batch{Execution: bare, Record: r, Events: events(1, 1)})
		wantSeqs(tb, "by the full name", read(tb, s, ref("a"), 1, 0), 1, 1)
		put(tb, s, &workflow.Batch{Execution: ref("a"), After: 1, Events: events(2, 1)})
		wantSeqs(tb, "by the short name", read(tb, s, bare, 1, 0), 1, 2)
		if got := get(tb, s, bare).Ref; got != ref("a") {
			tb.Errorf("the record is that of %+v, want %+v", got, ref("a"))
		}
	}},
	{Name: "append/batch-is-the-callers-again", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		_, d, data := large("held by reference")
		b := &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 3), Payloads: map[faas.Digest][]byte{d: append([]byte{}, data...)}, Snapshot: []byte("snapshot"), SnapshotAt: 3}
		put(tb, s, b)
		b.Record.Note = "changed"
		b.Record.Attributes["n"] = "changed"
		for i := range b.Events {
			b.Events[i] = workflow.Event{Seq: 99}
		}
		clear(b.Payloads[d])
		clear(b.Payloads)
		clear(b.Snapshot)
		wantEvents(tb, "the log", read(tb, s, x, 1, 0), events(1, 3))
		wantRecord(tb, "the record", get(tb, s, x), *record(x, 0, workflow.StatusRunning))
		if got, err := s.Payload(tb.Context(), x, d); err != nil || string(got) != string(data) {
			tb.Errorf("the payload is %q, %v; want %q", got, err, data)
		}
		if r := recovered(tb, s)[x]; r == nil || string(r.Snapshot) != "snapshot" {
			tb.Errorf("recovered as %+v, want the snapshot as it was", r)
		}
	}},
	{Name: "append/runs-of-one-id", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		lengths := map[uint64]int{1: 2, 3: 4, 2: 3} // in any order
		for run, n := range maps.All(lengths) {
			x := ref("a")
			x.Run = run
			start(tb, s, x, n)
		}
		for run, n := range lengths {
			x := ref("a")
			x.Run = run
			wantSeqs(tb, x.String(), read(tb, s, x, 1, 0), 1, uint64(n))
		}
		latest := ref("a")
		latest.Run = 0
		wantSeqs(tb, "the latest run", read(tb, s, latest, 1, 0), 1, 4)
	}},
	{Name: "append/reopens-a-closed-one", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 1)
		finish(tb, s, x, 1)
		put(tb, s, &workflow.Batch{Execution: x, After: 2, Events: events(3, 1), Record: record(x, 0, workflow.StatusRunning)})
		wantSeqs(tb, "the log", read(tb, s, x, 1, 0), 1, 3)
		if r := recovered(tb, s)[x]; r == nil || r.Last != 3 {
			tb.Errorf("recovered as %+v, want it open with 3 events", r)
		}
		finish(tb, s, x, 3)
		if got := list(tb, s, workflow.ExecutionQuery{}); len(got) != 1 {
			tb.Errorf("listed as %v, want it once", got)
		}
	}},
}
