package orchestrator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/binpack"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/spread"
)

func aNode(name, rack string, used int64, peers int) orchestrator.NodeState {
	n := orchestrator.NodeState{
		Node: orchestrator.Node{
			Name: name, Capacity: faas.Resources{MilliCPU: 1000, Memory: 1000}, Labels: map[string]string{"rack": rack},
			Drivers: []driver.Info{{Name: "mem", Contracts: []faas.Contract{faas.ContractHandler}}},
		},
		Used: faas.Resources{MilliCPU: used},
	}
	for i := range peers {
		n.Workloads = append(n.Workloads, orchestrator.Placed{ID: fmt.Sprint(name, i), Group: "g"})
	}
	return n
}

// What the schedulers prefer among nodes that fit; what fits is the kit's to test.
func TestPreferences(t *testing.T) {
	for _, c := range []struct {
		what            string
		constraint      string
		nodes           []orchestrator.NodeState
		spread, binpack string
	}{
		{"equals: the first name", "", []orchestrator.NodeState{aNode("b", "", 0, 0), aNode("a", "", 0, 0)}, "a", "a"},
		{"allocation", "", []orchestrator.NodeState{aNode("a", "", 500, 0), aNode("b", "", 100, 0), aNode("c", "", 300, 0)}, "b", "a"},
		{"peers before allocation", "", []orchestrator.NodeState{aNode("a", "", 0, 1), aNode("b", "", 900, 0)}, "b", "b"},
		{"the dominant resource", "", []orchestrator.NodeState{
			{Node: aNode("a", "", 0, 0).Node, Used: faas.Resources{MilliCPU: 400, Memory: 400}},
			{Node: aNode("b", "", 0, 0).Node, Used: faas.Resources{Memory: 700}},
		}, "a", "b"},
		{"group by: a rack without any", "rack GROUP_BY", []orchestrator.NodeState{aNode("a", "r1", 0, 0), aNode("b", "r1", 0, 1), aNode("c", "r2", 800, 0)}, "c", "c"},
		{"cluster: the rack with the most room", "rack CLUSTER", []orchestrator.NodeState{aNode("a", "r1", 0, 0), aNode("b", "r2", 500, 0), aNode("c", "r2", 200, 0)}, "c", "b"},
	} {
		w := orchestrator.Workload{ID: "new", Group: "g", Driver: "mem", Contract: faas.ContractHandler, Requests: faas.Resources{MilliCPU: 100}}
		if f := strings.Fields(c.constraint); len(f) > 0 {
			w.Constraints = []faas.Constraint{{Field: f[0], Operator: f[1]}}
		}
		p, err := spread.New().Place(w, c.nodes)
		require.NoError(t, err, c.what)
		require.Equal(t, c.spread, p.Node, "spread, %s: %s", c.what, p.Reason())
		p, err = binpack.New().Place(w, c.nodes)
		require.NoError(t, err, c.what)
		require.Equal(t, c.binpack, p.Node, "binpack, %s: %s", c.what, p.Reason())
	}
}

func TestAFilterOfOnesOwn(t *testing.T) {
	s := spread.New()
	s.Filters = append(s.Filters, orchestrator.Filter{Name: "weekday", Prepare: func(p *orchestrator.Problem) (func(int) string, error) {
		return func(node int) string {
			if p.Nodes[node].Name == "a" {
				return "a rests"
			}
			return ""
		}, nil
	}})
	p, err := s.Place(orchestrator.Workload{ID: "w", Driver: "mem", Contract: faas.ContractHandler},
		[]orchestrator.NodeState{aNode("a", "", 0, 0), aNode("b", "", 0, 0)})
	require.NoError(t, err)
	require.Equal(t, "b", p.Node)
	require.Equal(t, "weekday: a rests", p.Verdicts[0].Rejected)
}

func FuzzConstraints(f *testing.F) {
	for _, seed := range [][3]string{{"rack", "LIKE", "r[12]"}, {"hostname", "UNIQUE", ""}, {"rack", "MAX_PER", "2"}, {"rack", "UNLIKE", "a)(b"}} {
		f.Add(seed[0], seed[1], seed[2], "r1")
	}
	f.Fuzz(func(t *testing.T, field, operator, value, rack string) {
		c := []faas.Constraint{{Field: field, Operator: operator, Value: value}}
		w := orchestrator.Workload{ID: "w", Group: "g", Driver: "mem", Contract: faas.ContractHandler, Constraints: c}
		invalid := orchestrator.ValidateConstraints(c)
		p, err := spread.New().Place(w, []orchestrator.NodeState{aNode("a", rack, 0, 1)})
		if invalid != nil {
			require.ErrorIs(t, invalid, faas.ErrInvalidArgument)
			require.ErrorIs(t, err, faas.ErrInvalidArgument)
		} else if err != nil {
			require.ErrorIs(t, err, faas.ErrExhausted)
		}
		require.Len(t, p.Verdicts, 1)
		require.Equal(t, err == nil, p.Verdicts[0].Rejected == "")
	})
}
