package storetest

import (
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var recordClauses = []clause{
	{Name: "get/every-field", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := workflow.ExecutionRef{Namespace: "ns", ID: "ü <&> x", Run: 1<<64 - 1}
		want := workflow.Execution{
			Ref: x, Workflow: faas.Ref{Namespace: "ns", Name: "wf", Version: "7"}, Language: "dag", Durability: workflow.Express,
			Status: workflow.StatusFailed, Started: epoch, Closed: epoch.Add(1), Deadline: epoch.Add(2), Keep: epoch.Add(3),
			Output:     workflow.Bytes("text/plain", []byte(" {\n} ")),
			Failure:    &workflow.Failure{Name: "Boom", Cause: "c", Status: 3, Details: workflow.JSON(` {"a" : 1}`)},
			Attributes: map[string]string{"a": "1", "": "ü"}, Note: "n <&>",
			Parent: &workflow.Parent{Execution: ref("p"), Step: "s", OnClose: workflow.ChildStays}, Input: digest(nil), Logs: 3,
		}
		put(tb, s, &workflow.Batch{Execution: x, Record: &want, Events: events(1, 1)})
		wantRecord(tb, "the record", get(tb, s, x), want)
		if got := list(tb, s, workflow.ExecutionQuery{}); len(got) == 1 {
			wantRecord(tb, "the record as listed", got[0], want)
		}
		plain := workflow.Execution{Ref: ref("plain"), Workflow: faas.Ref{Name: "wf"}, Status: workflow.StatusRunning, Started: time.Unix(0, 0).UTC(), Output: workflow.Bytes("", nil)}
		put(tb, s, &workflow.Batch{Execution: plain.Ref, Record: &plain, Events: events(1, 1)})
		wantRecord(tb, "a plain record", get(tb, s, plain.Ref), plain)
	}},
	{Name: "get/latest-run", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		for _, run := range []uint64{2, 300, 1} {
			x := ref("a")
			x.Run = run
			start(tb, s, x, 1)
		}
		start(tb, s, ref("a1"), 1)
		if got := get(tb, s, workflow.ExecutionRef{ID: "a"}).Ref.Run; got != 300 {
			tb.Errorf("the latest run is %d, want 300", got)
		}
		if got := get(tb, s, workflow.ExecutionRef{ID: "a", Run: 2}).Ref.Run; got != 2 {
			tb.Errorf("run 2 is %d", got)
		}
	}},
	{Name: "get/not-found", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		start(tb, s, ref("b"), 1)
		for _, x := range []workflow.ExecutionRef{{ID: "a"}, {ID: "b", Run: 2}, {Namespace: "other", ID: "b", Run: 1}, {ID: "bb"}, {ID: "B"}} {
			_, err := s.Get(tb.Context(), x)
			wantClass(tb, err, faas.ErrNotFound, "Get(%s)", x)
		}
	}},
	{Name: "get/result-is-the-callers", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 1)
		got := get(tb, s, x)
		got.Attributes["n"] = "changed"
		for _, got := range list(tb, s, workflow.ExecutionQuery{}) {
			got.Attributes["n"] = "changed"
		}
		for _, r := range recovered(tb, s) {
			r.Record.Attributes["n"] = "changed"
		}
		wantRecord(tb, "the record", get(tb, s, x), *record(x, 0, workflow.StatusRunning))
	}},
}
