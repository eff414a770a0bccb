package orchestratortest

import (
	"fmt"
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

func oneNode() ManagerSetup {
	return ManagerSetup{Nodes: []orchestrator.Node{{Name: "n1", Capacity: faas.Resources{MilliCPU: 1000, Memory: 1 << 30}}}}
}

func twoNodes() ManagerSetup {
	return ManagerSetup{Nodes: []orchestrator.Node{
		{Name: "n1", Capacity: faas.Resources{MilliCPU: 1000}}, {Name: "n2", Capacity: faas.Resources{MilliCPU: 1000}}},
		Backoff: orchestrator.Backoff{Initial: time.Millisecond, Max: time.Millisecond}}
}

// nodes skips the clause for a layer with nodes of its own.
func (r *managerRun) nodes() {
	if !r.h.Nodes {
		r.Skip("this layer has nodes of its own")
	}
}

// asks applies a workload that serves and requests CPU.
func (r *managerRun) asks(id string, milli int64) {
	r.Helper()
	w := r.workload(id, Serves)
	w.Requests.MilliCPU = milli
	r.apply(w)
}

// waits waits until the workload is pending for lack of capacity.
func (r *managerRun) waits(id string) {
	r.Helper()
	s := r.seen(r.log, id+" pending as exhausted", func(s orchestrator.Status) bool {
		return s.ID == id && s.Phase == orchestrator.PhasePending && s.Error != nil
	})
	r.is("why it waits", s.Error, faas.ErrExhausted)
	if s.Reason == "" {
		r.Errorf("%s is pending without a reason", id)
	}
	if err := s.Err(); err != nil {
		r.Errorf("%s is pending, which is no end, and Err is %v", id, err)
	}
}

func managerCapacityClauses() []managerClause {
	return []managerClause{
		{name: "capacity/what does not fit waits and says why", setup: oneNode(), check: func(r *managerRun) {
			r.nodes()
			r.asks("w1", 600)
			r.phase("w1", orchestrator.PhaseRunning)
			r.asks("w2", 600)
			r.waits("w2")
			r.asks("w3", 400)
			r.phase("w3", orchestrator.PhaseRunning) // it fits beside the first
			r.running("w1", "w3")
			r.remove("w1")
			r.phase("w2", orchestrator.PhaseRunning)
			r.running("w2", "w3")
		}},
		{name: "capacity/memory counts too", setup: oneNode(), check: func(r *managerRun) {
			r.nodes()
			for i, memory := range []int64{1 << 29, 1 << 29, 1} {
				w := r.workload(fmt.Sprintf("w%d", i), Serves)
				w.Requests.Memory = memory
				r.apply(w)
				if i < 2 {
					r.phase(w.ID, orchestrator.PhaseRunning)
				} else {
					r.waits(w.ID)
				}
			}
		}},
		{name: "capacity/the oldest that waits comes first", setup: oneNode(), check: func(r *managerRun) {
			r.nodes()
			r.asks("w0", 1000)
			r.phase("w0", orchestrator.PhaseRunning)
			order := []string{"w3", "w1", "w2"}
			for _, id := range order {
				r.asks(id, 1000)
				r.waits(id)
			}
			last := "w0"
			for _, id := range order {
				r.remove(last)
				s := r.seen(r.log, "the next to run", func(s orchestrator.Status) bool {
					return s.Phase == orchestrator.PhaseRunning && s.ID != last && !slices.ContainsFunc(r.log.of(s.ID), func(s orchestrator.Status) bool {
						return s.Phase == orchestrator.PhaseGone || s.Phase == orchestrator.PhaseStopping
					})
				})
				if s.ID != id {
					r.Fatalf("%s came before %s", s.ID, id)
				}
				last = id
			}
		}},
		{name: "capacity/an ended workload holds none", setup: oneNode(), check: func(r *managerRun) {
			r.nodes()
			r.asks("w1", 1000)
			r.phase("w1", orchestrator.PhaseRunning)
			r.kill("w1")
			r.phase("w1", orchestrator.PhaseEnded)
			r.asks("w2", 1000)
			r.phase("w2", orchestrator.PhaseRunning)
		}},
		{name: "capacity/one that waits can be removed", setup: oneNode(), check: func(r *managerRun) {
			r.nodes()
			r.asks("w1", 2000)
			r.waits("w1")
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
			r.gone("w1")
		}},
		{name: "nodes/says what is placed where", setup: twoNodes(), check: func(r *managerRun) {
			r.nodes()
			r.asks("w1", 600)
			r.asks("w2", 600)
			on := map[string]string{}
			for _, id := range []string{"w1", "w2"} {
				on[r.phase(id, orchestrator.PhaseRunning).Node] = id
			}
			if len(on) != 2 {
				r.Fatalf("two that do not fit on one node are on %v", on)
			}
			all, err := r.m.Nodes(r.ctx)
			if err != nil || len(all) != 2 || all[0].Name != "n1" || all[1].Name != "n2" {
				r.Fatalf("Nodes: %+v, %v", all, err)
			}
			for _, n := range all {
				want := []orchestrator.Placed{{ID: on[n.Name], Group: "group"}}
				if n.Used.MilliCPU != 600 || !slices.Equal(n.Workloads, want) || n.Draining || n.Capacity.MilliCPU != 1000 {
					r.Errorf("node %s: %+v, want %v on it", n.Name, n, want)
				}
			}
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
			all, err = r.m.Nodes(r.ctx)
			for _, n := range all {
				if err != nil || on[n.Name] == "w1" && (n.Used.MilliCPU != 0 || len(n.Workloads) != 0) {
					r.Errorf("after w1 is gone: %+v, %v", n, err)
				}
			}
		}},
	}
}

func managerNodeClauses() []managerClause {
	// serve applies a workload with and one without Restart, on the same node.
	serve := func(r *managerRun) string {
		r.nodes()
		w := r.workload("w1", Serves)
		w.Restart = true
		r.apply(w)
		node := r.phase("w1", orchestrator.PhaseRunning).Node
		w = r.workload("w2", Serves)
		w.Constraints = []faas.Constraint{{Field: "hostname", Operator: "IS", Value: node}}
		r.apply(w)
		if s := r.phase("w2", orchestrator.PhaseRunning); s.Node != node {
			r.Fatalf("w2 is on %s in spite of the constraint hostname IS %s", s.Node, node)
		}
		return node
	}
	elsewhere := func(r *managerRun, node string) {
		r.Helper()
		s := r.seen(r.log, "w1 running elsewhere", func(s orchestrator.Status) bool {
			return s.ID == "w1" && s.Phase == orchestrator.PhaseRunning && s.Node != node
		})
		if s.Restarts == 0 {
			r.Error("it was started again and Restarts is 0")
		}
		if err := r.answers(s.Endpoint); err != nil {
			r.Errorf("the instance that was placed again does not serve: %v", err)
		}
	}
	return []managerClause{
		{name: "loss/what ran there is started elsewhere or lost", setup: twoNodes(), check: func(r *managerRun) {
			node := serve(r)
			if r.f.LoseNode == nil {
				r.Skip("the harness cannot make a node vanish")
			}
			r.f.LoseNode(node)
			elsewhere(r, node)
			s := r.phase("w2", orchestrator.PhaseEnded)
			if s.Exit == nil || s.Exit.Reason != driver.ExitLost {
				r.Errorf("w2 ended with %+v, want %s", s.Exit, driver.ExitLost)
			}
			r.is("its error", s.Err(), faas.ErrUnavailable)
			all, err := r.m.Nodes(r.ctx)
			if err != nil || slices.ContainsFunc(all, func(n orchestrator.NodeState) bool { return n.Name == node }) {
				r.Errorf("Nodes still has %s: %+v, %v", node, all, err)
			}
			r.remove("w2")
			r.phase("w2", orchestrator.PhaseGone)
		}},
		{name: "drain/moves what is there and stops the rest", setup: twoNodes(), check: func(r *managerRun) {
			node := serve(r)
			if err := r.m.Drain(r.ctx, node, true); err != nil {
				r.Fatalf("Drain: %v", err)
			}
			elsewhere(r, node)
			s := r.phase("w2", orchestrator.PhaseEnded)
			if s.Exit == nil || s.Exit.Reason != driver.ExitStopped || s.Err() != nil {
				r.Errorf("w2 ended with %+v and the error %v, want %s and none", s.Exit, s.Err(), driver.ExitStopped)
			}
			r.running("w1")
		}},
		{name: "drain/a draining node takes nothing until it is over", setup: oneNode(), check: func(r *managerRun) {
			r.nodes()
			if err := r.m.Drain(r.ctx, "n1", true); err != nil {
				r.Fatalf("Drain: %v", err)
			}
			all, err := r.m.Nodes(r.ctx)
			if err != nil || len(all) != 1 || !all[0].Draining {
				r.Errorf("Nodes: %+v, %v; want n1 draining", all, err)
			}
			r.apply(r.workload("w1", Serves))
			r.seen(r.log, "w1 pending with the scheduler's reason", func(s orchestrator.Status) bool {
				return s.ID == "w1" && s.Phase == orchestrator.PhasePending && s.Error != nil && s.Reason != ""
			})
			r.running()
			if err := r.m.Drain(r.ctx, "n1", false); err != nil {
				r.Fatalf("Drain: %v", err)
			}
			r.phase("w1", orchestrator.PhaseRunning)
		}},
		{name: "drain/an unknown node is not found", setup: oneNode(), check: func(r *managerRun) {
			r.nodes()
			r.is("Drain", r.m.Drain(r.ctx, "nowhere", true), faas.ErrNotFound)
		}},
		{name: "drain/twice is nil", setup: oneNode(), check: func(r *managerRun) {
			r.nodes()
			for _, draining := range []bool{true, true, false, false} {
				if err := r.m.Drain(r.ctx, "n1", draining); err != nil {
					r.Errorf("Drain(%v): %v", draining, err)
				}
			}
			r.runs("w1")
		}},
	}
}
