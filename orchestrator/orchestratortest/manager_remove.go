package orchestratortest

import (
	"errors"
	"runtime"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

func managerRemoveClauses() []managerClause {
	return []managerClause{
		{name: "remove/stops the instance before it is gone", check: func(r *managerRun) {
			s := r.runs("w1")
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
			r.running()
			if err := r.answers(s.Endpoint); err == nil {
				r.Error("the instance answers after its workload is gone")
			}
			r.gone("w1")
			if all, err := r.m.List(r.ctx); err != nil || len(all) != 0 {
				r.Errorf("List: %+v, %v", all, err)
			}
		}},
		{name: "remove/shows it no more as running", check: func(r *managerRun) {
			r.runs("w1")
			r.remove("w1")
			s, err := r.m.Get(r.ctx, "w1")
			if err == nil && s.Phase != orchestrator.PhaseStopping {
				r.Errorf("after Remove it is %s", s.Phase)
			} else if err != nil {
				r.is("Get after Remove", err, faas.ErrNotFound)
			}
		}},
		{name: "remove/twice is nil while it stops", check: func(r *managerRun) {
			r.runs("w1")
			r.remove("w1")
			if err := r.m.Remove(r.ctx, "w1"); err != nil && !errors.Is(err, faas.ErrNotFound) {
				r.Errorf("the second Remove: %v", err)
			}
			r.phase("w1", orchestrator.PhaseGone)
			r.is("Remove of what is gone", r.m.Remove(r.ctx, "w1"), faas.ErrNotFound)
		}},
		{name: "remove/is no failure of the workload", check: func(r *managerRun) {
			r.runs("w1")
			r.remove("w1")
			s := r.phase("w1", orchestrator.PhaseGone)
			if err := s.Err(); err != nil {
				r.Errorf("the last status has the error %v", err)
			}
		}},
		{name: "remove/leaves others alone", check: func(r *managerRun) {
			s := r.runs("w1")
			r.runs("w2")
			r.remove("w2")
			r.phase("w2", orchestrator.PhaseGone)
			r.quiet()
			if got, err := r.m.Get(r.ctx, "w1"); err != nil || got.Phase != orchestrator.PhaseRunning {
				r.Errorf("another workload is %+v, %v", got, err)
			}
			if err := r.answers(s.Endpoint); err != nil {
				r.Errorf("another instance does not answer any more: %v", err)
			}
			r.running("w1", "another")
		}},
		{name: "remove/frees the ID", check: func(r *managerRun) {
			r.runs("w1")
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
			other := r.workload("w1", Serves)
			other.Labels = map[string]string{"other": "yes"}
			r.apply(other)
			gone := false
			s := r.seen(r.log, "w1 running again", func(s orchestrator.Status) bool {
				gone = gone || s.Phase == orchestrator.PhaseGone
				return gone && s.Phase == orchestrator.PhaseRunning
			})
			if err := r.answers(s.Endpoint); err != nil {
				r.Errorf("the new instance does not answer: %v", err)
			}
		}},
		{name: "remove/its end is told though the ID is used again at once", check: func(r *managerRun) {
			r.runs("w1")
			r.remove("w1")
			other := r.workload("w1", Serves)
			other.Labels = map[string]string{"other": "yes"}
			for late := time.Now().Add(patience); ; runtime.Gosched() {
				err := r.m.Apply(r.ctx, other)
				if err == nil {
					break
				}
				r.is("Apply while stopping", err, faas.ErrAlreadyExists)
				if time.Now().After(late) {
					r.Fatal("the ID is never free")
				}
			}
			gone := false
			r.seen(r.log, "w1 gone and running again", func(s orchestrator.Status) bool {
				gone = gone || s.Phase == orchestrator.PhaseGone
				return gone && s.Phase == orchestrator.PhaseRunning
			})
		}},
		{name: "remove/calls off a start", check: func(r *managerRun) {
			w := r.workload("w1", Hangs)
			w.StartTimeout = 100 * patience
			r.apply(w)
			r.phase("w1", orchestrator.PhaseStarting)
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
			r.running()
		}},
		{name: "remove/keeps to the grace", check: func(r *managerRun) {
			w := r.workload("w1", Serves)
			w.Grace = time.Hour // it ends politely, so nobody waits for that
			r.apply(w)
			r.phase("w1", orchestrator.PhaseRunning)
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
		}},
	}
}
