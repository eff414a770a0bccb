package storetest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// list returns everything that the query lists, page by page.
func list(tb testing.TB, s workflow.Store, q workflow.ExecutionQuery) (all []workflow.Execution) {
	tb.Helper()
	for pages := 0; ; pages++ {
		page, err := s.List(tb.Context(), q)
		if err != nil {
			tb.Fatalf("List(%+v): %v", q, err)
		}
		if q.Limit > 0 && len(page.Executions) > q.Limit {
			tb.Errorf("a page of %d, want at most %d", len(page.Executions), q.Limit)
		}
		all = append(all, page.Executions...)
		if page.Next == "" {
			return all
		}
		if len(page.Executions) == 0 || pages > 10_000 {
			tb.Fatal("pages without end")
		}
		q.Token = page.Next
	}
}

// listed are the IDs.
func listed(tb testing.TB, s workflow.Store, q workflow.ExecutionQuery) (ids []string) {
	tb.Helper()
	for _, x := range list(tb, s, q) {
		ids = append(ids, x.Ref.ID)
	}
	return ids
}

func wantIDs(tb testing.TB, what string, got []string, want ...string) {
	tb.Helper()
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		tb.Errorf("%s: %v, want %v", what, got, want)
	}
}

// create creates an execution that started n seconds after the epoch.
func create(tb testing.TB, s workflow.Store, id string, n int, status workflow.Status, change func(*workflow.Execution)) workflow.ExecutionRef {
	tb.Helper()
	x := ref(id)
	r := record(x, n, status)
	if change != nil {
		change(r)
	}
	put(tb, s, &workflow.Batch{Execution: r.Ref, Record: r, Events: events(1, 1)})
	return r.Ref
}

var listClauses = []clause{
	{Name: "list/order", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		create(tb, s, "b", 1, workflow.StatusRunning, nil)
		create(tb, s, "d", 3, workflow.StatusSucceeded, nil)
		create(tb, s, "a", 1, workflow.StatusFailed, nil)
		create(tb, s, "c", 2, workflow.StatusRunning, nil)
		create(tb, s, "a", 1, workflow.StatusRunning, func(x *workflow.Execution) { x.Ref.Run = 2 })
		create(tb, s, "z", 1, workflow.StatusRunning, func(x *workflow.Execution) { x.Ref.Namespace = "a-first-namespace" })
		create(tb, s, "old", -3_000_000_000, workflow.StatusRunning, nil)
		for _, limit := range []int{0, 1, 2, 3} {
			wantIDs(tb, fmt.Sprint("pages of ", limit), listed(tb, s, workflow.ExecutionQuery{Limit: limit}), "d", "c", "z", "a", "a", "b", "old")
		}
	}},
	{Name: "list/filters", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		create(tb, s, "a", 1, workflow.StatusRunning, func(x *workflow.Execution) { x.Attributes = map[string]string{"k": "1", "l": "2"} })
		create(tb, s, "b", 2, workflow.StatusSuspended, func(x *workflow.Execution) { x.Attributes = map[string]string{"k": "1"} })
		create(tb, s, "c", 3, workflow.StatusSucceeded, func(x *workflow.Execution) { x.Workflow.Name = "other" })
		create(tb, s, "d", 4, workflow.StatusFailed, func(x *workflow.Execution) { x.Ref.Namespace = "ns" })
		create(tb, s, "b", 5, workflow.StatusRunning, func(x *workflow.Execution) { x.Ref.Run = 2 })
		create(tb, s, "e", 6, workflow.StatusTimedOut, func(x *workflow.Execution) { x.Keep = time.Time{} })
		at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }
		keep := record(ref("c"), 3, workflow.StatusSucceeded).Keep
		for _, c := range []struct {
			q    workflow.ExecutionQuery
			want []string
		}{
			{workflow.ExecutionQuery{}, []string{"e", "b", "d", "c", "b", "a"}},
			{workflow.ExecutionQuery{Namespace: "ns"}, []string{"d"}},
			{workflow.ExecutionQuery{Namespace: "default"}, []string{"e", "b", "c", "b", "a"}},
			{workflow.ExecutionQuery{Workflow: "other"}, []string{"c"}},
			{workflow.ExecutionQuery{ID: "b"}, []string{"b", "b"}},
			{workflow.ExecutionQuery{Namespace: "default", ID: "b"}, []string{"b", "b"}},
			{workflow.ExecutionQuery{Namespace: "default", ID: "b", Statuses: []workflow.Status{workflow.StatusSuspended}}, []string{"b"}},
			{workflow.ExecutionQuery{Namespace: "ns", ID: "b"}, nil},
			{workflow.ExecutionQuery{Statuses: []workflow.Status{workflow.StatusRunning}}, []string{"b", "a"}},
			{workflow.ExecutionQuery{Statuses: []workflow.Status{workflow.StatusSucceeded, workflow.StatusSuspended}}, []string{"c", "b"}},
			{workflow.ExecutionQuery{Statuses: []workflow.Status{workflow.StatusFailed, workflow.StatusTimedOut}}, []string{"e", "d"}},
			{workflow.ExecutionQuery{Statuses: []workflow.Status{workflow.StatusCanceled}}, nil},
			{workflow.ExecutionQuery{Attributes: map[string]string{"k": "1"}}, []string{"b", "a"}},
			{workflow.ExecutionQuery{Attributes: map[string]string{"k": "1", "l": "2"}}, []string{"a"}},
			{workflow.ExecutionQuery{StartedFrom: at(4)}, []string{"e", "b", "d"}},
			{workflow.ExecutionQuery{StartedBefore: at(2)}, []string{"a"}},
			{workflow.ExecutionQuery{StartedFrom: at(2), StartedBefore: at(4)}, []string{"c", "b"}},
			{workflow.ExecutionQuery{StartedFrom: at(4), StartedBefore: at(2)}, nil},
			{workflow.ExecutionQuery{KeptUntil: keep}, []string{"e", "c"}},
			{workflow.ExecutionQuery{KeptUntil: keep.Add(-1)}, []string{"e"}},
			{workflow.ExecutionQuery{KeptUntil: keep.Add(time.Hour)}, []string{"e", "d", "c"}},
			{workflow.ExecutionQuery{KeptUntil: keep.Add(time.Hour), Workflow: "other"}, []string{"c"}},
		} {
			for _, limit := range []int{0, 1} {
				c.q.Limit = limit
				wantIDs(tb, fmt.Sprintf("%+v", c.q), listed(tb, s, c.q), c.want...)
			}
		}
	}},
	{Name: "list/follows-changes", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		x := ref("a")
		start(tb, s, x, 1)
		running := workflow.ExecutionQuery{Statuses: []workflow.Status{workflow.StatusRunning}}
		due := workflow.ExecutionQuery{KeptUntil: epoch.Add(24 * time.Hour)}
		check := func(what string, open bool) {
			tb.Helper()
			wantIDs(tb, what+": all", listed(tb, s, workflow.ExecutionQuery{}), "a")
			if got := len(listed(tb, s, running)); (got == 1) != open {
				tb.Errorf("%s: listed %d times as running", what, got)
			}
			if got := len(listed(tb, s, due)); (got == 1) == open {
				tb.Errorf("%s: listed %d times as over", what, got)
			}
		}
		check("started", true)
		finish(tb, s, x, 1)
		check("closed", false)
		put(tb, s, &workflow.Batch{Execution: x, After: 2, Events: events(3, 1), Record: record(x, 0, workflow.StatusRunning)})
		check("redriven", true)
		finish(tb, s, x, 3)
		check("closed again", false)
		later := record(x, 0, workflow.StatusSucceeded)
		later.Keep = epoch.Add(48 * time.Hour)
		put(tb, s, &workflow.Batch{Execution: x, After: 4, Events: events(5, 1), Record: later})
		wantIDs(tb, "kept longer", listed(tb, s, due))
	}},
	{Name: "list/pages-while-they-come-and-go", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		for i := range 40 {
			status := workflow.StatusRunning
			if i%3 == 0 {
				status = workflow.StatusSucceeded
			}
			create(tb, s, fmt.Sprintf("stays-%02d", i), i, status, nil)
			create(tb, s, fmt.Sprintf("goes-%02d", i), i, workflow.StatusSucceeded, nil)
		}
		seen := make(map[string]int)
		q := workflow.ExecutionQuery{Limit: 7}
		for n := 0; ; n++ {
			page, err := s.List(tb.Context(), q)
			if err != nil {
				tb.Fatalf("List: %v", err)
			}
			for _, x := range page.Executions {
				seen[x.Ref.ID]++
			}
			if page.Next == "" {
				break
			}
			q.Token = page.Next
			// The one that the page ended with goes, others come before and after, and one changes.
			last := page.Executions[len(page.Executions)-1].Ref
			if last.ID[0] == 'g' {
				if err := s.Delete(tb.Context(), last); err != nil {
					tb.Fatalf("Delete: %v", err)
				}
			}
			create(tb, s, fmt.Sprintf("new-%02d", n), n*4, workflow.StatusRunning, nil)
			if x := ref(fmt.Sprintf("stays-%02d", 39-n*3)); n < 10 && get(tb, s, x).Status.Open() {
				r := record(x, 39-n*3, workflow.StatusFailed)
				put(tb, s, &workflow.Batch{Execution: x, After: 1, Events: events(2, 1), Record: r})
			}
		}
		for i := range 40 {
			if id := fmt.Sprintf("stays-%02d", i); seen[id] != 1 {
				tb.Errorf("%s is listed %d times", id, seen[id])
			}
		}
		for id, n := range seen {
			if n > 1 {
				tb.Errorf("%s is listed %d times", id, n)
			}
		}
	}},
	{Name: "list/invalid", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		create(tb, s, "a", 1, workflow.StatusRunning, nil)
		for _, q := range []workflow.ExecutionQuery{
			{Limit: -1}, {Limit: workflow.MaxPage + 1}, {Token: "x"}, {Token: "no token at all"}, {Token: "AAAA"},
		} {
			_, err := s.List(tb.Context(), q)
			wantClass(tb, err, faas.ErrInvalidArgument, "List(%+v)", q)
		}
		page, err := s.List(tb.Context(), workflow.ExecutionQuery{Limit: workflow.MaxPage})
		if err != nil || len(page.Executions) != 1 || page.Next != "" {
			tb.Errorf("the largest page: %d, next %q, %v", len(page.Executions), page.Next, err)
		}
	}},
}
