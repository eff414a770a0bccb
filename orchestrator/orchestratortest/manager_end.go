package orchestratortest

import (
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// kill ends an instance by itself, or skips the clause.
func (r *managerRun) kill(id string) {
	r.Helper()
	if r.f.Kill == nil {
		r.Skip("the harness cannot end an instance from outside")
	}
	r.f.Kill(id)
}

func managerEndClauses() []managerClause {
	backoff := orchestrator.Backoff{Initial: 20 * time.Millisecond, Factor: 2, Max: 60 * time.Millisecond}
	return []managerClause{
		{name: "end/an instance that ends by itself stays known with its exit", check: func(r *managerRun) {
			r.runs("w1")
			r.kill("w1")
			s := r.phase("w1", orchestrator.PhaseEnded)
			if s.Exit == nil {
				r.Error("an ended instance has no exit")
			}
			r.is("its error", s.Err(), faas.ErrFunction)
			got, err := r.m.Get(r.ctx, "w1")
			if err != nil || got.Phase != orchestrator.PhaseEnded {
				r.Errorf("Get: %+v, %v", got, err)
			}
			r.running()
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
			r.gone("w1")
		}},
		{name: "end/is final without Restart", check: func(r *managerRun) {
			r.runs("w1")
			r.kill("w1")
			r.phase("w1", orchestrator.PhaseEnded)
			r.quiet()
			r.running("another")
			if all := r.log.of("w1"); all[len(all)-1].Phase != orchestrator.PhaseEnded {
				r.Errorf("after its end it was %s", brief(all))
			}
		}},
		{name: "end/a failed start keeps its class", check: func(r *managerRun) {
			r.apply(r.workload("w1", Fails))
			s := r.phase("w1", orchestrator.PhaseEnded)
			if s.Error == nil {
				r.Error("a failed start has no error")
			}
			r.is("its error", s.Err(), faas.ErrFunction)
			r.running()
		}},
		{name: "end/a missing program is not found", check: func(r *managerRun) {
			r.apply(r.workload("w1", Missing))
			s := r.phase("w1", orchestrator.PhaseEnded)
			r.is("its error", s.Err(), faas.ErrNotFound)
		}},
		{name: "end/a start that takes too long is a timeout", check: func(r *managerRun) {
			w := r.workload("w1", Hangs)
			w.StartTimeout = 200 * time.Millisecond
			r.apply(w)
			s := r.phase("w1", orchestrator.PhaseEnded)
			r.is("its error", s.Err(), faas.ErrTimeout)
			r.running()
		}},
		{name: "restart/an instance that ends by itself is started again", setup: ManagerSetup{Backoff: backoff}, check: func(r *managerRun) {
			w := r.workload("w1", Serves)
			w.Restart = true
			r.apply(w)
			first := r.phase("w1", orchestrator.PhaseRunning)
			r.kill("w1")
			s := r.seen(r.log, "w1 running again", func(s orchestrator.Status) bool {
				return s.ID == "w1" && s.Phase == orchestrator.PhaseRunning && s.Restarts == 1
			})
			if !s.Applied.Equal(first.Applied) || s.Ready.Before(first.Ready) {
				r.Errorf("applied %v and ready %v became %v and %v", first.Applied, first.Ready, s.Applied, s.Ready)
			}
			if err := r.answers(s.Endpoint); err != nil {
				r.Errorf("the instance does not serve: %v", err)
			}
			r.running("w1")
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
		}},
		{name: "restart/waits longer after each failure", setup: ManagerSetup{Backoff: backoff}, check: func(r *managerRun) {
			if !r.h.Backoff {
				r.Skip("this manager has a launch backoff of its own")
			}
			w := r.workload("w1", Fails)
			w.Restart = true
			r.apply(w)
			starts := func(s orchestrator.Status) bool { return s.Phase == orchestrator.PhaseStarting }
			r.seen(r.log, "w1 starting for the fifth time or later", func(s orchestrator.Status) bool { return starts(s) && s.Restarts >= 4 })
			var last *orchestrator.Status
			for _, s := range r.log.of("w1") {
				if !starts(s) {
					continue
				}
				if last != nil { // a start between the two may not have been seen
					var least time.Duration
					for n := last.Restarts + 1; n <= s.Restarts; n++ {
						least += backoff.Delay(n)
					}
					if gap := s.Placed.Sub(last.Placed); gap < least {
						r.Errorf("restart %d came %v after start %d, want at least %v", s.Restarts, gap, last.Restarts, least)
					}
				}
				last = &s
			}
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
		}},
		{name: "restart/says why it waits", setup: ManagerSetup{Backoff: orchestrator.Backoff{Initial: time.Hour}}, check: func(r *managerRun) {
			if !r.h.Backoff {
				r.Skip("this manager has a launch backoff of its own")
			}
			w := r.workload("w1", Fails)
			w.Restart = true
			r.apply(w)
			s := r.seen(r.log, "w1 waiting with a reason", func(s orchestrator.Status) bool {
				return s.ID == "w1" && s.Phase == orchestrator.PhasePending && s.Restarts == 1
			})
			if s.Reason == "" {
				r.Error("it waits and does not say why")
			}
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
		}},
	}
}
