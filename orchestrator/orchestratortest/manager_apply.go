package orchestratortest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

func managerApplyClauses() []managerClause {
	return []managerClause{
		{name: "apply/becomes running and serves", check: func(r *managerRun) {
			s := r.runs("w1")
			if err := r.answers(s.Endpoint); err != nil {
				r.Errorf("the instance at %+v does not serve: %v", s.Endpoint, err)
			}
			if s.Node == "" {
				r.Error("a running workload has no node")
			}
			if s.Err() != nil {
				r.Errorf("a running workload has the error %v", s.Err())
			}
			got, err := r.m.Get(r.ctx, "w1")
			if err != nil || got.Phase != s.Phase || got.Endpoint != s.Endpoint || got.Node != s.Node {
				r.Errorf("Get is %+v, %v; Watch said %+v", got, err, s)
			}
			r.running("w1")
		}},
		{name: "apply/tells its moments in order", check: func(r *managerRun) {
			s := r.runs("w1")
			if s.Applied.IsZero() || s.Ready.IsZero() {
				r.Errorf("applied %v, ready %v: both must be set", s.Applied, s.Ready)
			}
			if s.Placed.Before(s.Applied) || s.Started.Before(s.Placed) || s.Ready.Before(s.Started) {
				r.Errorf("applied %v, placed %v, started %v, ready %v are not in order", s.Applied, s.Placed, s.Started, s.Ready)
			}
		}},
		{name: "apply/is known at once", check: func(r *managerRun) {
			r.apply(r.workload("w1", Serves))
			if s, err := r.m.Get(r.ctx, "w1"); err != nil || s.ID != "w1" {
				r.Errorf("Get after Apply: %+v, %v", s, err)
			}
			all, err := r.m.List(r.ctx)
			if err != nil || len(all) != 1 || all[0].ID != "w1" {
				r.Errorf("List after Apply: %+v, %v", all, err)
			}
		}},
		{name: "apply/the same again is nil and starts nothing", check: func(r *managerRun) {
			s := r.runs("w1")
			r.apply(r.workload("w1", Serves))
			r.quiet()
			got, err := r.m.Get(r.ctx, "w1")
			if err != nil || got.Phase != orchestrator.PhaseRunning || got.Restarts != 0 || got.Endpoint != s.Endpoint || !got.Ready.Equal(s.Ready) {
				r.Errorf("after the second Apply it is %+v, %v; before it was %+v", got, err, s)
			}
			r.running("w1", "another")
		}},
		{name: "apply/a different workload of that ID already exists", check: func(r *managerRun) {
			r.runs("w1")
			other := r.workload("w1", Serves)
			other.Labels = map[string]string{"other": "yes"}
			r.is("Apply of another workload", r.m.Apply(r.ctx, other), faas.ErrAlreadyExists)
		}},
		{name: "apply/an ID is taken while it stops", check: func(r *managerRun) {
			r.runs("w1")
			r.remove("w1")
			other := r.workload("w1", Serves)
			other.Labels = map[string]string{"other": "yes"}
			err := r.m.Apply(r.ctx, other)
			if err != nil {
				r.is("Apply while stopping", err, faas.ErrAlreadyExists)
				r.phase("w1", orchestrator.PhaseGone)
				r.gone("w1")
				return
			}
			// It was gone already; then a watch says so before anything of the new one.
			gone := false
			r.seen(r.log, "w1 running after it was gone", func(s orchestrator.Status) bool {
				gone = gone || s.Phase == orchestrator.PhaseGone
				return gone && s.Phase == orchestrator.PhaseRunning
			})
		}},
		{name: "apply/refuses what breaks a rule", check: func(r *managerRun) {
			bad := r.workload("w1", Serves)
			for name, change := range map[string]func(*orchestrator.Workload){
				"no ID":             func(w *orchestrator.Workload) { w.ID = "" },
				"an ID with dots":   func(w *orchestrator.Workload) { w.ID = "../w1" },
				"no command":        func(w *orchestrator.Workload) { w.Command = nil },
				"negative requests": func(w *orchestrator.Workload) { w.Requests.Memory = -1 },
				"negative grace":    func(w *orchestrator.Workload) { w.Grace = -1 },
				"a bad digest":      func(w *orchestrator.Workload) { w.Code = "sha256:0" },
			} {
				w := bad
				change(&w)
				r.is("Apply with "+name, r.m.Apply(r.ctx, w), faas.ErrInvalidArgument)
			}
			if all, err := r.m.List(r.ctx); err != nil || len(all) != 0 {
				r.Errorf("List after refused Applys: %+v, %v", all, err)
			}
		}},
		{name: "list/has every workload in the order of IDs", check: func(r *managerRun) {
			ids := []string{"w3", "w1", "w2", "w10"}
			for _, id := range ids {
				r.apply(r.workload(id, Serves))
			}
			slices.Sort(ids)
			all, err := r.m.List(r.ctx)
			var got []string
			for _, s := range all {
				got = append(got, s.ID)
			}
			if err != nil || !slices.Equal(got, ids) {
				r.Errorf("List: %v, %v; want %v", got, err, ids)
			}
		}},
		{name: "get/an unknown workload is not found", check: func(r *managerRun) {
			_, err := r.m.Get(r.ctx, "nobody")
			r.is("Get", err, faas.ErrNotFound)
			r.is("Remove", r.m.Remove(r.ctx, "nobody"), faas.ErrNotFound)
		}},
		{name: "concurrency/of one ID one Apply wins", check: func(r *managerRun) {
			const n = 8
			errs := make([]error, n)
			var all sync.WaitGroup
			for i := range n {
				w := r.workload("w1", Serves)
				w.Labels = map[string]string{"by": fmt.Sprint(i)}
				all.Go(func() { errs[i] = r.m.Apply(r.ctx, w) })
			}
			all.Wait()
			won := 0
			for _, err := range errs {
				if err == nil {
					won++
				} else {
					r.is("Apply that lost", err, faas.ErrAlreadyExists)
				}
			}
			if won != 1 {
				r.Errorf("%d of %d Applys won, want 1", won, n)
			}
			r.phase("w1", orchestrator.PhaseRunning)
			r.running("w1")
		}},
		{name: "concurrency/many come and go", check: func(r *managerRun) {
			const n = 16
			r.runs("first") // now the watch has begun for certain
			w := r.workload("", Serves)
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					w := w
					w.ID = fmt.Sprintf("w%d", i)
					if err := r.m.Apply(r.ctx, w); err != nil {
						r.Errorf("Apply: %v", err)
					}
					if i%2 == 0 {
						if err := r.m.Remove(r.ctx, w.ID); err != nil {
							r.Errorf("Remove: %v", err)
						}
					}
				})
			}
			all.Wait()
			stay := []string{"first"}
			for i := range n {
				if id := fmt.Sprintf("w%d", i); i%2 == 0 {
					r.phase(id, orchestrator.PhaseGone)
				} else {
					r.phase(id, orchestrator.PhaseRunning)
					stay = append(stay, id)
				}
			}
			r.running(stay...)
		}},
	}
}
