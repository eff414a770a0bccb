package fission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/source"
	"github.com/joinery/faas/workflow/internal/taskgraph"
)

// workflowSpec is a workflow: the definition itself, or one that a task answered.
type workflowSpec struct {
	output string
	tasks  map[string]*taskSpec
}

// taskSpec is a task.
type taskSpec struct {
	run      string
	target   target
	inputs   map[string]any // literals, expressions not evaluated
	requires []string
	await    int
	timeout  time.Duration
	output   any // replaces the output, when hasOutput
	headers  any
	has      struct{ output, headers bool }
}

// flow is a task or a workflow as a value.
type flow struct {
	task     *taskSpec
	workflow *workflowSpec
	written  map[string]any
}

// plain is the flow as JSON has it.
func (f *flow) plain() map[string]any { return f.written }

// target is a resolved function reference.
type target struct {
	builtin string
	ref     faas.Ref
	url     string // of the runtimes http and https
}

// document is the form of the text.
type document struct {
	APIVersion  any              `json:"apiVersion"`
	Description any              `json:"description"`
	Output      string           `json:"output"`
	Tasks       map[string]*form `json:"tasks"`
}

// form is a task as it is written.
type form struct {
	ID            string `json:"id"`
	Run           string `json:"run"`
	Inputs        any    `json:"inputs"`
	Requires      any    `json:"requires"`
	Await         *int   `json:"await"`
	Timeout       any    `json:"timeout"`
	Output        any    `json:"output"`
	OutputHeaders any    `json:"outputHeaders"`
}

// faults collects what is wrong; f gives a path and a rule.
type faults interface {
	Fault(path, format string, args ...any)
}

var builtins = []string{"compose", "fail", "foreach", "http", "if", "javascript", "noop", "nop", "repeat", "sleep", "switch", "while"}

// parseTarget resolves "[runtime://][namespace/]name".
func parseTarget(run string) (target, error) {
	runtime, rest, found := strings.Cut(run, "://")
	if !found {
		runtime, rest = "", run
	}
	switch runtime {
	case "http", "https":
		return target{builtin: "http", url: run}, nil
	case "internal", "":
		name := rest
		if name == "nop" {
			name = "noop"
		}
		if slices.Contains(builtins, name) {
			return target{builtin: name}, nil
		}
		if runtime != "" {
			return target{}, fmt.Errorf("there is no built-in function %.80q; there are %s", rest, strings.Join(builtins, ", "))
		}
	}
	ref, err := faas.ParseRef(rest)
	if err != nil {
		return target{}, fmt.Errorf("the function reference %.80q is not [runtime://][namespace/]name in lower case", run)
	}
	if !strings.Contains(rest, "/") {
		ref.Namespace = "" // the execution's
	}
	return target{ref: ref}, nil
}

// compileDocument reads the definition's text.
func compileDocument(text string) (*workflowSpec, error) {
	doc := &source.Document{Lenient: true}
	var form document
	doc.Read(text, &form)
	switch v := form.APIVersion.(type) {
	case nil, source.Null:
	default:
		if s := fmt.Sprint(v); s != "1" {
			doc.Fault("apiVersion", "is %.40q; this reads 1", s)
		}
	}
	w := buildWorkflow(&form, "", doc)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return w, nil
}

// buildWorkflow checks a workflow and reports all faults.
func buildWorkflow(d *document, path string, f faults) *workflowSpec {
	w := &workflowSpec{output: d.Output, tasks: map[string]*taskSpec{}}
	at := source.Join(path, "tasks")
	names := slices.Sorted(maps.Keys(d.Tasks))
	for _, name := range names {
		if d.Tasks[name] == nil {
			continue // "name:" with nothing after it is no task, as in Fission
		}
		if name == "" || len(name) > 100 {
			f.Fault(source.Join(at, name), "the task ID is empty or longer than 100 bytes")
		}
		w.tasks[name] = buildTask(d.Tasks[name], source.Join(at, name), f)
	}
	if len(w.tasks) == 0 {
		f.Fault(at, "there is no task")
		return w
	}
	if w.tasks[w.output] == nil {
		f.Fault(source.Join(path, "output"), "names the task %.80q, which there is not", w.output)
	}
	checkRequires(w, at, f)
	return w
}

// checkRequires reports missing tasks and cycles.
func checkRequires(w *workflowSpec, at string, f faults) {
	names := slices.Sorted(maps.Keys(w.tasks))
	index := make(map[string]int32, len(names))
	for i, name := range names {
		index[name] = int32(i)
	}
	needs := make([][]int32, len(names))
	for i, name := range names {
		for n, need := range w.tasks[name].requires {
			j, ok := index[need]
			if !ok {
				f.Fault(source.Index(source.Join(source.Join(at, name), "requires"), n), "there is no task %.80q", need)
				continue
			}
			needs[i] = append(needs[i], j)
		}
	}
	for _, cycle := range taskgraph.New(needs).Cycles(10) {
		var way strings.Builder
		for _, i := range cycle {
			way.WriteString(names[i] + " requires ")
		}
		f.Fault(source.Join(source.Join(at, names[cycle[0]]), "requires"), "there is a cycle: %s%s", way.String(), names[cycle[0]])
	}
}

func buildTask(from *form, path string, f faults) *taskSpec {
	t := &taskSpec{run: from.Run}
	if t.run == "" {
		t.run = "noop"
	}
	var err error
	if t.target, err = parseTarget(t.run); err != nil {
		f.Fault(source.Join(path, "run"), "%v", err)
	}
	t.requires = buildRequires(from.Requires, source.Join(path, "requires"), f)
	t.await = len(t.requires)
	if from.Await != nil {
		t.await = *from.Await
		if t.await < 0 || t.await > len(t.requires) {
			f.Fault(source.Join(path, "await"), "is %d; the task requires %d tasks", t.await, len(t.requires))
		}
	}
	switch v := from.Timeout.(type) {
	case nil, source.Null:
	case string:
		if t.timeout, err = time.ParseDuration(v); err != nil || t.timeout < 0 {
			f.Fault(source.Join(path, "timeout"), `%.40q is no duration such as "30s"`, v)
		}
	default:
		f.Fault(source.Join(path, "timeout"), `is no duration such as "30s"`)
	}
	t.inputs = buildInputs(from.Inputs, source.Join(path, "inputs"), f)
	if from.Output != nil {
		t.output, t.has.output = buildValue(from.Output, source.Join(path, "output"), f), true
	}
	if from.OutputHeaders != nil {
		t.headers, t.has.headers = buildValue(from.OutputHeaders, source.Join(path, "outputHeaders"), f), true
	}
	return t
}

func buildRequires(v any, path string, f faults) (requires []string) {
	add := func(name, at string) {
		if slices.Contains(requires, name) {
			f.Fault(at, "%.80q stands twice", name)
			return
		}
		requires = append(requires, name)
	}
	switch v := v.(type) {
	case nil, source.Null:
	case []any:
		for i, item := range v {
			name, ok := item.(string)
			if !ok {
				f.Fault(source.Index(path, i), "is no task ID")
				continue
			}
			add(name, source.Index(path, i))
		}
	case map[string]any: // the form of the protobuf messages
		for _, name := range slices.Sorted(maps.Keys(v)) {
			add(name, path)
		}
	default:
		f.Fault(path, "is no list of task IDs")
	}
	return requires
}

// mainInput is the key of an input that names none.
const mainInput = "default"

func buildInputs(v any, path string, f faults) map[string]any {
	switch v := v.(type) {
	case nil, source.Null:
		return map[string]any{}
	case map[string]any:
		inputs := make(map[string]any, len(v))
		for key, value := range v {
			inputs[key] = buildValue(value, source.Join(path, key), f)
		}
		return inputs
	}
	return map[string]any{mainInput: buildValue(v, path, f)}
}

// buildValue prepares a literal: numbers become float64, objects that are tasks or workflows become flows, and
// the syntax of expressions is checked.
func buildValue(v any, path string, f faults) any {
	switch v := v.(type) {
	case source.Null:
		return nil
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case string:
		if _, static := f.(*source.Document); static && isExpression(v) { // what comes up in an execution says so when it is evaluated
			if _, err := compileExpression(v); err != nil {
				f.Fault(path, "%s", err)
			}
		}
		return v
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = buildValue(item, source.Index(path, i), f)
		}
		return list
	case map[string]any:
		if isFlow(v) {
			return buildFlow(v, path, f)
		}
		m := make(map[string]any, len(v))
		for key, item := range v {
			m[key] = buildValue(item, source.Join(path, key), f)
		}
		return m
	}
	return v
}

// isFlow reports whether an object is a task or a workflow.
func isFlow(m map[string]any) bool {
	_, task := m["run"].(string)
	_, tasks := m["tasks"].(map[string]any)
	return task || tasks
}

// buildFlow makes a task or workflow of an object.
func buildFlow(m map[string]any, path string, f faults) *flow {
	out := &flow{written: m}
	if _, ok := m["run"].(string); ok {
		out.task = buildTask(formOf(m, path, f), path, f)
		return out
	}
	d := &document{Tasks: map[string]*form{}}
	d.Output, _ = m["output"].(string)
	for name, task := range m["tasks"].(map[string]any) {
		object, ok := task.(map[string]any)
		switch {
		case ok:
			d.Tasks[name] = formOf(object, source.Join(source.Join(path, "tasks"), name), f)
		case task != nil:
			f.Fault(source.Join(source.Join(path, "tasks"), name), "is no task")
		}
	}
	out.workflow = buildWorkflow(d, path, f)
	return out
}

func formOf(m map[string]any, path string, f faults) *form {
	out := &form{Inputs: m["inputs"], Requires: m["requires"], Timeout: m["timeout"], Output: m["output"], OutputHeaders: m["outputHeaders"]}
	out.Run, _ = m["run"].(string)
	if run, ok := m["run"]; ok && run != nil && out.Run == "" {
		f.Fault(source.Join(path, "run"), "is no function reference")
	}
	switch n := m["await"].(type) {
	case nil:
	case int64:
		i := int(max(min(n, 1<<30), -1))
		out.Await = &i
	case float64:
		i := int(max(min(n, 1<<30), -1))
		out.Await = &i
	default:
		f.Fault(source.Join(path, "await"), "is no number")
	}
	return out
}

// collected are the faults of a flow that came up in an execution.
type collected struct{ list workflow.Diagnostics }

func (c *collected) Fault(path, format string, args ...any) {
	c.list = append(c.list, workflow.Diagnostic{Path: path, Rule: fmt.Sprintf(format, args...)})
}

// flowOf makes a flow of data.
func flowOf(m map[string]any) (*flow, error) {
	var c collected
	f := buildFlow(m, "", &c)
	if err := c.list.Err(); err != nil {
		return nil, err
	}
	return f, nil
}
