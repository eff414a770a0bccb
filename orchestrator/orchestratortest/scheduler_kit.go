package orchestratortest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// SchedulerHarness makes the schedulers that RunScheduler tests.
type SchedulerHarness struct {
	// New returns a scheduler. Required.
	New func(tb testing.TB) orchestrator.Scheduler
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

// RunScheduler tests every promise of an orchestrator.Scheduler: which nodes it may choose,
// and that it explains itself. Which of them it prefers is its own affair.
func RunScheduler(t *testing.T, h SchedulerHarness) {
	if h.New == nil {
		t.Fatal("orchestratortest: SchedulerHarness.New is required")
	}
	runClauses(t, h, false, h.Skip, schedulerClauses())
}

func schedulerClauses() []clause[SchedulerHarness] {
	return slices.Concat(schedulerConstraintClauses, schedulerNodeClauses, schedulerFunctionClauses)
}

// BenchScheduler measures one placement on 1,000 nodes with 10 workloads each.
func BenchScheduler(b *testing.B, h SchedulerHarness) {
	nodes := make([]orchestrator.NodeState, 1000)
	for i := range nodes {
		nodes[i] = node(fmt.Sprintf("n%04d", i), fmt.Sprintf("rack=r%d disk=ssd", i%20), i%3)
		nodes[i].Capacity = faas.Resources{MilliCPU: 32_000, Memory: 64 << 30}
		nodes[i].Used = faas.Resources{MilliCPU: int64(i % 30_000), Memory: 32 << 30}
		for k := range 10 {
			nodes[i].Workloads = append(nodes[i].Workloads, orchestrator.Placed{ID: fmt.Sprint("w", i, k), Group: fmt.Sprint("other/", k)})
		}
	}
	for name, constraints := range map[string][]faas.Constraint{
		"free":        nil,
		"constrained": {constraint("rack GROUP_BY"), constraint("disk LIKE ssd|nvme"), constraint("hostname MAX_PER 3")},
	} {
		b.Run(name, func(b *testing.B) {
			s, w := h.New(b), work()
			w.Requests, w.Constraints = faas.Resources{MilliCPU: 100, Memory: 128 << 20}, constraints
			b.ReportAllocs()
			for b.Loop() {
				if p, err := s.Place(w, nodes); err != nil || p.Node == "" {
					b.Fatal(p.Node, err)
				}
			}
		})
	}
}

// work is a workload of group "g" that any node of node() takes.
func work() orchestrator.Workload {
	return orchestrator.Workload{ID: "new", Group: "g", Driver: "mem", Contract: faas.ContractHandler, Command: []string{"h"}}
}

// node is a node with the labels ("key=value key=value") and so many workloads of group "g".
func node(name, labels string, peers int) orchestrator.NodeState {
	n := orchestrator.NodeState{Node: orchestrator.Node{Name: name, Drivers: []driver.Info{memInfo()}}}
	for _, label := range strings.Fields(labels) {
		if n.Labels == nil {
			n.Labels = make(map[string]string)
		}
		key, value, _ := strings.Cut(label, "=")
		n.Labels[key] = value
	}
	for i := range peers {
		n.Workloads = append(n.Workloads, orchestrator.Placed{ID: fmt.Sprint(name, "-", i), Group: "g"})
	}
	return n
}

func memInfo() driver.Info {
	return driver.Info{Name: "mem", Contracts: []faas.Contract{faas.ContractHandler}}
}

// constraint reads "field OPERATOR value".
func constraint(s string) faas.Constraint {
	parts := strings.SplitN(s, " ", 3)
	c := faas.Constraint{Field: parts[0]}
	if len(parts) > 1 {
		c.Operator = parts[1]
	}
	if len(parts) > 2 {
		c.Value = parts[2]
	}
	return c
}

// wantFit places the workload and checks that just the nodes named fit, and one of them is chosen.
func wantFit(tb testing.TB, s orchestrator.Scheduler, w orchestrator.Workload, nodes []orchestrator.NodeState, want ...string) {
	tb.Helper()
	p, err := s.Place(w, nodes)
	checkVerdicts(tb, p, nodes)
	var fit []string
	for _, v := range p.Verdicts {
		if v.Rejected == "" {
			fit = append(fit, v.Node)
		}
	}
	if !reflect.DeepEqual(slices.Sorted(slices.Values(fit)), slices.Sorted(slices.Values(want))) {
		tb.Errorf("%v: the nodes that fit are %v, want %v (%s)", w.Constraints, fit, want, p.Reason())
	}
	switch {
	case len(want) == 0:
		wantClass(tb, err, faas.ErrExhausted, "placement where nothing fits")
		if p.Node != "" {
			tb.Errorf("placed on %q although nothing fits", p.Node)
		}
	case err != nil:
		tb.Errorf("%v: %v", w.Constraints, err)
	case !slices.Contains(want, p.Node):
		tb.Errorf("%v: placed on %q, which does not fit; %v do", w.Constraints, p.Node, want)
	}
}

// checkVerdicts checks that the placement explains itself node by node.
func checkVerdicts(tb testing.TB, p orchestrator.Placement, nodes []orchestrator.NodeState) {
	tb.Helper()
	if len(p.Verdicts) != len(nodes) {
		tb.Fatalf("there are %d verdicts on %d nodes", len(p.Verdicts), len(nodes))
	}
	for i, v := range p.Verdicts {
		if v.Node != nodes[i].Name {
			tb.Errorf("verdict %d is on %q, the node is %q", i, v.Node, nodes[i].Name)
		}
		if v.Node == p.Node && v.Rejected != "" {
			tb.Errorf("placed on %q, which the verdict rejects: %s", p.Node, v.Rejected)
		}
	}
}
