package fission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/source"
	"github.com/joinery/faas/workflow/internal/taskgraph"
)

var background = context.Background() // reading from the execution's own store is not a call that ends

// run is one call of Step.
type run struct {
	program  *Program
	state    *state
	now      time.Time
	commands []workflow.Command
	ready    []*node
	inline   int
	failure  *workflow.Failure
	err      error
}

// enter starts the tasks of a scope that require nothing.
func (r *run) enter(s *scope) {
	for _, name := range s.order {
		if n := s.nodes[name]; n.left <= 0 {
			r.ready = append(r.ready, n)
		}
	}
}

// settle runs what is ready, until only steps of the engine are open.
func (r *run) settle() (workflow.State, []workflow.Command, error) {
	for len(r.ready) > 0 && r.failure == nil && r.err == nil {
		n := r.ready[0]
		if r.ready = r.ready[1:]; n.status == none {
			r.start(n)
		}
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	if r.failure != nil && !r.state.ended {
		r.state.ended = true
		r.commands = append(r.commands, workflow.Command{Kind: workflow.CommandFail, Failure: r.failure})
	}
	return r.state, r.commands, nil
}

// fail ends the execution: in this language any failed task does.
func (r *run) fail(f *workflow.Failure) {
	if r.failure == nil {
		r.failure = f
	}
}

func (r *run) failNode(n *node, name, format string, args ...any) {
	r.fail(&workflow.Failure{Name: name, Cause: "task " + n.id + ": " + fmt.Sprintf(format, args...)})
}

// check turns the error of an expression or built-in into a failure of the task.
func (r *run) check(n *node, err error) bool {
	var limit *limitError
	switch {
	case err == nil:
		return true
	case errors.Is(err, errPatience):
		r.err = faas.Errorf("workflow engine", "step", n.id, faas.ErrExhausted, "%w: %v", err, patience)
	case errors.As(err, &limit):
		r.failNode(n, workflow.FailureLimit, "%v", err)
	default:
		r.failNode(n, FailureExpression, "%v", err)
	}
	return false
}

// start evaluates the inputs of a task and runs it.
func (r *run) start(n *node) {
	n.status = running
	if r.inline++; r.inline > maxInline {
		r.failNode(n, workflow.FailureLimit, "more than %d built-in functions run without anything happening in between", maxInline)
		return
	}
	if len(n.id) > workflow.MaxStepID {
		r.failNode(n, workflow.FailureLimit, "the ID of the task is longer than %d bytes", workflow.MaxStepID)
		return
	}
	if !r.resolve(n) {
		return
	}
	if n.spec.target.builtin != "" {
		builtin(r, n)
		return
	}
	payload, options, err := request(n)
	if !r.check(n, err) {
		return
	}
	r.open(n, workflow.Command{Kind: workflow.CommandCall, Target: n.spec.target.ref, Payload: payload, Options: options})
}

func (r *run) open(n *node, c workflow.Command) {
	c.Step, c.Node = n.id, n.place
	r.commands = append(r.commands, c)
}

// resolve evaluates the inputs: those of loops are values, then those whose names begin with '_', then the others by name.
func (r *run) resolve(n *node) bool {
	n.inputs = make(map[string]any, len(n.spec.inputs)+len(n.extra))
	keys := slices.SortedFunc(maps.Keys(n.spec.inputs), func(a, b string) int {
		if x, y := strings.HasPrefix(a, "_"), strings.HasPrefix(b, "_"); x != y {
			if x {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, key := range keys {
		n.inputs[key] = plain(n.spec.inputs[key])
	}
	maps.Copy(n.inputs, n.extra)
	for _, key := range keys {
		if _, given := n.extra[key]; given || n.spec.target.builtin == "while" && key == "expr" {
			continue
		}
		v, err := r.evaluate(n, n.spec.inputs[key])
		if !r.check(n, err) {
			return false
		}
		n.inputs[key] = v
	}
	return true
}

// evaluate replaces the expressions in a literal. Tasks and workflows are not looked into: their time comes.
func (r *run) evaluate(n *node, v any) (any, error) {
	switch v := v.(type) {
	case string:
		if !isExpression(v) {
			return v, nil
		}
		code, err := r.program.expression(v, compileExpression)
		if err != nil {
			return nil, err
		}
		return r.express(n, code)
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			var err error
			if list[i], err = r.evaluate(n, item); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		m := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			var err error
			if m[key], err = r.evaluate(n, v[key]); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	return v, nil
}

// plain is a value with its flows as plain objects.
func plain(v any) any {
	switch v := v.(type) {
	case *flow:
		return v.plain()
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plain(item)
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, item := range v {
			m[key] = plain(item)
		}
		return m
	}
	return v
}

// complete takes in the answer of a task: a task or a workflow takes its place.
func (r *run) complete(n *node, v any) {
	f, ok := v.(*flow)
	if !ok {
		r.finish(n, plain(v))
		return
	}
	r.spawn(n, scopeOf(n, f))
}

// spawn makes a scope the rest of a task.
func (r *run) spawn(n *node, s *scope) {
	if depth := s.depth(); depth > maxNesting {
		r.failNode(n, workflow.FailureLimit, "tasks answer tasks more than %d deep", maxNesting)
		return
	}
	if n.child != nil {
		r.state.nodes -= len(n.child.order)
	}
	if r.state.nodes += len(s.order); r.state.nodes > maxNodes {
		r.failNode(n, workflow.FailureLimit, "the execution has more than %d tasks", maxNodes)
		return
	}
	n.child = s
	r.enter(s)
}

// finish ends a task.
func (r *run) finish(n *node, v any) {
	n.output = v
	if n.spec.has.output {
		out, err := r.evaluate(n, n.spec.output)
		if !r.check(n, err) {
			return
		}
		n.output = plain(out)
	}
	if n.spec.has.headers {
		headers, err := r.evaluate(n, n.spec.headers)
		if !r.check(n, err) {
			return
		}
		n.headers, _ = headers.(map[string]any)
	}
	n.status = succeeded
	if n.child != nil {
		r.state.nodes -= len(n.child.order)
	}
	n.child, n.loop = nil, nil
	s := n.scope
	for _, name := range s.next[n.name] {
		next := s.nodes[name]
		if next.left--; next.left == 0 {
			r.ready = append(r.ready, next)
		}
	}
	if s.left--; s.left == 0 {
		r.leave(s)
	}
}

// leave ends a scope all of whose tasks have ended.
func (r *run) leave(s *scope) {
	switch s.kind {
	case kindRoot:
		if r.failure != nil {
			return
		}
		payload, err := payloadOf(s.nodes[s.output].output)
		if !r.check(s.nodes[s.output], err) {
			return
		}
		r.state.ended = true
		r.commands = append(r.commands, workflow.Command{Kind: workflow.CommandSucceed, Payload: payload})
	case kindForeach:
		var out any
		if collect, given := s.parent.inputs["collect"].(bool); !given || collect {
			list := make([]any, len(s.order))
			for i, name := range s.order {
				list[i] = s.nodes[name].output
			}
			out = list
		}
		r.finish(s.parent, out)
	case kindLoop:
		l := s.parent.loop
		l.N++
		l.Prev, l.HasPrev = s.nodes[s.output].output, true
		turn(r, s.parent)
	default:
		out := s.nodes[s.output]
		s.parent.headers = out.headers
		r.finish(s.parent, out.output)
	}
}

// outcome takes in how a step of the engine ended.
func (r *run) outcome(e *workflow.Event) error {
	n := r.byStep(e.Step)
	if n == nil || n.status != running || r.state.ended {
		return taskgraph.Conflict(e, "the outcome of an open step")
	}
	if e.Kind == workflow.StepFailed {
		f := workflow.Failure{Name: workflow.FailureFunction}
		if e.Failure != nil {
			f = *e.Failure
		}
		f.Cause = "task " + n.id + ": " + f.Cause
		r.fail(&f)
		return nil
	}
	if n.loop != nil && n.loop.Waiting {
		n.loop.Waiting = false
		act(r, n)
		return r.err
	}
	if n.spec.target.builtin == "sleep" {
		r.complete(n, nil)
		return r.err
	}
	v, err := valueOf(e.Payload)
	if err != nil {
		return err
	}
	media := e.Payload.MediaType()
	n.headers = map[string]any{"Content-Type": media}
	if strings.HasPrefix(media, "application/vnd.fission.workflows.task") || strings.HasPrefix(media, "application/vnd.fission.workflows.workflow") {
		f, err := answeredFlow(e.Payload, media)
		if !r.check(n, err) {
			return r.err
		}
		v = f
	}
	r.complete(n, v)
	return r.err
}

// answeredFlow reads a task or workflow that a function answered, in JSON or YAML.
func answeredFlow(p workflow.Payload, media string) (*flow, error) {
	data, err := p.Bytes(background)
	if err != nil {
		return nil, err
	}
	var doc source.Document
	var answer any
	doc.Read(string(data), &answer)
	m, ok := answer.(map[string]any)
	if err := doc.Err(); err != nil || !ok {
		return nil, fmt.Errorf("the answer of type %s is no JSON or YAML object (protobuf is not read): %v", media, err)
	}
	if !isFlow(m) {
		return nil, fmt.Errorf("the answer of type %s has neither run nor tasks", media)
	}
	return flowOf(m)
}

// byStep finds the node that a step belongs to. In a loop that waits, the step is the node's with its turn.
func (r *run) byStep(id string) *node {
	s := r.state.root
	for {
		var at *node
		rest := ""
		for cut := len(id); cut > 0; cut = strings.LastIndexByte(id[:cut], '/') {
			if at = s.nodes[id[:cut]]; at != nil {
				rest = strings.TrimPrefix(id[cut:], "/")
				break
			}
		}
		switch {
		case at == nil:
			return nil
		case rest == "":
			if at.child != nil || at.loop != nil {
				return nil
			}
			return at
		case at.loop != nil && at.loop.Waiting:
			if rest == waitName(at.loop.N) {
				return at
			}
			return nil
		case at.child == nil:
			return nil
		}
		s, id = at.child, rest
	}
}

// payloadOf is a value as a payload: a text is plain text.
func payloadOf(v any) (workflow.Payload, error) {
	switch v := v.(type) {
	case nil:
		return workflow.JSON("null"), nil
	case string:
		return workflow.Bytes("text/plain; charset=utf-8", []byte(v)), nil
	}
	return workflow.MarshalPayload(v)
}

// request makes the request to a function of a task's inputs.
func request(n *node) (workflow.Payload, *workflow.StepOptions, error) {
	var body any
	var has bool
	for _, key := range []string{"body", mainInput} {
		if v, ok := n.inputs[key]; ok && !has {
			body, has = v, true
		}
	}
	if !has {
		rest := map[string]any{}
		for key, v := range n.inputs {
			if key[:min(1, len(key))] != "_" && !slices.Contains([]string{"headers", "query", "method", "content-type", "path"}, key) {
				rest[key] = v
			}
		}
		if len(rest) > 0 {
			body = rest
		}
	}
	o := &workflow.StepOptions{Timeout: n.spec.timeout}
	if headers, ok := n.inputs["headers"].(map[string]any); ok {
		o.Header = http.Header{}
		for key, v := range headers {
			o.Header.Set(key, text(v))
		}
	}
	o.Method, _ = n.inputs["method"].(string)
	o.Method = strings.ToUpper(o.Method)
	if query, ok := n.inputs["query"].(map[string]any); ok && len(query) > 0 {
		values := url.Values{}
		for key, v := range query {
			values.Set(key, text(v))
		}
		o.Path = "/?" + values.Encode()
	}
	payload := workflow.Payload{}
	if body != nil {
		var err error
		if payload, err = payloadOf(plain(body)); err != nil {
			return payload, nil, err
		}
	}
	if media, ok := n.inputs["content-type"].(string); ok {
		data, _ := payload.InHand()
		payload = workflow.Bytes(media, data)
	}
	if o.Timeout == 0 && o.Header == nil && o.Method == "" && o.Path == "" {
		o = nil
	}
	return payload, o, nil
}

// text is a value as text.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
