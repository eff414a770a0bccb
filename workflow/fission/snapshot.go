package fission

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// A snapshot is JSON: values of this language are JSON, and flows are kept as they were written.

const snapshotFormat = "fission/1"

type savedState struct {
	Format    string                `json:"format"`
	Execution workflow.ExecutionRef `json:"execution"`
	Workflow  string                `json:"workflow"`
	Started   time.Time             `json:"started"`
	Seed      uint64                `json:"seed"`
	Draws     uint64                `json:"draws"`
	Inputs    map[string]any        `json:"inputs"`
	Root      *savedScope           `json:"root"`
	Ended     bool                  `json:"ended,omitempty"`
}

type savedScope struct {
	Kind   string                `json:"kind"`
	Flow   map[string]any        `json:"flow,omitempty"`
	Turn   int                   `json:"turn,omitempty"`
	Size   int                   `json:"size,omitempty"`
	Serial bool                  `json:"serial,omitempty"`
	Nodes  map[string]*savedNode `json:"nodes,omitempty"` // those that were touched
}

type savedNode struct {
	Status  status         `json:"s,omitempty"`
	Extra   map[string]any `json:"x,omitempty"`
	Inputs  map[string]any `json:"i,omitempty"`
	Output  any            `json:"o,omitempty"`
	Headers map[string]any `json:"h,omitempty"`
	Child   *savedScope    `json:"c,omitempty"`
	Loop    *loop          `json:"l,omitempty"`
}

// Snapshot encodes the state. See workflow.Program.
func (p *Program) Snapshot(s workflow.State) ([]byte, error) {
	st, ok := s.(*state)
	if !ok {
		return nil, faas.Errorf("workflow", "snapshot", name, faas.ErrInvalidArgument, "%T is no state of this language", s)
	}
	b, err := json.Marshal(savedState{snapshotFormat, st.execution, st.workflow, st.started, st.seed, st.draws, st.inputs, save(st.root), st.ended})
	if err != nil {
		return nil, faas.Errorf("workflow", "snapshot", name, faas.ErrInternal, "%w", err)
	}
	return b, nil
}

func save(s *scope) *savedScope {
	if s == nil {
		return nil
	}
	out := &savedScope{Kind: s.kind, Size: s.size, Serial: s.serial, Nodes: map[string]*savedNode{}}
	if s.flow != nil {
		out.Flow = s.flow.written
	}
	if s.kind == kindLoop {
		out.Turn = s.parent.loop.N
	}
	for name, n := range s.nodes {
		if n.status == none && n.extra == nil {
			continue
		}
		inputs := make(map[string]any, len(n.inputs))
		for key, v := range n.inputs {
			inputs[key] = plain(v)
		}
		out.Nodes[name] = &savedNode{n.status, n.extra, inputs, n.output, n.headers, save(n.child), n.loop}
	}
	return out
}

// Restore decodes a snapshot. See workflow.Program.
func (p *Program) Restore(snapshot []byte, _ workflow.PayloadSource) (workflow.State, error) {
	corrupt := func(what string) error {
		return faas.Errorf("workflow", "restore", name, faas.ErrCorrupt, "%s", what)
	}
	var in savedState
	d := json.NewDecoder(bytes.NewReader(snapshot))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, corrupt(err.Error())
	}
	if in.Format != snapshotFormat || in.Root == nil {
		return nil, corrupt("the snapshot has another format")
	}
	s := &state{execution: in.Execution, workflow: in.Workflow, started: in.Started, seed: in.Seed, draws: in.Draws, inputs: in.Inputs, ended: in.Ended}
	s.root = newScope(kindRoot, nil, nil, p.spec.output, p.spec.tasks)
	s.nodes = len(s.root.order)
	if what := s.load(s.root, in.Root); what != "" {
		return nil, corrupt(what)
	}
	return s, nil
}

// load puts the nodes of a saved scope into a fresh one and returns what does not fit.
func (s *state) load(to *scope, from *savedScope) string {
	if to.depth() > maxNesting+1 {
		return "the snapshot is nested too deep"
	}
	for _, name := range slices.Sorted(maps.Keys(from.Nodes)) {
		saved, n := from.Nodes[name], to.nodes[name]
		if n == nil || saved == nil || int(saved.Status) >= len(statuses) {
			return "the snapshot has the task " + name + ", which the definition has not"
		}
		n.status, n.extra, n.inputs, n.output, n.headers, n.loop = saved.Status, saved.Extra, saved.Inputs, saved.Output, saved.Headers, saved.Loop
		if n.inputs == nil {
			n.inputs = map[string]any{}
		}
		if n.status == succeeded {
			to.left--
			for _, next := range to.next[name] {
				to.nodes[next].left--
			}
		}
		if saved.Child == nil {
			continue
		}
		child, what := s.child(n, saved.Child)
		if what != "" {
			return what
		}
		n.child = child
		s.nodes += len(child.order)
		if what := s.load(child, saved.Child); what != "" {
			return what
		}
	}
	return ""
}

func (s *state) child(n *node, saved *savedScope) (*scope, string) {
	if !isFlow(saved.Flow) {
		return nil, "the snapshot has a scope that comes from nothing"
	}
	f, err := flowOf(saved.Flow)
	if err != nil {
		return nil, err.Error()
	}
	switch saved.Kind {
	case kindForeach:
		if saved.Size < 0 || saved.Size > maxNodes {
			return nil, "the snapshot has a list that is too long"
		}
		return foreachScope(n, f, saved.Size, saved.Serial), ""
	case kindLoop:
		if n.loop == nil {
			return nil, "the snapshot has a turn without a loop"
		}
		return loopScope(n, f, saved.Turn), ""
	case kindWorkflow, kindTask:
		return scopeOf(n, f), ""
	}
	return nil, "the snapshot has a scope of an unknown kind"
}
