package orchestratortest

import (
	"strings"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// scene is one row of the table: on these nodes a workload with these constraints
// fits on these.
type scene struct {
	constraints string // separated by ";"
	nodes       []orchestrator.NodeState
	want        string // names separated by spaces
}

// racks are three racks with, in this order, so many peers, and a node without a label.
func racks(a, b, c, none int) []orchestrator.NodeState {
	return []orchestrator.NodeState{node("a", "rack=r1", a), node("b", "rack=r2", b), node("c", "rack=r3", c), node("d", "", none)}
}

// twins are two nodes in each of two racks.
func twins(a1, a2, b1, b2 int) []orchestrator.NodeState {
	return []orchestrator.NodeState{node("a1", "rack=a", a1), node("a2", "rack=a", a2), node("b1", "rack=b", b1), node("b2", "rack=b", b2)}
}

// The semantics are those of Marathon (its documentation, "Constraints", and
// mesosphere.mesos.Constraints, from which the less obvious rows are taken).
var schedulerConstraintClauses = []clause[SchedulerHarness]{
	table("constraint/unique",
		scene{"hostname UNIQUE", racks(0, 0, 0, 0), "a b c d"},
		scene{"hostname UNIQUE", racks(1, 0, 2, 0), "b d"},
		scene{"hostname UNIQUE", racks(1, 1, 1, 1), ""},
		scene{"rack UNIQUE", racks(0, 1, 0, 0), "a c"},
		scene{"rack UNIQUE", twins(1, 0, 0, 0), "b1 b2"}, // the value counts, not the node
		scene{"rack UNIQUE", racks(0, 0, 0, 2), "a b c"}, // peers without the label are in no rack
	),
	table("constraint/cluster",
		scene{"rack CLUSTER r2", racks(0, 0, 0, 0), "b"},
		scene{"rack CLUSTER r2", racks(1, 0, 0, 0), "b"}, // a value is a value, wherever peers are
		scene{"rack CLUSTER r9", racks(0, 0, 0, 0), ""},
		scene{"rack CLUSTER", racks(0, 0, 0, 0), "a b c"},
		scene{"rack CLUSTER", racks(0, 2, 0, 0), "b"},
		scene{"rack CLUSTER", twins(0, 0, 1, 0), "b1 b2"},
		scene{"rack CLUSTER", racks(0, 0, 0, 1), ""}, // the first peer has no value to share
		scene{"hostname CLUSTER", racks(0, 0, 1, 0), "c"},
		scene{"hostname CLUSTER", racks(0, 0, 0, 0), "a b c d"},
		scene{"hostname CLUSTER d", racks(0, 0, 0, 0), "d"},
	),
	table("constraint/group-by",
		scene{"rack GROUP_BY", racks(0, 0, 0, 0), "a b c"},
		scene{"rack GROUP_BY", racks(1, 0, 0, 0), "a b c"}, // r1 is the smallest group that is known
		scene{"rack GROUP_BY", racks(2, 1, 0, 0), "b c"},
		scene{"rack GROUP_BY", racks(2, 2, 2, 0), "a b c"},
		scene{"rack GROUP_BY", racks(2, 2, 1, 0), "c"},
		scene{"rack GROUP_BY", twins(1, 1, 1, 0), "b1 b2"},
		scene{"rack GROUP_BY", racks(2, 2, 2, 1), ""}, // peers without the label are one more group
		scene{"hostname GROUP_BY", racks(1, 1, 0, 1), "a b c d"},
		scene{"hostname GROUP_BY", racks(1, 1, 2, 1), "a b d"},
	),
	table("constraint/group-by-at-least",
		scene{"rack GROUP_BY 3", racks(0, 0, 0, 0), "a b c"},
		scene{"rack GROUP_BY 3", racks(1, 0, 0, 0), "b c"}, // first one in each of three
		scene{"rack GROUP_BY 3", racks(1, 1, 0, 0), "c"},
		scene{"rack GROUP_BY 3", racks(1, 1, 1, 0), "a b c"},
		scene{"rack GROUP_BY 3", racks(2, 1, 1, 0), "b c"},
		scene{"rack GROUP_BY 5", racks(1, 1, 1, 0), ""},
	),
	table("constraint/like",
		scene{"rack LIKE r[12]", racks(5, 0, 0, 0), "a b"},
		scene{"rack LIKE r", racks(0, 0, 0, 0), ""}, // the whole value
		scene{"rack LIKE r1|r3", racks(0, 0, 0, 0), "a c"},
		scene{"rack LIKE .*", racks(0, 0, 0, 0), "a b c"}, // not without the label
		scene{"hostname LIKE [c-z]", racks(0, 0, 0, 0), "c d"},
	),
	table("constraint/unlike",
		scene{"rack UNLIKE r[12]", racks(0, 0, 0, 0), "c d"}, // without the label it is always met
		scene{"rack UNLIKE r", racks(0, 0, 0, 0), "a b c d"},
		scene{"rack UNLIKE r1|r3", racks(0, 0, 0, 0), "b d"},
		scene{"rack UNLIKE .*", racks(0, 0, 0, 0), "d"},
		scene{"hostname UNLIKE a", racks(0, 0, 0, 0), "b c d"},
	),
	table("constraint/max-per",
		scene{"rack MAX_PER 2", racks(0, 1, 2, 0), "a b"},
		scene{"rack MAX_PER 2", twins(1, 1, 1, 0), "b1 b2"},
		scene{"hostname MAX_PER 1", racks(0, 1, 0, 0), "a c d"},
		scene{"hostname MAX_PER 3", racks(3, 4, 3, 3), ""},
	),
	table("constraint/is",
		scene{"rack IS r2", racks(3, 3, 0, 0), "b"},
		scene{"rack IS r", racks(0, 0, 0, 0), ""},
		scene{"hostname IS d", racks(0, 0, 0, 0), "d"},
	),
	table("constraint/all-must-hold",
		scene{"rack UNLIKE r3;hostname UNIQUE", racks(0, 1, 0, 0), "a d"},
		scene{"rack GROUP_BY;rack LIKE r[12]", racks(2, 2, 1, 0), ""},
		scene{"rack IS r1;rack IS r2", racks(0, 0, 0, 0), ""},
	),
	{"constraint/only-peers-count", func(tb testing.TB, h SchedulerHarness) {
		nodes := racks(1, 0, 0, 0)
		nodes[1].Workloads = []orchestrator.Placed{{ID: "x", Group: "another"}, {ID: "y"}}
		nodes[2].Workloads = []orchestrator.Placed{{ID: "new", Group: "g"}} // the workload itself
		w := work()
		w.Constraints = []faas.Constraint{constraint("hostname UNIQUE")}
		wantFit(tb, h.New(tb), w, nodes, "b", "c", "d")
		w.Group = "" // whoever has no group has no peers
		wantFit(tb, h.New(tb), w, nodes, "a", "b", "c", "d")
	}},
	{"constraint/invalid", func(tb testing.TB, h SchedulerHarness) {
		for _, text := range []string{
			"rack NEAR r1", "rack unique", "rack ", "rack UNIQUE r1", "rack LIKE", "rack LIKE (", "rack LIKE a)(b", "rack UNLIKE", "rack UNLIKE [",
			"rack MAX_PER", "rack MAX_PER two", "rack MAX_PER 0", "rack MAX_PER -1", "rack GROUP_BY x", "rack GROUP_BY -2", "rack IS", " IS r1",
		} {
			c := constraint(text)
			w := work()
			w.Constraints = []faas.Constraint{constraint("hostname LIKE .*"), c}
			p, err := h.New(tb).Place(w, racks(0, 0, 0, 0))
			wantClass(tb, err, faas.ErrInvalidArgument, "placement with the constraint "+text)
			if err != nil && (!strings.Contains(err.Error(), c.Operator) || !strings.Contains(err.Error(), c.Field)) {
				tb.Errorf("the error does not name the constraint %q: %v", text, err)
			}
			if p.Node != "" {
				tb.Errorf("the constraint %q is not valid, but the workload is placed on %q", text, p.Node)
			}
		}
	}},
}

// table is a clause of scenes.
func table(name string, scenes ...scene) clause[SchedulerHarness] {
	return clause[SchedulerHarness]{name, func(tb testing.TB, h SchedulerHarness) {
		for _, sc := range scenes {
			w := work()
			for c := range strings.SplitSeq(sc.constraints, ";") {
				w.Constraints = append(w.Constraints, constraint(c))
			}
			wantFit(tb, h.New(tb), w, sc.nodes, strings.Fields(sc.want)...)
		}
	}}
}
