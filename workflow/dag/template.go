package dag

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/source"
)

// template is a compiled template.
type template struct {
	literal workflow.Payload // a template without references
	ref     *reference       // {"from": …}
	join    []*template      // {"join": …}
	keys    [][]byte         // an object: its keys in JSON, sorted
	items   []*template      // the object's values, or a list's
	list    bool
}

// root is where a path begins.
type root uint8

const (
	rootInput root = iota + 1
	rootOutput
	rootState
	rootTaskFailure
	rootItem
	rootIndex
	rootFailure
	rootRun
)

type reference struct {
	text      string
	root      root
	task      int32
	path      []step
	otherwise *template
}

// problem is how a definition fails a task of an execution.
type problem struct{ cause string }

func (p *problem) Error() string { return p.cause }

func fault(format string, args ...any) error { return &problem{fmt.Sprintf(format, args...)} }

// compileTemplate reads a template; the faults found go to the compiler.
func (c *compiler) template(path string, value any, in scope) *template {
	switch v := value.(type) {
	case map[string]any:
		from, isFrom := v["from"]
		otherwise, hasDefault := v["default"]
		join, isJoin := v["join"]
		switch {
		case isFrom && (len(v) == 1 || len(v) == 2 && hasDefault):
			text, ok := from.(string)
			if !ok {
				c.doc.Fault(path, `"from" is not a path`)
				return nil
			}
			r := c.reference(source.Join(path, "from"), text, in)
			if r != nil && hasDefault {
				r.otherwise = c.template(source.Join(path, "default"), otherwise, in)
			}
			return &template{ref: r}
		case isJoin && len(v) == 1:
			parts, ok := join.([]any)
			if !ok {
				c.doc.Fault(path, `"join" is not a list`)
				return nil
			}
			t := &template{join: []*template{}}
			for i, part := range parts {
				t.join = append(t.join, c.template(source.Index(source.Join(path, "join"), i), part, in))
			}
			return t
		case len(v) == 1:
			if literal, ok := v["literal"]; ok {
				return c.literal(path, literal)
			}
		}
		t := &template{}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			quoted, _ := json.Marshal(key) // a string always marshals
			t.keys = append(t.keys, quoted)
			t.items = append(t.items, c.template(source.Join(path, key), v[key], in))
		}
		return c.fold(path, t, value)
	case []any:
		t := &template{list: true}
		for i, item := range v {
			t.items = append(t.items, c.template(source.Index(path, i), item, in))
		}
		return c.fold(path, t, value)
	}
	return c.literal(path, value)
}

// fold makes a template without references a literal.
func (c *compiler) fold(path string, t *template, value any) *template {
	for _, item := range t.items {
		if item == nil || item.ref != nil || item.join != nil || item.items != nil {
			return t
		}
		if data, _ := item.literal.InHand(); len(data) > 0 && !json.Valid(data) {
			return t
		}
	}
	// An element may be a literal that stands for another value, so the text is made of the elements.
	b, err := t.append(nil, nil)
	if err != nil {
		c.doc.Fault(path, "%s", err)
	}
	return &template{literal: workflow.Bytes("", b)}
}

func (c *compiler) literal(path string, value any) *template {
	p, err := workflow.MarshalPayload(value)
	if err != nil {
		c.doc.Fault(path, "JSON cannot say the value: %v", err)
	}
	return &template{literal: p}
}

// reference reads a path.
func (c *compiler) reference(at, text string, in scope) *reference {
	parts, ok := splitPath(text)
	if !ok {
		c.doc.Fault(at, `%.60q is not a path such as "tasks.a.output.list[0]"`, text)
		return nil
	}
	r := &reference{text: text, task: -1}
	head, rest := parts[0].key, parts[1:]
	bad := func(format string, args ...any) *reference {
		c.doc.Fault(at, "%q: %s", text, fmt.Sprintf(format, args...))
		return nil
	}
	switch head {
	case "input":
		r.root = rootInput
	case "item", "index":
		if !in.mapped {
			return bad("there is an item only in a task that has expand")
		}
		r.root = rootItem
		if head == "index" {
			r.root = rootIndex
		}
	case "failure":
		if !in.failure {
			return bad("there is a failure only in a catch")
		}
		r.root = rootFailure
	case "run":
		r.root = rootRun
		if !slices.Contains([]string{"id", "namespace", "number", "started", "interval.start", "interval.end"}, joinKeys(rest)) {
			return bad("a run has id, namespace, number, started, interval.start and interval.end")
		}
	case "tasks":
		task, after, ok := c.findTask(rest, in)
		if !ok {
			return bad("there is no such task")
		}
		if len(after) == 0 {
			return bad("add .output, .state or .failure")
		}
		r.task = task
		switch after[0].key {
		case "output":
			r.root = rootOutput
		case "state":
			r.root = rootState
		case "failure":
			r.root = rootTaskFailure
		default:
			return bad("a task has output, state and failure")
		}
		rest = after[1:]
		if in.task >= 0 {
			c.upstream = append(c.upstream, claim{at, text, in.task, task})
		}
		if r.root == rootOutput {
			c.tasks[task].read = true
		}
	default:
		return bad("a path begins with input, tasks, item, index, failure or run")
	}
	r.path = rest
	return r
}

func joinKeys(path []step) string {
	keys := make([]string, len(path))
	for i, p := range path {
		keys[i] = p.key
	}
	return strings.Join(keys, ".")
}

// splitPath reads "a.b[0].c".
func splitPath(text string) (path []step, ok bool) {
	for i, part := range strings.Split(text, ".") {
		key, brackets, _ := strings.Cut(part, "[")
		if key == "" {
			return nil, false
		}
		path = append(path, step{key: key})
		if brackets == "" && !strings.Contains(part, "[") {
			continue
		}
		if i == 0 && key == "tasks" || !strings.HasSuffix(brackets, "]") {
			return nil, false
		}
		for _, number := range strings.Split(strings.TrimSuffix(brackets, "]"), "][") {
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 {
				return nil, false
			}
			path = append(path, step{index: n})
		}
	}
	return path, true
}

// view is what templates see at one point of an execution.
type view struct {
	program *Program
	state   *state
	// item and index are set in a mapped task, failure in a catch.
	item    []byte
	index   int
	failure *workflow.Failure
}

// payload fills the template. What is passed on whole is not read.
func (t *template) payload(v *view) (workflow.Payload, error) {
	if t.ref != nil && len(t.ref.path) == 0 {
		switch t.ref.root {
		case rootInput:
			return v.state.input, nil
		case rootOutput:
			return v.state.output[t.ref.task], nil
		}
	}
	if t.ref == nil && t.join == nil && t.items == nil {
		return t.literal, nil
	}
	b, err := t.append(nil, v)
	return workflow.Bytes("", b), err
}

// json fills the template as a JSON text.
func (t *template) json(v *view) ([]byte, error) {
	p, err := t.payload(v)
	if err != nil {
		return nil, err
	}
	return payloadJSON(p)
}

func payloadJSON(p workflow.Payload) ([]byte, error) {
	data, err := p.Bytes(context.Background()) // reading from the execution's own store is not a call that ends
	if err != nil {
		return nil, err
	}
	return jsonOf(p.MediaType(), data)
}

func (t *template) append(b []byte, v *view) ([]byte, error) {
	switch {
	case t.ref != nil:
		value, ok, err := t.ref.value(v)
		switch {
		case err != nil:
			return nil, err
		case ok:
			return append(b, value...), nil
		case t.ref.otherwise != nil:
			return t.ref.otherwise.append(b, v)
		}
		return nil, fault("there is nothing at %s", t.ref.text)
	case t.join != nil:
		var text strings.Builder
		for _, part := range t.join {
			value, err := part.append(nil, v)
			if err != nil {
				return nil, err
			}
			if len(value) > 0 && value[0] == '"' {
				var s string
				if err := json.Unmarshal(value, &s); err != nil {
					return nil, fault("%v", err)
				}
				text.WriteString(s)
				continue
			}
			text.Write(value)
		}
		quoted, err := json.Marshal(text.String())
		return append(b, quoted...), err
	case t.keys != nil:
		for i, key := range t.keys {
			b = append(b, ",{"[b2i(i == 0)])
			b = append(append(b, key...), ':')
			var err error
			if b, err = t.items[i].append(b, v); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case t.list:
		b = append(b, '[')
		for i, item := range t.items {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = item.append(b, v); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case t.literal.IsZero():
		return append(b, '{', '}'), nil // an object without keys
	}
	data, _ := t.literal.InHand()
	return append(b, data...), nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// value is what stands at the path. ok is false if there is nothing.
func (r *reference) value(v *view) (value []byte, ok bool, err error) {
	s := v.state
	switch r.root {
	case rootInput:
		value, err = payloadJSON(s.input)
	case rootOutput:
		value, err = payloadJSON(s.output[r.task])
	case rootItem:
		value = v.item
	case rootIndex:
		value = strconv.AppendInt(nil, int64(v.index), 10)
	case rootState:
		value = strconv.AppendQuote(nil, string(s.status[r.task].state()))
	case rootTaskFailure:
		value, err = failureJSON(s.failure[r.task])
	case rootFailure:
		value, err = failureJSON(v.failure)
	case rootRun:
		var text string
		switch joinKeys(r.path) {
		case "id":
			text = s.execution.ID
		case "namespace":
			text = s.execution.WithDefaults().Namespace
		case "number":
			return strconv.AppendUint(nil, s.execution.Run, 10), true, nil
		case "interval.start":
			text = s.from
		case "interval.end":
			text = s.to
		}
		if text == "" {
			text = s.started.Format(time.RFC3339Nano)
		}
		value, err = json.Marshal(text)
		return value, true, err
	}
	if err != nil {
		return nil, false, err
	}
	value, ok = walk(value, r.path)
	return value, ok, nil
}

func failureJSON(f *workflow.Failure) ([]byte, error) {
	if f == nil {
		return jsonNull, nil
	}
	return json.Marshal(struct {
		Name   string `json:"name"`
		Cause  string `json:"cause"`
		Status int    `json:"status,omitempty"`
	}{f.Name, f.Cause, f.Status})
}
