package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var recoverClauses = []clause{
	{Name: "recover/every-open-one-once", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		if all := recovered(tb, s); len(all) != 0 {
			tb.Errorf("an empty store recovers %d", len(all))
		}
		want := make(map[workflow.ExecutionRef]int)
		for i := range 150 {
			x := ref(fmt.Sprint("x", i))
			x.Run = uint64(i%2) + 1
			status := []workflow.Status{workflow.StatusRunning, workflow.StatusSuspended, workflow.StatusFailed}[i%3]
			put(tb, s, &workflow.Batch{Execution: x, Record: record(x, i, status), Events: events(1, 1+i%4)})
			if status.Open() {
				want[x] = 1 + i%4
			}
		}
		all := recovered(tb, s)
		if len(all) != len(want) {
			tb.Errorf("%d are recovered, want %d", len(all), len(want))
		}
		for x, n := range want {
			r := all[x]
			if r == nil {
				tb.Errorf("%s is not recovered", x)
				continue
			}
			wantRecord(tb, "its record", r.Record, get(tb, s, x))
			wantEvents(tb, x.String(), r.Events, events(1, n))
			wantEvents(tb, "the first of "+x.String(), []workflow.Event{r.First}, events(1, 1))
			if r.Last != uint64(n) || r.Snapshot != nil || r.SnapshotAt != 0 {
				tb.Errorf("%s: last %d, snapshot %q at %d; want %d and none", x, r.Last, r.Snapshot, r.SnapshotAt, n)
			}
		}
	}},
	{Name: "recover/long-log", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 5)
		const n = 3 * workflow.MaxPage
		put(tb, s, &workflow.Batch{Execution: x, After: 5, Events: events(6, n)})
		if r := recovered(tb, s)[x]; r == nil {
			tb.Error("it is not recovered")
		} else {
			wantSeqs(tb, "its events", r.Events, 1, 5+n)
		}
	}},
	{Name: "recover/from-the-latest-snapshot", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		check := func(snapshot string, at, last uint64) {
			tb.Helper()
			r := recovered(tb, s)[x]
			if r == nil {
				tb.Fatal("it is not recovered")
			}
			if string(r.Snapshot) != snapshot || r.SnapshotAt != at || r.Last != last {
				tb.Errorf("snapshot %q at %d, last %d; want %q at %d, last %d", r.Snapshot, r.SnapshotAt, r.Last, snapshot, at, last)
			}
			wantSeqs(tb, "the events after it", r.Events, at+1, last)
			wantEvents(tb, "the first", []workflow.Event{r.First}, events(1, 1))
		}
		put(tb, s, &workflow.Batch{Execution: x, Record: record(x, 0, workflow.StatusRunning), Events: events(1, 3), Snapshot: []byte("at 1"), SnapshotAt: 1})
		check("at 1", 1, 3)
		put(tb, s, &workflow.Batch{Execution: x, After: 3, Events: events(4, 4), Snapshot: []byte("at 5"), SnapshotAt: 5})
		check("at 5", 5, 7)
		put(tb, s, &workflow.Batch{Execution: x, After: 7, Events: events(8, 1)})
		check("at 5", 5, 8)
		put(tb, s, &workflow.Batch{Execution: x, After: 8, Events: events(9, 1), Snapshot: []byte("at 9"), SnapshotAt: 9})
		check("at 9", 9, 9)
		wantSeqs(tb, "the whole log", read(tb, s, x, 1, 0), 1, 9)
	}},
	{Name: "recover/not-what-closed", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		for _, id := range []string{"a", "b"} {
			start(tb, s, ref(id), 1)
		}
		finish(tb, s, ref("a"), 1)
		remove(tb, s, ref("a"))
		finish(tb, s, ref("b"), 1)
		if all := recovered(tb, s); len(all) != 0 {
			tb.Errorf("%d are recovered, want none", len(all))
		}
	}},
	{Name: "recover/the-loop-may-append", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		for i := range 100 {
			start(tb, s, ref(fmt.Sprint("x", i)), 2)
		}
		seen := make(map[workflow.ExecutionRef]bool)
		for r, err := range s.Recover(within(tb)) {
			if err != nil {
				tb.Fatalf("Recover: %v", err)
			}
			x := r.Record.Ref
			if x.ID[0] == 'n' {
				continue // it began meanwhile
			}
			if seen[x] {
				tb.Errorf("%s is yielded twice", x)
			}
			seen[x] = true
			b := &workflow.Batch{Execution: x, After: r.Last, Events: events(r.Last+1, 1)}
			if len(seen)%2 == 0 {
				b.Record = record(x, 0, workflow.StatusSucceeded)
			}
			put(tb, s, b)
			start(tb, s, ref("n"+x.ID), 1)
		}
		if len(seen) != 100 {
			tb.Errorf("%d of 100 are yielded", len(seen))
		}
	}},
	{Name: "recover/the-loop-may-end", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		for i := range 200 {
			start(tb, s, ref(fmt.Sprint("x", i)), 1)
		}
		for range s.Recover(tb.Context()) {
			break
		}
		ctx, cancel := context.WithCancel(tb.Context())
		defer cancel()
		var last error
		n := 0
		for _, err := range s.Recover(ctx) {
			cancel()
			n++
			last = err
		}
		wantClass(tb, last, faas.ErrCanceled, "the last of a Recover that is cancelled")
		if n > 200 {
			tb.Errorf("%d of 200 are yielded", n)
		}
		if all := recovered(tb, s); len(all) != 200 {
			tb.Errorf("%d of 200 are recovered after that", len(all))
		}
	}},
}
