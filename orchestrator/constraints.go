package orchestrator

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/joinery/faas"
)

// The constraint operators of Marathon (see Marathon's documentation, "Constraints").
// Field is "hostname" (or "@hostname"), the node's name, or the name of a label. A node
// without the label meets no constraint but UNLIKE. "Peers" are the placed workloads of
// the same group; values are compared as text.
const (
	// OpUnique: no peer has the node's value. Takes no Value.
	OpUnique = "UNIQUE"
	// OpCluster: the node's value is Value; with no Value, that of the first peer, if
	// there is one. A first instance goes where the value has the most room.
	OpCluster = "CLUSTER"
	// OpGroupBy: no peer has the node's value, or as few as have any other value
	// that occurs among the peers, of which there are at least Value (a number; none: 0).
	// The value with the fewest peers is preferred, also one that no peer has yet.
	OpGroupBy = "GROUP_BY"
	// OpLike: the whole of the node's value matches Value, a regular expression (RE2).
	OpLike = "LIKE"
	// OpUnlike: it does not match, or the node does not have the label.
	OpUnlike = "UNLIKE"
	// OpMaxPer: fewer than Value (a positive number) peers have the node's value.
	OpMaxPer = "MAX_PER"
	// OpIs: the node's value is Value.
	OpIs = "IS"
)

// ValidateConstraints checks operators, numbers and regular expressions, and reports
// every fault at once: each is ErrInvalidArgument and names the constraint.
func ValidateConstraints(cs []faas.Constraint) error {
	_, err := compileConstraints(cs)
	return err
}

// rule is a constraint made ready, and what it knows of the peers.
type rule struct {
	faas.Constraint
	re *regexp.Regexp
	n  int

	counts map[string]int // peers by value
	groups int            // how many values, and "no value" as one more, have peers
	min    int            // the size of the smallest of those groups
	some   bool           // there are peers
	first  string         // the value of the first peer ...
	absent bool           // ... which has none

	judged map[string]string // by value, of a label: many nodes have few values
}

func compileConstraints(cs []faas.Constraint) ([]rule, error) {
	rules := make([]rule, len(cs))
	var errs []error
	for i, c := range cs {
		r := &rules[i]
		r.Constraint = c
		if err := r.compile(); err != nil {
			errs = append(errs, &faas.Error{Component: "resource scheduler", Op: "check constraint", Key: r.text(),
				Class: faas.ErrInvalidArgument, Err: err})
		}
	}
	return rules, errors.Join(errs...)
}

func (r *rule) compile() (err error) {
	if r.Field == "" {
		return errors.New(`the field is empty; it is "hostname" or the name of a label`)
	}
	switch r.Operator {
	case OpUnique:
		if r.Value != "" {
			return errors.New("it takes no value")
		}
	case OpCluster:
	case OpGroupBy, OpMaxPer:
		if r.Operator == OpGroupBy && r.Value == "" {
			return nil
		}
		if r.n, err = strconv.Atoi(r.Value); err != nil || r.n <= 0 {
			return errors.New("its value is not a positive number")
		}
	case OpLike, OpUnlike:
		if r.Value == "" {
			return errors.New("it needs a regular expression as its value")
		}
		if _, err = regexp.Compile(r.Value); err == nil { // alone, so that a stray parenthesis is found
			r.re, err = regexp.Compile(`\A(?:` + r.Value + `)\z`)
		}
		return err
	case OpIs:
		if r.Value == "" {
			return errors.New("it needs a value")
		}
	default:
		return errors.New("the operator is none of UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER, IS")
	}
	return nil
}

// text is the constraint as people write it: "rack MAX_PER 2".
func (r *rule) text() string {
	s := r.Field + " " + r.Operator
	if r.Value != "" {
		s += " " + r.Value
	}
	return s
}

func (r *rule) hostname() bool { return r.Field == "hostname" || r.Field == "@hostname" }

// of returns the node's value of the constraint's field.
func (r *rule) of(n *NodeState) (value string, ok bool) {
	if r.hostname() {
		return n.Name, true
	}
	value, ok = n.Labels[r.Field]
	return value, ok
}

// count learns where the peers are, for the operators that look at them.
func (r *rule) count(p *Problem) {
	switch r.Operator {
	case OpUnique, OpCluster, OpGroupBy, OpMaxPer:
	default:
		return
	}
	r.counts = make(map[string]int)
	absent := 0
	for i, n := range p.Peers() {
		if n == 0 {
			continue
		}
		value, ok := r.of(&p.Nodes[i])
		if !r.some {
			r.some, r.first, r.absent = true, value, !ok
		}
		if ok {
			r.counts[value] += n
		} else {
			absent += n
		}
	}
	r.min = math.MaxInt
	for _, n := range r.counts {
		r.min = min(r.min, n)
	}
	// Marathon counts the peers without the attribute as one more group.
	if absent > 0 {
		r.min = min(r.min, absent)
	}
	r.groups = len(r.counts)
	if absent > 0 {
		r.groups++
	}
}

func meetsConstraints(p *Problem) (func(int) string, error) {
	rules, err := compileConstraints(p.Workload.Constraints)
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	for i := range rules {
		rules[i].count(p)
	}
	return func(node int) string {
		for i := range rules {
			if why := rules[i].reject(&p.Nodes[node]); why != "" {
				return why
			}
		}
		return ""
	}, nil
}

// reject says why the node does not meet the constraint; "" if it does.
func (r *rule) reject(n *NodeState) string {
	value, ok := r.of(n)
	if !ok {
		if r.Operator == OpUnlike {
			return ""
		}
		return r.text() + ": the node has no such label"
	}
	if r.hostname() {
		return r.explain(r.judge(value))
	}
	why, known := r.judged[value]
	if !known {
		if r.judged == nil {
			r.judged = make(map[string]string)
		}
		why = r.explain(r.judge(value))
		r.judged[value] = why
	}
	return why
}

func (r *rule) explain(why string) string {
	if why == "" {
		return ""
	}
	return r.text() + ": " + why
}

// judge says why nodes of that value do not meet the constraint; "" if they do.
func (r *rule) judge(value string) string {
	peers := r.counts[value]
	switch r.Operator {
	case OpUnique:
		if peers > 0 {
			return fmt.Sprintf("%q has one already", value)
		}
	case OpCluster:
		switch {
		case r.Value != "" && value != r.Value:
			return fmt.Sprintf("it is %q", value)
		case r.Value == "" && r.some && (r.absent || value != r.first):
			return fmt.Sprintf("it is %q, the others are at %q", value, r.first)
		}
	case OpGroupBy:
		switch {
		case peers > 0 && r.groups < r.n:
			return fmt.Sprintf("%q has %d already, and only %d of %d values have any", value, peers, r.groups, r.n)
		case peers > 0 && peers > r.min:
			return fmt.Sprintf("%q has %d already, the least is %d", value, peers, r.min)
		}
	case OpLike:
		if !r.re.MatchString(value) {
			return fmt.Sprintf("%q does not match", value)
		}
	case OpUnlike:
		if r.re.MatchString(value) {
			return fmt.Sprintf("%q matches", value)
		}
	case OpMaxPer:
		if peers >= r.n {
			return fmt.Sprintf("%q has %d already", value, peers)
		}
	case OpIs:
		if value != r.Value {
			return fmt.Sprintf("it is %q", value)
		}
	}
	return ""
}

// ConstraintScore prefers what GROUP_BY and CLUSTER aim at among the nodes that they
// allow. Its weight lets it win over the scores of spreading and packing.
func ConstraintScore() Score {
	return Score{Name: "constraint", Weight: 1000, Prepare: prefersConstraints}
}

func prefersConstraints(p *Problem) (func(int) float64, error) {
	var steering []faas.Constraint
	for _, c := range p.Workload.Constraints {
		if c.Operator == OpGroupBy || c.Operator == OpCluster && c.Value == "" {
			steering = append(steering, c)
		}
	}
	if len(steering) == 0 {
		return nil, nil
	}
	rules, err := compileConstraints(steering)
	if err != nil {
		return nil, err
	}
	rooms := make([]map[string]float64, len(rules))
	for i := range rules {
		r := &rules[i]
		r.count(p)
		if r.Operator != OpCluster || r.some {
			continue
		}
		rooms[i] = make(map[string]float64)
		for k := range p.Nodes {
			if value, ok := r.of(&p.Nodes[k]); ok && p.Fits(k) {
				rooms[i][value] += room(p.Workload.Requests, &p.Nodes[k])
			}
		}
	}
	return func(node int) (sum float64) {
		for i := range rules {
			value, _ := rules[i].of(&p.Nodes[node])
			if rules[i].Operator == OpGroupBy {
				sum -= float64(rules[i].counts[value])
			} else if rooms[i] != nil {
				sum += rooms[i][value] / (1 + rooms[i][value])
			}
		}
		return sum
	}, nil
}

// room is how many such requests the node could take; a thousand where there is no bound.
func room(request faas.Resources, n *NodeState) float64 {
	copies := int64(1000)
	for _, r := range [...][3]int64{
		{request.MilliCPU, n.Capacity.MilliCPU, n.Used.MilliCPU},
		{request.Memory, n.Capacity.Memory, n.Used.Memory},
		{request.Pids, n.Capacity.Pids, n.Used.Pids},
	} {
		if r[0] > 0 && r[1] > 0 {
			copies = min(copies, max(r[1]-r[2], 0)/r[0])
		}
	}
	return float64(copies)
}
