package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

var manyClauses = []clause{
	// Linearizable per execution: of all who append after the same event one wins, a
	// winner's event stays at its place, and a reader sees a prefix that never gets shorter.
	{Name: "many/one-winner", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		const executions, writers, each = 3, 6, 25
		for i := range executions {
			start(tb, s, ref(fmt.Sprint("x", i)), 1)
		}
		var group, readers sync.WaitGroup
		var won [executions]atomic.Int64
		stop := make(chan struct{})
		for i := range executions {
			x := ref(fmt.Sprint("x", i))
			for w := range writers {
				group.Go(func() {
					after := uint64(1)
					for n := 0; n < each; {
						e := events(after+1, 1)
						e[0].Name = fmt.Sprintf("%d/%d", w, n)
						err := s.Append(tb.Context(), &workflow.Batch{Execution: x, After: after, Events: e})
						switch {
						case err == nil:
							won[i].Add(1)
							n++
							after++
							if got, err := s.Read(tb.Context(), x, after, 1); err != nil || len(got) != 1 || got[0].Name != e[0].Name {
								tb.Errorf("event %d of %s is not what was acknowledged: %v, %v", after, x, got, err)
								return
							}
						case errors.Is(err, faas.ErrConflict):
							after++ // somebody else won this one
						default:
							tb.Errorf("Append: %v", err)
							return
						}
					}
				})
			}
			readers.Go(func() {
				length := 0
				for {
					es, err := s.Read(tb.Context(), x, 1, workflow.MaxPage)
					if err != nil {
						tb.Errorf("Read: %v", err)
						return
					}
					if len(es) < length {
						tb.Errorf("%s got shorter: %d after %d", x, len(es), length)
					}
					length = len(es)
					for j, e := range es {
						if e.Seq != uint64(j)+1 {
							tb.Errorf("%s has event %d at place %d", x, e.Seq, j+1)
							return
						}
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		group.Wait()
		close(stop)
		readers.Wait()
		for i := range executions {
			es := read(tb, s, ref(fmt.Sprint("x", i)), 1, workflow.MaxPage)
			if want := int(won[i].Load()) + 1; len(es) != want || want != writers*each+1 {
				tb.Errorf("x%d has %d events, %d were acknowledged", i, len(es), want)
			}
			names := make(map[string]bool)
			for _, e := range es[1:] {
				if names[e.Name] {
					tb.Errorf("x%d has %q twice", i, e.Name)
				}
				names[e.Name] = true
			}
		}
	}},
	{Name: "many/one-creates", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		for i := range 20 {
			x := ref(fmt.Sprint("x", i))
			var group sync.WaitGroup
			var created atomic.Int64
			for range 6 {
				group.Go(func() {
					err := s.Append(tb.Context(), &workflow.Batch{Execution: x, Record: record(x, i, workflow.StatusRunning), Events: events(1, 1)})
					if err == nil {
						created.Add(1)
					} else if !errors.Is(err, faas.ErrConflict) {
						tb.Errorf("Append: %v", err)
					}
				})
			}
			group.Wait()
			if n := created.Load(); n != 1 {
				tb.Errorf("%s was created %d times", x, n)
			}
		}
	}},
	{Name: "many/lives-side-by-side", Check: func(tb testing.TB, h Harness) {
		s := h.open(tb)
		const workers, each = 8, 15
		create(tb, s, "stays", 0, workflow.StatusRunning, nil)
		var group, listers sync.WaitGroup
		stop := make(chan struct{})
		for w := range workers {
			group.Go(func() {
				for n := range each {
					x := ref(fmt.Sprintf("x-%d-%d", w, n))
					_, d, data := large(x.ID)
					steps := []*workflow.Batch{
						{Execution: x, Record: record(x, n, workflow.StatusRunning), Events: events(1, 2), Payloads: map[faas.Digest][]byte{d: data}},
						{Execution: x, After: 2, Events: events(3, 2), Snapshot: []byte(d), SnapshotAt: 4, TrimBefore: 3},
						{Execution: x, After: 4, Events: events(5, 1), Record: record(x, n, workflow.StatusSucceeded)},
					}
					for _, b := range steps {
						if err := s.Append(tb.Context(), b); err != nil {
							tb.Errorf("Append to %s after %d: %v", x, b.After, err)
							return
						}
					}
					if got, err := s.Payload(tb.Context(), x, d); err != nil || string(got) != x.ID {
						tb.Errorf("Payload of %s: %q, %v", x, got, err)
					}
					if n%2 == 0 {
						if err := s.Delete(tb.Context(), x); err != nil {
							tb.Errorf("Delete(%s): %v", x, err)
						}
					}
				}
			})
		}
		listers.Go(func() {
			for {
				seen := make(map[workflow.ExecutionRef]int)
				for _, x := range list(tb, s, workflow.ExecutionQuery{Limit: 7}) {
					seen[x.Ref]++
				}
				if seen[ref("stays")] != 1 {
					tb.Errorf("what stays is listed %d times", seen[ref("stays")])
					return
				}
				for r, err := range s.Recover(tb.Context()) {
					if err != nil {
						tb.Errorf("Recover: %v", err)
						return
					}
					if r.First.Seq != 1 || r.Last < uint64(len(r.Events)) {
						tb.Errorf("recovered %+v", r)
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		group.Wait()
		close(stop)
		listers.Wait()
		if got, want := len(list(tb, s, workflow.ExecutionQuery{})), 1+workers*(each/2); got != want {
			tb.Errorf("%d are left, want %d", got, want)
		}
		if all := recovered(tb, s); len(all) != 1 {
			tb.Errorf("%d are open, want 1", len(all))
		}
	}},
}
