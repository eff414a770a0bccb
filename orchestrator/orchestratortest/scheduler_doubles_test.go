package orchestratortest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/spread"
)

// schedulerDouble decides as it is told.
type schedulerDouble func(w orchestrator.Workload, nodes []orchestrator.NodeState) (orchestrator.Placement, error)

func (d schedulerDouble) Place(w orchestrator.Workload, nodes []orchestrator.NodeState) (orchestrator.Placement, error) {
	return d(w, nodes)
}

// asking asks a correct scheduler about something else: change gets copies.
func asking(change func(w *orchestrator.Workload, nodes []orchestrator.NodeState)) schedulerDouble {
	return func(w orchestrator.Workload, nodes []orchestrator.NodeState) (orchestrator.Placement, error) {
		w.Constraints, nodes = slices.Clone(w.Constraints), slices.Clone(nodes)
		change(&w, nodes)
		return spread.New().Place(w, nodes)
	}
}

// misreading takes one operator for something else; an empty operator drops the constraint.
func misreading(operator string, change func(c *faas.Constraint)) schedulerDouble {
	return asking(func(w *orchestrator.Workload, _ []orchestrator.NodeState) {
		for i := range w.Constraints {
			if w.Constraints[i].Operator == operator {
				change(&w.Constraints[i])
			}
		}
		w.Constraints = slices.DeleteFunc(w.Constraints, func(c faas.Constraint) bool { return c.Operator == "" })
	})
}

// answering changes the answers of a correct scheduler.
func answering(change func(p *orchestrator.Placement, err error) error) schedulerDouble {
	return func(w orchestrator.Workload, nodes []orchestrator.NodeState) (orchestrator.Placement, error) {
		p, err := spread.New().Place(w, nodes)
		return p, change(&p, err)
	}
}

// fitting are the names of the nodes that fit.
func fitting(p *orchestrator.Placement) (names []string) {
	for _, v := range p.Verdicts {
		if v.Rejected == "" {
			names = append(names, v.Node)
		}
	}
	return names
}

func brokenSchedulers() map[string]orchestrator.Scheduler {
	var turn atomic.Int32
	return map[string]orchestrator.Scheduler{
		"constraint/unique": misreading("UNIQUE", func(c *faas.Constraint) { c.Field = "hostname" }),
		"constraint/cluster": misreading("CLUSTER", func(c *faas.Constraint) { // only with a value
			if c.Operator = "IS"; c.Value == "" {
				c.Operator = ""
			}
		}),
		"constraint/group-by":          misreading("GROUP_BY", func(c *faas.Constraint) { c.Operator, c.Value = "MAX_PER", "2" }),
		"constraint/group-by-at-least": misreading("GROUP_BY", func(c *faas.Constraint) { c.Value = "" }),
		"constraint/like":              misreading("LIKE", func(c *faas.Constraint) { c.Value = ".*(" + c.Value + ").*" }), // a part of the value
		"constraint/unlike":            misreading("UNLIKE", func(c *faas.Constraint) { c.Value = ".*(" + c.Value + ").*" }),
		"constraint/max-per":           misreading("MAX_PER", func(c *faas.Constraint) { c.Value += "0" }),
		"constraint/is":                misreading("IS", func(c *faas.Constraint) { c.Operator, c.Value = "LIKE", c.Value+".*" }),
		"constraint/all-must-hold": asking(func(w *orchestrator.Workload, _ []orchestrator.NodeState) {
			w.Constraints = w.Constraints[:1]
		}),
		"constraint/only-peers-count": asking(func(w *orchestrator.Workload, nodes []orchestrator.NodeState) {
			for i := range nodes {
				nodes[i].Workloads = slices.Clone(nodes[i].Workloads)
				for k := range nodes[i].Workloads {
					nodes[i].Workloads[k] = orchestrator.Placed{ID: "x", Group: w.Group}
				}
			}
		}),
		"constraint/invalid": schedulerDouble(func(w orchestrator.Workload, nodes []orchestrator.NodeState) (orchestrator.Placement, error) {
			p, err := spread.New().Place(w, nodes)
			if errors.Is(err, faas.ErrInvalidArgument) { // as if it had not been said
				w.Constraints = w.Constraints[:1]
				return spread.New().Place(w, nodes)
			}
			return p, err
		}),
		"node/draining-takes-nothing": asking(func(_ *orchestrator.Workload, nodes []orchestrator.NodeState) {
			for i := range nodes {
				nodes[i].Draining = false
			}
		}),
		"node/offers-the-driver": asking(func(w *orchestrator.Workload, _ []orchestrator.NodeState) { w.Limits = faas.Resources{} }),
		"node/capacity":          asking(func(w *orchestrator.Workload, _ []orchestrator.NodeState) { w.Requests.Pids = 0 }),
		"node/none": answering(func(p *orchestrator.Placement, err error) error {
			if len(p.Verdicts) == 0 {
				return nil
			}
			return err
		}),
		"node/random-clusters": asking(func(w *orchestrator.Workload, nodes []orchestrator.NodeState) { // never quite full
			if w.Requests.Memory > 0 {
				w.Requests.Memory++
			}
		}),
		"function/deterministic": answering(func(p *orchestrator.Placement, err error) error {
			if names := fitting(p); err == nil {
				p.Node = names[rand.IntN(len(names))]
			}
			return err
		}),
		"function/the-order-of-nodes-does-not-matter": answering(func(p *orchestrator.Placement, err error) error {
			if err == nil {
				p.Node = fitting(p)[0]
			}
			return err
		}),
		"function/explains": answering(func(p *orchestrator.Placement, err error) error {
			for i := range p.Verdicts {
				if p.Verdicts[i].Rejected != "" {
					p.Verdicts[i].Rejected = "does not fit"
				}
			}
			return err
		}),
		"function/arguments-stay-as-they-are": schedulerDouble(func(w orchestrator.Workload, nodes []orchestrator.NodeState) (orchestrator.Placement, error) {
			p, err := spread.New().Place(w, nodes)
			for i := range nodes {
				if nodes[i].Name == p.Node { // accounts for it already
					nodes[i].Workloads = append(nodes[i].Workloads, orchestrator.Placed{ID: w.ID, Group: w.Group})
				}
			}
			return p, err
		}),
		"function/concurrent-use": answering(func(p *orchestrator.Placement, err error) error { // takes turns
			if names := fitting(p); err == nil {
				p.Node = names[int(turn.Add(1))%len(names)]
			}
			return err
		}),
	}
}

func TestSchedulerKitFindsEveryBrokenPromise(t *testing.T) {
	broken := brokenSchedulers()
	for _, c := range schedulerClauses() {
		s := broken[c.name]
		if s == nil {
			t.Errorf("%s: there is no double that breaks it", c.name)
			continue
		}
		delete(broken, c.name)
		t.Run(c.name, func(t *testing.T) {
			h := SchedulerHarness{New: func(testing.TB) orchestrator.Scheduler { return s }}
			if r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, h) }); !r.Failed() {
				t.Error("the kit passes a scheduler that breaks this promise")
			}
			h.New = func(testing.TB) orchestrator.Scheduler { return spread.New() }
			if r := recordtb.Run(t, func(tb testing.TB) { c.check(tb, h) }); r.Failed() {
				t.Errorf("the kit does not pass a correct scheduler:\n%s", r.Recorded())
			}
		})
	}
	for name := range broken {
		t.Errorf("%s is no clause", name)
	}
}
