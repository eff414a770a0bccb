package fission

import (
	"encoding/json"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/dop251/goja"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/taskgraph"
)

// Options of the language. Nil and zero values are the defaults.
type Options struct {
	// HTTP is the function that the built-in http and references such as "http://example.com" call: an
	// expression engine sends no request by itself. It gets an object with url, method, headers, query and body and
	// answers the body. Default: "http".
	HTTP faas.Ref
}

const name = "fission"

// Names of failures of the language itself.
const (
	// FailureFail is the failure of the built-in fail.
	FailureFail = "Fail"
	// FailureExpression: an expression threw, or a built-in function was given what it cannot use.
	FailureExpression = "ExpressionError"
)

// MediaTypeInputs is the media type of an execution's input that holds all inputs of the invocation as an
// object. Any other input is the input "default", and "body".
const MediaTypeInputs = "application/vnd.fission.workflows.inputs+json"

type language struct {
	http    faas.Ref
	prelude *goja.Program
	// sealed are machines that wait for the next expression.
	sealed *pool
}

// Language returns the language "fission". Errors: ErrInvalidArgument for an HTTP function without a valid name.
func Language(o *Options) (workflow.Language, error) {
	l := language{http: faas.Ref{Name: "http"}, sealed: &pool{}}
	if o != nil && o.HTTP != (faas.Ref{}) {
		if err := o.HTTP.Validate(); err != nil {
			return nil, err
		}
		l.http = o.HTTP
	}
	var err error
	if l.prelude, err = compilePrelude(); err != nil {
		return nil, faas.Errorf("workflow registry", "new language", name, faas.ErrInternal, "%w", err)
	}
	return l, nil
}

func (language) Name() string { return name }

func (l language) Compile(d *workflow.Definition) (workflow.Program, error) {
	spec, err := compileDocument(d.Source)
	if err != nil {
		return nil, err
	}
	p := &Program{spec: spec, language: l}
	p.draw()
	return p, nil
}

// Program is a compiled definition.
type Program struct {
	spec     *workflowSpec
	language language
	drawing  *workflow.Graph
	// code keeps compiled expressions; those of the definition are few, those that come up in an execution are not kept.
	code  sync.Map
	count int
	mu    sync.Mutex
}

// maxCompiled is how many compiled expressions are kept.
const maxCompiled = 2_000

// expression compiles an expression, once if it can.
func (p *Program) expression(text string, compile func(string) (*code, error)) (*code, error) {
	if c, ok := p.code.Load(text); ok {
		return c.(*code), nil
	}
	c, err := compile(text)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count < maxCompiled {
		p.count++
		p.code.Store(text, c)
	}
	return c, nil
}

func (p *Program) draw() {
	g := &workflow.Graph{}
	for _, name := range slices.Sorted(maps.Keys(p.spec.tasks)) {
		t := p.spec.tasks[name]
		n := workflow.Node{Name: name, Kind: t.target.builtin, Function: t.target.ref}
		switch t.target.builtin {
		case "":
			n.Kind = "call"
		case "http":
			n.Function = p.language.http
		case "if", "switch":
			n.Kind = "choice"
		case "sleep":
			n.Kind = "wait"
		case "foreach":
			n.Kind = "map"
		}
		g.Nodes = append(g.Nodes, n)
		for _, need := range t.requires {
			g.Edges = append(g.Edges, workflow.Edge{From: need, To: name})
		}
	}
	p.drawing = g
}

// Graph is the definition's graph; tasks that come up in an execution are within the task that they come from. See workflow.Grapher.
func (p *Program) Graph() *workflow.Graph { return p.drawing }

// Step folds one event. See workflow.Program.
func (p *Program) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	if s == nil {
		if e.Kind != workflow.ExecutionStarted && e.Kind != workflow.ExecutionContinued {
			return nil, nil, taskgraph.Conflict(e, "the execution's start")
		}
		st, err := p.newState(e)
		if err != nil {
			return nil, nil, err
		}
		r := run{program: p, state: st, now: e.Time}
		r.enter(st.root)
		return r.settle()
	}
	st, ok := s.(*state)
	if !ok {
		return nil, nil, taskgraph.Conflict(e, "a state of this language")
	}
	r := run{program: p, state: st, now: e.Time}
	switch e.Kind {
	case workflow.StepSucceeded, workflow.StepFailed:
		if err := r.outcome(e); err != nil {
			return nil, nil, err
		}
	case workflow.CancelRequested:
		r.fail(taskgraph.Canceled(e))
	default:
		return st, nil, nil
	}
	return r.settle()
}

func (p *Program) newState(e *workflow.Event) (*state, error) {
	s := &state{started: e.Time}
	if e.Start != nil {
		s.execution, s.seed, s.workflow = e.Start.Execution, e.Start.Seed, e.Start.Definition.Ref.Name
	}
	value, err := valueOf(e.Payload)
	if err != nil {
		return nil, err
	}
	if inputs, ok := value.(map[string]any); ok && e.Payload.MediaType() == MediaTypeInputs {
		s.inputs = inputs
	} else {
		s.inputs = map[string]any{mainInput: value, "body": value, "headers": map[string]any{}, "query": map[string]any{}, "method": "POST"}
	}
	s.root = newScope(kindRoot, nil, nil, p.spec.output, p.spec.tasks)
	s.nodes = len(s.root.order)
	return s, nil
}

// valueOf is a payload as a value: JSON is decoded, text is text, and other bytes are text if they are UTF-8.
func valueOf(p workflow.Payload) (any, error) {
	data, err := p.Bytes(background)
	if err != nil {
		return nil, faas.Errorf("workflow engine", "step", "", faas.Class(err), "%w", err)
	}
	if len(data) == 0 {
		return nil, nil
	}
	if media := p.MediaType(); strings.Contains(media, "json") {
		var v any
		if json.Unmarshal(data, &v) == nil {
			return v, nil
		}
	}
	return strings.ToValidUTF8(string(data), string(utf8.RuneError)), nil
}

// salt makes the chances of one evaluation.
func (s *state) salt(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	s.draws++
	return h.Sum64() ^ s.draws*0x9e3779b97f4a7c15
}
