package storetest

import (
	"encoding/json"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// wantTrimmed checks a log that has its first event and those from Seq from to last.
func wantTrimmed(tb testing.TB, s workflow.Store, x workflow.ExecutionRef, from, last uint64) {
	tb.Helper()
	want := events(1, 1)
	if from <= last {
		want = append(want, events(from, int(last-from)+1)...)
	}
	wantEvents(tb, "the trimmed log", read(tb, s, x, 1, 0), want)
	wantEvents(tb, "the trimmed log from 2 on", read(tb, s, x, 2, 0), want[1:])
	if len(want) > 1 {
		wantEvents(tb, "its second event", read(tb, s, x, 2, 1), want[1:2])
		wantEvents(tb, "its last event", read(tb, s, x, last, 0), want[len(want)-1:])
	}
}

var trimClauses = []clause{
	{Name: "trim/anywhere", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		for before := uint64(1); before <= 11; before++ {
			x := ref(string(rune('a' + before)))
			start(tb, s, x, 3) // batches 1-3, 4, 5-8, 9
			put(tb, s, &workflow.Batch{Execution: x, After: 3, Events: events(4, 1)})
			put(tb, s, &workflow.Batch{Execution: x, After: 4, Events: events(5, 4)})
			put(tb, s, &workflow.Batch{Execution: x, After: 8, Events: events(9, 2), Snapshot: []byte("s"), SnapshotAt: 10, TrimBefore: before})
			wantTrimmed(tb, s, x, max(before, 2), 10)
			r := recovered(tb, s)[x]
			if r == nil || r.Last != 10 || string(r.Snapshot) != "s" || len(r.Events) != 0 || r.First.Seq != 1 {
				tb.Errorf("trimmed before %d it is recovered as %+v", before, r)
			}
		}
	}},
	{Name: "trim/the-log-goes-on", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 5)
		put(tb, s, &workflow.Batch{Execution: x, After: 5, Events: events(6, 1), Snapshot: []byte("s"), SnapshotAt: 6, TrimBefore: 7})
		wantTrimmed(tb, s, x, 7, 6)
		wantClass(tb, s.Append(tb.Context(), &workflow.Batch{Execution: x, After: 1, Events: events(2, 1)}), faas.ErrConflict, "after 1 of 6 when only the first is left")
		put(tb, s, &workflow.Batch{Execution: x, After: 6, Events: events(7, 3)})
		wantTrimmed(tb, s, x, 7, 9)
		put(tb, s, &workflow.Batch{Execution: x, After: 9, Events: events(10, 1), TrimBefore: 7})
		put(tb, s, &workflow.Batch{Execution: x, After: 10, Events: events(11, 2), Snapshot: []byte("t"), SnapshotAt: 11, TrimBefore: 10})
		wantTrimmed(tb, s, x, 10, 12)
		r := recovered(tb, s)[x]
		if r == nil || r.Last != 12 || r.SnapshotAt != 11 {
			tb.Fatalf("recovered as %+v", r)
		}
		wantSeqs(tb, "the events after the snapshot", r.Events, 12, 12)
	}},
	{Name: "trim/from-the-start", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a") // a fork brings its log and a snapshot in one batch
		put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 6), Snapshot: []byte("s"), SnapshotAt: 4, TrimBefore: 5})
		wantTrimmed(tb, s, x, 5, 6)
		put(tb, s, &workflow.Batch{Execution: x, After: 6, Events: events(7, 1)})
		wantTrimmed(tb, s, x, 5, 7)
	}},
	{Name: "trim/payloads-that-nothing-holds", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		texts := []string{"input", "dropped", "in the snapshot", "in the snapshot as JSON", "kept event", "kept failure", "in the record", "again"}
		es := events(1, len(texts))
		b := &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: es, Payloads: make(map[faas.Digest][]byte)}
		held := make(map[string]workflow.Payload)
		for i, text := range texts {
			p, d, data := large(text)
			held[text], b.Payloads[d] = p, data
			if es[i].Payload = p; text == "kept failure" {
				es[i].Kind, es[i].Payload, es[i].Failure = workflow.StepFailed, workflow.Payload{}, &workflow.Failure{Name: "Boom", Details: p}
			}
		}
		es[4].Payload, es[6].Payload = held["dropped"], held["dropped"]
		put(tb, s, b)
		asJSON, err := json.Marshal(held["in the snapshot as JSON"])
		if err != nil {
			tb.Fatal(err)
		}
		snapshot := append(workflow.AppendPayload([]byte("state: "), held["in the snapshot"]), asJSON...)
		r := record(x, 0, workflow.StatusRunning)
		r.Output = held["in the record"]
		more := events(9, 2) // trimmed is 1-8 but the first, and with it all holders of "dropped"
		more[0].Payload = held["kept event"]
		more[1].Kind, more[1].Failure, more[1].Payload = workflow.StepFailed, &workflow.Failure{Name: "Boom", Details: held["kept failure"]}, held["again"]
		_, d, data := large("again")
		put(tb, s, &workflow.Batch{
			Execution: x, After: 8, Events: more, Record: r, Payloads: map[faas.Digest][]byte{d: data},
			Snapshot: snapshot, SnapshotAt: 8, TrimBefore: 9,
		})
		for _, text := range texts {
			got, err := s.Payload(tb.Context(), x, digest([]byte(text)))
			if text == "dropped" {
				wantClass(tb, err, faas.ErrNotFound, "the payload that only dropped events held")
			} else if err != nil || string(got) != text {
				tb.Errorf("the payload %q: %q, %v", text, got, err)
			}
		}
	}},
}
