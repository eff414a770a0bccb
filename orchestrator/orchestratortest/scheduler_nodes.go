package orchestratortest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

var schedulerNodeClauses = []clause[SchedulerHarness]{
	{"node/draining-takes-nothing", func(tb testing.TB, h SchedulerHarness) {
		nodes := racks(0, 0, 0, 0)
		nodes[0].Draining, nodes[2].Draining = true, true
		wantFit(tb, h.New(tb), work(), nodes, "b", "d")
	}},
	{"node/offers-the-driver", func(tb testing.TB, h SchedulerHarness) {
		proc := driver.Info{Name: "proc", Contracts: []faas.Contract{faas.ContractHTTP, faas.ContractSocket},
			Isolation: faas.IsolationProcess, Limits: driver.LimitSupport{Memory: true}}
		weak := proc
		weak.Isolation, weak.Contracts = faas.IsolationNone, proc.Contracts[:1]
		bare := proc
		bare.Limits = driver.LimitSupport{Pids: true}
		offer := func(name string, infos ...driver.Info) orchestrator.NodeState {
			n := node(name, "", 0)
			n.Drivers = infos
			return n
		}
		nodes := []orchestrator.NodeState{offer("both", memInfo(), proc), offer("mem", memInfo()), offer("weak", weak), offer("bare", bare), offer("none")}
		s := h.New(tb)
		wantFit(tb, s, work(), nodes, "both", "mem")
		w := work()
		w.Driver, w.Contract = "proc", faas.ContractHTTP
		wantFit(tb, s, w, nodes, "both", "weak", "bare")
		w.Limits.Memory = 1 << 20
		wantFit(tb, s, w, nodes, "both", "weak")
		w.Isolation = faas.IsolationProcess
		wantFit(tb, s, w, nodes, "both")
		w.Limits, w.Contract = faas.Resources{}, faas.ContractSocket
		wantFit(tb, s, w, nodes, "both", "bare")
		w.Contract = faas.ContractHandler // of another driver
		wantFit(tb, s, w, nodes)
	}},
	{"node/capacity", func(tb testing.TB, h SchedulerHarness) {
		sized := func(name string, capacity, used faas.Resources) orchestrator.NodeState {
			n := node(name, "", 0)
			n.Capacity, n.Used = capacity, used
			return n
		}
		nodes := []orchestrator.NodeState{
			sized("exact", faas.Resources{MilliCPU: 1000, Memory: 1000, Pids: 10}, faas.Resources{MilliCPU: 500, Memory: 900, Pids: 9}),
			sized("cpu", faas.Resources{MilliCPU: 1000}, faas.Resources{MilliCPU: 501}),
			sized("memory", faas.Resources{Memory: 1000}, faas.Resources{Memory: 901}),
			sized("pids", faas.Resources{Pids: 10}, faas.Resources{Pids: 10}),
			sized("unbounded", faas.Resources{}, faas.Resources{MilliCPU: 1e9, Memory: 1e12}),
			sized("over", faas.Resources{Memory: 1000}, faas.Resources{Memory: 2000}),
		}
		s, w := h.New(tb), work()
		wantFit(tb, s, w, nodes, "exact", "cpu", "memory", "pids", "unbounded", "over")
		w.Requests = faas.Resources{MilliCPU: 500, Memory: 100, Pids: 1}
		wantFit(tb, s, w, nodes, "exact", "unbounded")
		w.Requests.Memory++
		wantFit(tb, s, w, nodes, "unbounded")
	}},
	{"node/none", func(tb testing.TB, h SchedulerHarness) {
		wantFit(tb, h.New(tb), work(), nil)
	}},
	{"node/random-clusters", func(tb testing.TB, h SchedulerHarness) {
		r := rand.New(rand.NewPCG(20, 26))
		s := h.New(tb)
		for range 500 {
			nodes, w := randomCluster(r)
			var want []string
			for i := range nodes {
				if allowed(&w, nodes, i) {
					want = append(want, nodes[i].Name)
				}
			}
			wantFit(tb, s, w, nodes, want...)
			if tb.Failed() {
				text, _ := json.MarshalIndent(map[string]any{"workload": w, "nodes": nodes}, "", " ")
				tb.Fatalf("in this cluster:\n%s", text)
			}
		}
	}},
}

var schedulerFunctionClauses = []clause[SchedulerHarness]{
	{"function/deterministic", func(tb testing.TB, h SchedulerHarness) {
		r := rand.New(rand.NewPCG(4, 2))
		for range 100 {
			nodes, w := randomCluster(r)
			first, firstErr := h.New(tb).Place(w, nodes)
			for range 3 {
				again, err := h.New(tb).Place(w, nodes)
				if !reflect.DeepEqual(first, again) || (firstErr == nil) != (err == nil) {
					tb.Fatalf("the same arguments gave %q (%v) and then %q (%v)", first.Node, firstErr, again.Node, err)
				}
			}
		}
	}},
	{"function/the-order-of-nodes-does-not-matter", func(tb testing.TB, h SchedulerHarness) {
		nodes := []orchestrator.NodeState{node("b", "", 0), node("a", "", 0), node("c", "", 0)}
		first, err := h.New(tb).Place(work(), nodes)
		ok(tb, err, "place")
		slices.Reverse(nodes)
		again, err := h.New(tb).Place(work(), nodes)
		ok(tb, err, "place")
		if first.Node != again.Node {
			tb.Errorf("equal nodes in another order gave %q and then %q", first.Node, again.Node)
		}
	}},
	{"function/explains", func(tb testing.TB, h SchedulerHarness) {
		nodes := racks(0, 1, 0, 0)
		nodes[0].Draining = true
		nodes[2].Drivers = nil
		w := work()
		w.Constraints = []faas.Constraint{constraint("hostname UNIQUE")}
		s := h.New(tb)
		p, err := s.Place(w, nodes)
		ok(tb, err, "place")
		checkVerdicts(tb, p, nodes)
		if p.Node != "d" || p.Verdicts[3].Rejected != "" {
			tb.Errorf("placed on %q, want d: %s", p.Node, p.Reason())
		}
		if !strings.Contains(p.Verdicts[1].Rejected, "hostname UNIQUE") {
			tb.Errorf("the verdict on b does not name the constraint: %q", p.Verdicts[1].Rejected)
		}
		p, err = s.Place(w, nodes[:3])
		wantClass(tb, err, faas.ErrExhausted, "placement where nothing fits")
		checkVerdicts(tb, p, nodes[:3])
		seen := make(map[string]bool)
		for _, v := range p.Verdicts {
			seen[v.Rejected] = true
		}
		if len(seen) != 3 || seen[""] {
			tb.Errorf("three nodes are rejected for three reasons, but the verdicts say %v", p.Verdicts)
		}
		if err != nil && !strings.Contains(err.Error(), p.Verdicts[1].Rejected) {
			tb.Errorf("the error does not say why: %v", err)
		}
	}},
	{"function/arguments-stay-as-they-are", func(tb testing.TB, h SchedulerHarness) {
		r := rand.New(rand.NewPCG(1, 1))
		for range 50 {
			nodes, w := randomCluster(r)
			before, _ := json.Marshal([]any{nodes, w})
			_, _ = h.New(tb).Place(w, nodes)
			if after, _ := json.Marshal([]any{nodes, w}); string(after) != string(before) {
				tb.Fatalf("the arguments were changed from\n%s\nto\n%s", before, after)
			}
		}
	}},
	{"function/concurrent-use", func(tb testing.TB, h SchedulerHarness) {
		nodes, w := racks(1, 0, 0, 0), work()
		w.Constraints = []faas.Constraint{constraint("hostname UNIQUE"), constraint("hostname LIKE [a-z]")}
		s := h.New(tb)
		want, _ := s.Place(w, nodes)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 20 {
					if p, _ := s.Place(w, nodes); p.Node != want.Node {
						tb.Errorf("placed on %q, alone on %q", p.Node, want.Node)
						return
					}
				}
			})
		}
		all.Wait()
	}},
}

// randomCluster returns a cluster and a workload with up to two constraints.
func randomCluster(r *rand.Rand) ([]orchestrator.NodeState, orchestrator.Workload) {
	nodes := make([]orchestrator.NodeState, 1+r.IntN(8))
	for i := range nodes {
		labels := ""
		if r.IntN(5) > 0 {
			labels = fmt.Sprintf("rack=r%d", r.IntN(3))
		}
		n := node(fmt.Sprintf("n%d", i), labels, []int{0, 0, 1, 1, 2, 3}[r.IntN(6)])
		n.Draining = r.IntN(10) == 0
		if r.IntN(10) == 0 {
			n.Drivers = nil
		}
		if r.IntN(3) > 0 {
			n.Capacity = faas.Resources{MilliCPU: 1000, Memory: 1000}
			n.Used = faas.Resources{MilliCPU: int64(r.IntN(12) * 100), Memory: int64(r.IntN(12) * 100)}
		}
		nodes[i] = n
	}
	w := work()
	w.Requests = faas.Resources{MilliCPU: int64(r.IntN(4) * 100), Memory: int64(r.IntN(4) * 100)} // often just what is free
	menu := []string{"hostname UNIQUE", "rack UNIQUE", "rack CLUSTER", "hostname CLUSTER", "rack CLUSTER r1", "rack GROUP_BY", "rack GROUP_BY 3",
		"hostname GROUP_BY", "rack LIKE r[01]", "rack UNLIKE r[01]", "hostname UNLIKE n[0-3]", "rack MAX_PER 2", "hostname MAX_PER 1", "rack IS r2", "hostname IS n1"}
	for range r.IntN(3) {
		w.Constraints = append(w.Constraints, constraint(menu[r.IntN(len(menu))]))
	}
	return nodes, w
}

// allowed is the rules once more, in the plainest form: one constraint, one node, one
// pass over the peers.
func allowed(w *orchestrator.Workload, nodes []orchestrator.NodeState, at int) bool {
	n := &nodes[at]
	fits, _ := orchestrator.Fits(w.Requests, n)
	if n.Draining || len(n.Drivers) == 0 || !fits {
		return false
	}
	for _, c := range w.Constraints {
		of := func(n *orchestrator.NodeState) (string, bool) {
			if c.Field == "hostname" {
				return n.Name, true
			}
			v, found := n.Labels[c.Field]
			return v, found
		}
		value, found := of(n)
		if !found {
			if c.Operator != "UNLIKE" {
				return false
			}
			continue
		}
		groups := make(map[string]int) // peers by value; those without one under a name that no value has
		first := ""
		for i := range nodes {
			for range nodes[i].Workloads {
				v, found := of(&nodes[i])
				if !found {
					v = "\x00none"
				}
				if len(groups) == 0 {
					first = v
				}
				groups[v]++
			}
		}
		least := 1 << 30
		for _, size := range groups {
			least = min(least, size)
		}
		number, _ := strconv.Atoi(c.Value)
		held := false
		switch c.Operator {
		case "UNIQUE":
			held = groups[value] == 0
		case "CLUSTER":
			held = value == c.Value || c.Value == "" && (len(groups) == 0 || first == value)
		case "GROUP_BY":
			held = groups[value] == 0 || len(groups) >= number && groups[value] == least
		case "LIKE", "UNLIKE":
			match := regexp.MustCompile("^(" + c.Value + ")$").MatchString(value)
			held = match == (c.Operator == "LIKE")
		case "MAX_PER":
			held = groups[value] < number
		case "IS":
			held = value == c.Value
		}
		if !held {
			return false
		}
	}
	return true
}
