package orchestratortest

import (
	"context"
	"reflect"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

func agentNodeClauses() []agentClause {
	return []agentClause{
		{"node/is announced under a lease, with its drivers", func(r *agentRun) {
			a := r.start(AgentSetup{})
			e := r.await(nodeName, "announced", func(e *orchestrator.Entry) bool { return e != nil })
			rec, err := orchestrator.DecodeRecord[orchestrator.NodeRecord](*e)
			ok(r, err, "decode")
			if e.Lease == 0 {
				r.Error("the node is announced without a lease")
			}
			if rec.Incarnation == "" {
				r.Error("the node has no incarnation")
			}
			if rec.Node.Name != "n1" || rec.Node.Capacity.MilliCPU != 2000 || rec.Node.Labels["zone"] != "a" || len(rec.Node.Drivers) == 0 {
				r.Errorf("the node is announced as %+v", rec.Node)
			}
			if info, err := a.Driver.Info(r.ctx); err != nil || len(rec.Node.Drivers) > 0 && rec.Node.Drivers[0].Name != info.Name {
				r.Errorf("the drivers are announced as %+v; the driver says %+v, %v", rec.Node.Drivers, info, err)
			}
			if n := a.Agent.Node(); !reflect.DeepEqual(n, rec.Node) {
				r.Errorf("Node is %+v, announced is %+v", n, rec.Node)
			}
		}},
		{"node/stays announced for longer than the lease", func(r *agentRun) {
			r.start(AgentSetup{})
			before, err := r.names.Get(r.ctx, nodeName)
			ok(r, err, "get")
			ctx, cancel := context.WithTimeout(r.ctx, 3*r.h.LeaseTTL)
			defer cancel()
			for ev, err := range r.names.Watch(ctx, nodeName, before.Revision) {
				if err == nil {
					r.Errorf("the announcement changed: deleted %v", ev.Deleted)
				}
				break
			}
		}},
		{"node/is withdrawn and its instances stopped when Run ends", func(r *agentRun) {
			a := r.start(AgentSetup{})
			r.assign("w1", Serves)
			r.reported("w1", orchestrator.PhaseRunning)
			ok(r, r.stop(a), "run")
			if _, err := r.names.Get(r.ctx, nodeName); err == nil {
				r.Error("the node is announced after Run has ended")
			}
			if _, err := r.names.Get(r.ctx, statusOf("w1")); err == nil {
				r.Error("a status is there after Run has ended")
			}
			if left := r.has(a.Driver); len(left) != 0 {
				r.Errorf("the driver still has %v", left)
			}
		}},
		{"node/a second live agent of that name is refused", func(r *agentRun) {
			first := r.start(AgentSetup{})
			second := r.newAgent(AgentSetup{})
			ended := make(chan error, 1)
			ctx, cancel := context.WithCancel(r.ctx)
			go func() { ended <- second.Agent.Run(ctx) }()
			select {
			case err := <-ended:
				wantClass(r, err, faas.ErrAlreadyExists, "second agent")
			case <-time.After(patience):
				r.Error("two agents of one name run")
				cancel()
				<-ended
			}
			cancel()
			r.assign("w1", Serves)
			r.reported("w1", orchestrator.PhaseRunning)
			if _, there := r.has(first.Driver)["w1"]; !there {
				r.Error("the first agent does not work any more")
			}
		}},
		{"node/an agent runs once", func(r *agentRun) {
			a := r.start(AgentSetup{})
			wantClass(r, a.Agent.Run(r.ctx), faas.ErrConflict, "second Run")
			ok(r, r.stop(a), "first Run")
			wantClass(r, a.Agent.Run(r.ctx), faas.ErrConflict, "Run after Run")
		}},
	}
}

func agentWorkClauses() []agentClause {
	return []agentClause{
		{"work/what is assigned is started and reported", func(r *agentRun) {
			a := r.start(AgentSetup{})
			as := r.assign("w1", Serves)
			st, e := r.reported("w1", orchestrator.PhaseRunning)
			if st.ID != "w1" || st.Node != "n1" || st.Attempt != as.Attempt || !st.Applied.Equal(as.Applied) || !st.Placed.Equal(as.Placed) {
				r.Errorf("the assignment %+v is reported as %+v", as, st)
			}
			if st.Started.IsZero() || st.Ready.Before(st.Started) || st.Endpoint == (driver.Endpoint{}) {
				r.Errorf("started %v, ready %v, endpoint %+v", st.Started, st.Ready, st.Endpoint)
			}
			node, err := r.names.Get(r.ctx, nodeName)
			if err != nil || e.Lease == 0 || e.Lease != node.Lease {
				r.Errorf("the status is under the lease %d, the node under %d, %v", e.Lease, node.Lease, err)
			}
			if got := r.has(a.Driver)["w1"]; got.State != driver.StateRunning || got.Endpoint != st.Endpoint {
				r.Errorf("the driver has %+v", got)
			}
		}},
		{"work/what was assigned before is found", func(r *agentRun) {
			as := r.assign("w1", Serves)
			as.Incarnation = ""
			r.put(assignmentOf("w1"), &as)
			r.start(AgentSetup{})
			r.reported("w1", orchestrator.PhaseRunning)
		}},
		{"work/a failed start is reported with its class", func(r *agentRun) {
			r.start(AgentSetup{})
			as := r.assign("w1", Fails)
			st, _ := r.reported("w1", orchestrator.PhaseEnded)
			if st.Error == nil || st.Attempt != as.Attempt {
				r.Fatalf("it is reported as %+v", st)
			}
			wantClass(r, st.Error, faas.ErrFunction, "failed start")
			r.assign("w2", Missing)
			st, _ = r.reported("w2", orchestrator.PhaseEnded)
			wantClass(r, st.Err(), faas.ErrNotFound, "missing program")
		}},
		{"work/a driver that is not there is reported", func(r *agentRun) {
			r.start(AgentSetup{})
			w := r.h.Workload(r, Serves)
			w.ID, w.Driver = "w1", "no-such-driver"
			r.put(assignmentOf("w1"), &orchestrator.Assignment{Workload: w, Applied: time.Now().UTC().Round(0)})
			st, _ := r.reported("w1", orchestrator.PhaseEnded)
			wantClass(r, st.Err(), faas.ErrUnimplemented, "unknown driver")
		}},
		{"work/an end is reported with its exit", func(r *agentRun) {
			a := r.start(AgentSetup{})
			if a.Kill == nil {
				r.Skip("the harness cannot end an instance from outside")
			}
			as := r.assign("w1", Serves)
			r.reported("w1", orchestrator.PhaseRunning)
			a.Kill("w1")
			st, _ := r.reported("w1", orchestrator.PhaseEnded)
			if st.Exit == nil || st.Attempt != as.Attempt || st.Ended.IsZero() {
				r.Errorf("it is reported as %+v", st)
			}
			wantClass(r, st.Err(), faas.ErrFunction, "end by itself")
		}},
		{"work/Stop stops it and deletes its records", func(r *agentRun) {
			a := r.start(AgentSetup{})
			as := r.assign("w1", Serves)
			r.reported("w1", orchestrator.PhaseRunning)
			as.Stop = true
			r.put(assignmentOf("w1"), &as)
			r.await(assignmentOf("w1"), "deleted", absent)
			if _, err := r.names.Get(r.ctx, statusOf("w1")); err == nil {
				r.Error("the status is there after the assignment")
			}
			if _, there := r.has(a.Driver)["w1"]; there {
				r.Error("the driver still has it after the assignment is deleted")
			}
		}},
		{"work/Stop calls off a start", func(r *agentRun) {
			a := r.start(AgentSetup{})
			w := r.h.Workload(r, Hangs)
			w.ID, w.StartTimeout = "w1", 100*patience
			as := orchestrator.Assignment{Workload: w, Applied: time.Now().UTC().Round(0)}
			r.put(assignmentOf("w1"), &as)
			r.assign("w2", Serves)
			r.reported("w2", orchestrator.PhaseRunning) // a start that hangs holds nobody up
			<-time.After(10 * time.Millisecond)         // nothing tells that the start is under way
			as.Stop = true
			r.put(assignmentOf("w1"), &as)
			r.await(assignmentOf("w1"), "deleted", absent)
			if _, there := r.has(a.Driver)["w1"]; there {
				r.Error("the driver has it after its start was called off")
			}
		}},
		{"work/an assignment that is deleted stops it", func(r *agentRun) {
			a := r.start(AgentSetup{})
			r.assign("w1", Serves)
			r.assign("w2", Serves)
			r.reported("w1", orchestrator.PhaseRunning)
			r.reported("w2", orchestrator.PhaseRunning)
			ok(r, r.names.Delete(r.ctx, assignmentOf("w1"), nil), "delete")
			r.await(statusOf("w1"), "deleted", absent)
			r.forgotten(a.Driver, "w1")
			if _, there := r.has(a.Driver)["w2"]; !there {
				r.Error("another instance was stopped too")
			}
		}},
		{"work/a new attempt replaces the one before", func(r *agentRun) {
			a := r.start(AgentSetup{})
			as := r.assign("w1", Serves)
			st, _ := r.reported("w1", orchestrator.PhaseRunning)
			before := r.has(a.Driver)["w1"]
			as.Attempt++
			r.put(assignmentOf("w1"), &as)
			r.await(statusOf("w1"), "of the new attempt", func(e *orchestrator.Entry) bool {
				if e == nil {
					return false
				}
				var err error
				st, err = orchestrator.DecodeRecord[orchestrator.AgentStatus](*e)
				return err == nil && st.Attempt == as.Attempt && st.Phase == orchestrator.PhaseRunning
			})
			if now := r.has(a.Driver)["w1"]; now.Labels[orchestrator.StartLabel] == before.Labels[orchestrator.StartLabel] {
				r.Errorf("the same instance is reported for both attempts: %+v", now)
			}
		}},
	}
}
