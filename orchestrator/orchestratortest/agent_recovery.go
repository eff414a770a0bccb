package orchestratortest

import (
	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

func agentRecoveryClauses() []agentClause {
	return []agentClause{
		{"recovery/a successor adopts what was left running", func(r *agentRun) {
			a := r.start(AgentSetup{LeaveRunning: true})
			r.assign("w1", Serves)
			_, first := r.reported("w1", orchestrator.PhaseRunning)
			before := r.has(a.Driver)["w1"]
			ok(r, r.stop(a), "run")
			if got := r.has(a.Driver)["w1"]; got.State != driver.StateRunning {
				r.Fatalf("LeaveRunning, and the driver has %+v", got)
			}
			left, err := r.names.Get(r.ctx, nodeName)
			ok(r, err, "get the node that was left")
			b := r.start(AgentSetup{Driver: a.Driver, LeaveRunning: true})
			for ev, err := range r.names.Watch(r.ctx, nodeName, left.Revision) {
				if err != nil || ev.Deleted {
					r.Errorf("the node was lost before the successor took it over: %v", err)
				}
				break
			}
			r.await(statusOf("w1"), "reported anew", func(e *orchestrator.Entry) bool { return e != nil && e.Revision != first.Revision })
			r.reported("w1", orchestrator.PhaseRunning)
			if got := r.has(b.Driver)["w1"]; !got.Started.Equal(before.Started) || got.State != driver.StateRunning {
				r.Errorf("it was started anew: %+v, before %+v", got, before)
			}
			if b.Kill != nil {
				b.Kill("w1")
				r.reported("w1", orchestrator.PhaseEnded)
			}
		}},
		{"recovery/a stray is stopped", func(r *agentRun) {
			a := r.start(AgentSetup{LeaveRunning: true})
			r.assign("w1", Serves)
			r.reported("w1", orchestrator.PhaseRunning)
			ok(r, r.stop(a), "run")
			ok(r, r.names.Delete(r.ctx, assignmentOf("w1"), nil), "delete")
			r.start(AgentSetup{Driver: a.Driver, LeaveRunning: true})
			r.forgotten(a.Driver, "w1")
		}},
		{"recovery/the tasks of others are left alone", func(r *agentRun) {
			a := r.newAgent(AgentSetup{})
			w := r.h.Workload(r, Serves)
			_, err := a.Driver.Start(r.ctx, driver.Task{ID: "other", Contract: w.Contract, Command: w.Command, Env: w.Env})
			ok(r, err, "start")
			b := r.start(AgentSetup{Driver: a.Driver})
			r.assign("w1", Serves)
			r.reported("w1", orchestrator.PhaseRunning)
			ok(r, r.stop(b), "run")
			if got := r.has(a.Driver); len(got) != 1 || got["other"].State != driver.StateRunning {
				r.Errorf("the driver has %v", got)
			}
		}},
		{"recovery/the start of an earlier incarnation is not done again", func(r *agentRun) {
			as := r.assign("w1", Serves)
			as.Incarnation = "one before"
			r.put(assignmentOf("w1"), &as)
			a := r.start(AgentSetup{})
			st, _ := r.reported("w1", orchestrator.PhaseEnded)
			if st.Exit == nil || st.Exit.Reason != driver.ExitLost {
				r.Errorf("it is reported as %+v, want %s", st, driver.ExitLost)
			}
			wantClass(r, st.Err(), faas.ErrUnavailable, "lost start")
			if got := r.has(a.Driver); len(got) != 0 {
				r.Errorf("the driver has %v", got)
			}
		}},
		{"lease/what is still assigned survives its loss", func(r *agentRun) {
			a := r.start(AgentSetup{})
			r.assign("w1", Serves)
			_, first := r.reported("w1", orchestrator.PhaseRunning)
			before := r.has(a.Driver)["w1"]
			r.loseLease()
			r.await(nodeName, "announced anew", func(e *orchestrator.Entry) bool { return e != nil && e.Lease != first.Lease })
			r.await(statusOf("w1"), "reported anew", func(e *orchestrator.Entry) bool { return e != nil && e.Lease != first.Lease })
			if got := r.has(a.Driver)["w1"]; !got.Started.Equal(before.Started) || got.State != driver.StateRunning {
				r.Errorf("it was started anew: %+v, before %+v", got, before)
			}
		}},
		{"lease/what is not assigned any more is dropped", func(r *agentRun) {
			a := r.start(AgentSetup{})
			r.assign("w1", Serves)
			r.assign("w2", Serves)
			_, first := r.reported("w1", orchestrator.PhaseRunning)
			r.reported("w2", orchestrator.PhaseRunning)
			r.loseLease()
			ok(r, r.names.Delete(r.ctx, assignmentOf("w1"), nil), "delete")
			r.await(statusOf("w2"), "reported anew", func(e *orchestrator.Entry) bool { return e != nil && e.Lease != first.Lease })
			r.forgotten(a.Driver, "w1")
			r.await(statusOf("w1"), "deleted", absent)
		}},
	}
}

// loseLease ends the lease of the node behind its agent's back.
func (r *agentRun) loseLease() {
	r.Helper()
	e, err := r.names.Get(r.ctx, nodeName)
	ok(r, err, "get")
	ok(r, r.names.Revoke(r.ctx, e.Lease), "revoke")
}
