package dag

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/source"
)

// kind is what a task does.
type kind uint8

const (
	kindValue kind = iota
	kindCall
	kindActivity
	kindChild
	kindWait
	kindSignal
	kindPoke
	kindChoose
	kindGroup // a mapped group: a child execution for each item
)

var kindNames = [...]string{"value", "call", "activity", "workflow", "wait", "signal", "poke", "choice", "map"}

// task is a compiled Task.
type task struct {
	name, group string
	kind        kind
	target      faas.Ref // the function or workflow
	event       string   // the activity or signal
	options     *workflow.StepOptions
	child       *workflow.ChildOptions
	wait        time.Duration
	until       *template
	poke        pokeOptions
	limit       time.Duration // of a signal
	choices     []choice

	rule       Rule
	await      int32
	cancelRest bool
	setups     []int32 // of a teardown
	teardown   bool
	critical   bool
	when       *condition

	input       *template
	over        *template // of a mapped task
	concurrency int
	maxItems    int
	catches     []catch
	branch      bool
	ways        map[string][]int32 // of a branch: what its answers lead to, by name
	behind      map[int32][]int32  // of a branch: which of the tasks that need it come after another one of them
	short       string             // "all" or "direct"
	priority    int
	// read: a template looks at the output.
	read bool
}

type pokeOptions struct{ every, most time.Duration }

type choice struct {
	when  *condition
	tasks []int32
}

type catch struct {
	failures workflow.Retry // one rule, for its matching
	output   *template
}

// task compiles one task.
func (c *compiler) task(i int32) {
	t, from, at := &c.tasks[i], c.from[i], c.at[i]
	in := scope{task: i, prefix: prefixOf(t.name), mapped: from.Expand != nil}
	c.kindOf(t, from, at, in)
	c.start(i, t, from, at, in)
	if from.Input != nil {
		t.input = c.template(source.Join(at, "input"), from.Input, in)
	} else {
		t.input = &template{ref: &reference{text: "input", root: rootInput}}
		if t.kind == kindGroup {
			t.input = &template{ref: &reference{text: "item", root: rootItem}}
		}
	}
	if from.Expand != nil {
		c.expand(t, from.Expand, source.Join(at, "expand"), in)
	}
	if from.Output != nil && t.kind != kindGroup {
		c.doc.Fault(source.Join(at, "output"), "only a group with expand has an output template")
	}
	for n, k := range from.Catch {
		path := source.Index(source.Join(at, "catch"), n)
		handles := scope{task: i, prefix: in.prefix, mapped: in.mapped, failure: true}
		rule := catch{failures: workflow.Retry{{Failures: k.Failures}}}
		if len(k.Failures) == 0 || slices.Contains(k.Failures, "") {
			c.doc.Fault(source.Join(path, "failures"), `names no failure; use "*" for any`)
		}
		if rule.output = (&template{ref: &reference{text: "failure", root: rootFailure}}); k.Output != nil {
			rule.output = c.template(source.Join(path, "output"), k.Output, handles)
		}
		t.catches = append(t.catches, rule)
	}
	c.options(t, from, at)
}

// kindOf reads what the task does.
func (c *compiler) kindOf(t *task, from *Task, at string, in scope) {
	var kinds []string
	is := func(on bool, field string, k kind) bool {
		if on {
			kinds = append(kinds, field)
			t.kind = k
		}
		return on
	}
	if is(from.Call != "", "call", kindCall) {
		t.target = c.ref(source.Join(at, "call"), from.Call)
	}
	if is(from.Activity != "", "activity", kindActivity) {
		t.event = from.Activity
	}
	if is(from.Workflow != "", "workflow", kindChild) {
		t.target = c.ref(source.Join(at, "workflow"), from.Workflow)
	}
	if is(from.Wait != nil, "wait", kindWait) {
		t.wait = time.Duration(from.Wait.For)
		if from.Wait.Until != nil {
			t.until = c.template(source.Join(at, "wait.until"), from.Wait.Until, in)
		}
		if (from.Wait.For == 0) == (from.Wait.Until == nil) {
			c.doc.Fault(source.Join(at, "wait"), "has one of for and until")
		}
	}
	if is(from.Signal != "", "signal", kindSignal) {
		t.event, t.limit = from.Signal, time.Duration(from.Timeout)
	}
	if is(from.Poke != nil, "poke", kindPoke) {
		t.target = c.ref(source.Join(at, "poke.call"), from.Poke.Call)
		t.poke = pokeOptions{time.Duration(from.Poke.Every), time.Duration(from.Poke.For)}
		if from.Poke.Every <= 0 {
			c.doc.Fault(source.Join(at, "poke.every"), "is missing")
		}
	}
	if is(from.Choose != nil, "choose", kindChoose) && len(from.Choose) == 0 {
		c.doc.Fault(source.Join(at, "choose"), "has no choice")
	}
	if is(from.Tasks != nil, "tasks", kindGroup) {
		c.mappedGroup(t, from, at)
	}
	if len(kinds) > 1 {
		c.doc.Fault(at, "is more than one of call, activity, workflow, wait, signal, poke, choose and tasks: %v", kinds)
	}
	if len(t.event) > workflow.MaxStepID {
		c.doc.Fault(at, "the name %.40q… is longer than %d bytes", t.event, workflow.MaxStepID)
	}
	if from.Branch && from.ShortCircuit != "" || (from.Branch || from.ShortCircuit != "") && from.Expand != nil {
		c.doc.Fault(at, "branch, shortCircuit and expand exclude one another")
	}
	if t.branch = from.Branch; t.branch && t.kind == kindChoose {
		c.doc.Fault(source.Join(at, "branch"), "a task with choose is a branch by itself")
	}
	if t.short = from.ShortCircuit; t.short != "" && t.short != "all" && t.short != "direct" {
		c.doc.Fault(source.Join(at, "shortCircuit"), `is neither "all" nor "direct"`)
	}
}

func (c *compiler) ref(at, text string) faas.Ref {
	r, err := faas.ParseRef(text)
	if err != nil {
		c.doc.Fault(at, "%s", faultText(err))
	}
	if !strings.Contains(text, "/") {
		r.Namespace = "" // the execution's
	}
	return r
}

// faultText is what an error says about a value, without where.
func faultText(err error) string {
	var e *faas.Error
	if errors.As(err, &e) && e.Err != nil {
		if e.Key != "" {
			return e.Key + ": " + e.Err.Error()
		}
		return e.Err.Error()
	}
	return err.Error()
}

// start compiles when the task starts.
func (c *compiler) start(i int32, t *task, from *Task, at string, in scope) {
	t.when = c.condition(source.Join(at, "when"), from.When, in)
	t.rule, t.teardown, t.critical = from.Rule, len(from.Teardown) > 0, from.Critical
	if t.rule == "" {
		if t.rule = AllSuccess; t.teardown {
			t.rule = AllDoneSetupSuccess
		}
	}
	if !slices.Contains(Rules(), t.rule) {
		c.doc.Fault(source.Join(at, "rule"), "there is no trigger rule %.40q", t.rule)
	}
	if t.rule == AllDoneSetupSuccess && !t.teardown {
		c.doc.Fault(source.Join(at, "rule"), "%s is for a task with teardown", AllDoneSetupSuccess)
	}
	if from.Setup && from.Expand != nil {
		c.doc.Fault(source.Join(at, "setup"), "a setup cannot be mapped")
	}
	if t.critical && !t.teardown {
		c.doc.Fault(source.Join(at, "critical"), "is for a task with teardown")
	}
	for n, name := range from.Teardown {
		if j, _, ok := c.find(name, in.prefix); ok && j >= 0 {
			if !c.from[j].Setup {
				c.doc.Fault(source.Index(source.Join(at, "teardown"), n), "%s is not a setup", name)
			}
			t.setups = append(t.setups, j)
		} else if ok {
			c.doc.Fault(source.Index(source.Join(at, "teardown"), n), "%s is a group, not a setup", name)
		}
	}
	t.await, t.cancelRest = int32(from.Await), from.CancelRest
	switch {
	case from.Await < 0:
		c.doc.Fault(source.Join(at, "await"), "is negative")
	case from.Await > len(c.needs[i]) && !slices.ContainsFunc(c.needs[i], func(n int32) bool { return c.from[n].Expand != nil }):
		c.doc.Fault(source.Join(at, "await"), "is %d, more than the %d tasks it needs", from.Await, len(c.needs[i]))
	case from.Await > 0 && t.rule != AllSuccess:
		c.doc.Fault(source.Join(at, "await"), "goes with the rule %s alone", AllSuccess)
	case from.CancelRest && from.Await == 0:
		c.doc.Fault(source.Join(at, "cancelRest"), "is for a task with await")
	}
	for n, choose := range from.Choose {
		path := source.Index(source.Join(at, "choose"), n)
		last := n == len(from.Choose)-1
		if choose.When == nil && !last {
			c.doc.Fault(path, "always holds, so the choices after it are never reached")
		}
		way := choice{when: c.condition(source.Join(path, "when"), choose.When, in)}
		for m, name := range choose.Tasks {
			way.tasks = append(way.tasks, c.successor(source.Index(source.Join(path, "tasks"), m), i, name)...)
		}
		t.choices = append(t.choices, way)
	}
	if t.kind == kindChoose {
		for _, n := range c.graph.Next(i) {
			if !slices.ContainsFunc(t.choices, func(w choice) bool { return slices.Contains(w.tasks, n) }) && !c.behindChoice(t, n) {
				c.doc.Fault(c.at[n], "can never start: it needs %s, and no choice there leads to it", t.name)
			}
		}
	}
}

// behindChoice reports whether task n also comes directly after a chosen one.
func (c *compiler) behindChoice(t *task, n int32) bool {
	for _, w := range t.choices {
		for _, chosen := range w.tasks {
			if slices.Contains(c.needs[n], chosen) {
				return true
			}
		}
	}
	return false
}

// successor resolves the name of a task or group that a branch leads to: its first tasks.
func (c *compiler) successor(at string, i int32, name string) []int32 {
	task, g, ok := c.find(name, prefixOf(c.tasks[i].name))
	if !ok {
		c.doc.Fault(at, "there is no task or group %.80q", name)
		return nil
	}
	list := []int32{task}
	if g != nil {
		list = g.members
	}
	var found []int32
	for _, n := range list {
		if slices.Contains(c.needs[n], i) {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		c.doc.Fault(at, "%s does not directly need %s", name, c.tasks[i].name)
	}
	return found
}

func (c *compiler) expand(t *task, from *Expand, at string, in scope) {
	switch t.kind {
	case kindWait, kindSignal, kindPoke, kindChoose:
		c.doc.Fault(at, "a task with %s cannot be mapped; put it into a group with expand", kindNames[t.kind])
	}
	if from.Over == nil {
		c.doc.Fault(source.Join(at, "over"), "is missing")
	} else {
		in.mapped = false
		t.over = c.template(source.Join(at, "over"), from.Over, in)
	}
	if from.Concurrency < 0 {
		c.doc.Fault(source.Join(at, "concurrency"), "is negative")
	}
	if from.Max < 0 {
		c.doc.Fault(source.Join(at, "max"), "is negative")
	}
	if t.concurrency = from.Concurrency; t.concurrency == 0 {
		t.concurrency = DefaultConcurrency
	}
	if t.maxItems = from.Max; t.maxItems == 0 {
		t.maxItems = DefaultMaxItems
	}
}

// mappedGroup makes the group a definition of its own, which child executions run.
func (c *compiler) mappedGroup(t *task, from *Task, at string) {
	inner := Spec{Tasks: from.Tasks, Output: from.Output}
	text, err := json.Marshal(inner)
	if err != nil {
		c.doc.Fault(at, "cannot be written: %v", err)
		return
	}
	sub := compiler{doc: c.doc, durability: c.durability}
	sub.compile(&inner, at)
	t.child = &workflow.ChildOptions{Definition: &workflow.Definition{Ref: faas.Ref{Name: "group"}, Language: name, Source: string(text), Durability: c.durability}}
}

// options reads how steps are run.
func (c *compiler) options(t *task, from *Task, at string) {
	o := workflow.StepOptions{
		Timeout: time.Duration(from.Timeout), Heartbeat: time.Duration(from.Heartbeat), Deadline: time.Duration(from.Deadline),
		Callback: from.Callback, Pool: from.Pool, Slots: from.Slots, Method: from.Method, Path: from.Path, Query: from.Query,
	}
	for key, value := range from.Header {
		if o.Header == nil {
			o.Header = http.Header{}
		}
		o.Header.Set(key, value)
	}
	for n, r := range from.Retry {
		rule := workflow.RetryRule{Failures: r.Failures, Max: r.Max, Interval: time.Duration(r.Interval), Rate: r.Rate, MaxInterval: time.Duration(r.MaxInterval), Jitter: r.Jitter}
		if r.Failures == nil {
			rule.Failures = []string{workflow.AnyFailure}
		}
		o.Retry = append(o.Retry, rule)
		if err := (workflow.Retry{rule}).Validate(); err != nil {
			c.faults(source.Index(source.Join(at, "retry"), n), "retry", err)
		}
	}
	plain := o
	plain.Retry = nil
	if err := plain.Validate(); err != nil {
		c.faults(at, "", err)
	}
	switch t.kind {
	case kindCall, kindActivity, kindChild, kindPoke, kindGroup:
		t.options = &o
	case kindSignal:
		o.Timeout = 0
		fallthrough
	default:
		used := len(o.Retry) > 0 || o.Timeout > 0 || o.Heartbeat > 0 || o.Deadline > 0 || o.Callback || o.Pool != "" || o.Slots != 0 || o.Method != "" || o.Path != "" || o.Query != "" || o.Header != nil
		if used {
			c.doc.Fault(at, "a task of kind %s runs nothing: it has no retry, timeout, pool or the like", kindNames[t.kind])
		}
	}
	switch {
	case t.kind == kindChild || t.kind == kindGroup:
		if t.child == nil {
			t.child = &workflow.ChildOptions{}
		}
		t.child.Detached, t.child.OnClose = from.Detached, from.OnClose
		if !slices.Contains([]workflow.OnParentClose{workflow.ChildTerminates, workflow.ChildCancels, workflow.ChildStays}, from.OnClose) {
			c.doc.Fault(source.Join(at, "onClose"), `is neither "", "cancel" nor "stay"`)
		}
	case from.Detached || from.OnClose != "":
		c.doc.Fault(at, "detached and onClose are for a child workflow")
	}
	if from.Callback && t.kind != kindCall {
		c.doc.Fault(source.Join(at, "callback"), "is for a task with call")
	}
	if from.Heartbeat > 0 && t.kind != kindActivity && !from.Callback {
		c.doc.Fault(source.Join(at, "heartbeat"), "is for an activity or a callback")
	}
}

// faults adds each fault of a joined error; base is cut from its field.
func (c *compiler) faults(at, base string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var e *faas.Error
		if !errors.As(err, &e) || error(e) != err {
			for _, one := range joined.Unwrap() {
				c.faults(at, base, one)
			}
			return
		}
	}
	var e *faas.Error
	if !errors.As(err, &e) {
		c.doc.Fault(at, "%s", err)
		return
	}
	field := e.Key
	if base != "" && len(field) > len(base) && field[:len(base)+1] == base+"." {
		field = field[len(base)+1:]
	}
	c.doc.Fault(source.Join(at, field), "%s", fmt.Sprint(e.Err))
}

// finish gives the steps their options and draws the graph.
func (c *compiler) finish(p *Program) {
	for i := range c.tasks {
		if t := &c.tasks[i]; t.options != nil {
			t.options.Priority = t.priority
			empty := workflow.StepOptions{}
			if t.options.Retry == nil && t.options.Header == nil && fmt.Sprint(*t.options) == fmt.Sprint(empty) {
				t.options = nil // commands without options cost the engine nothing
			}
		}
	}
	g := &workflow.Graph{}
	for _, full := range c.order {
		parent := prefixOf(full)
		g.Nodes = append(g.Nodes, workflow.Node{Name: full, Kind: "group", Group: parent[:max(0, len(parent)-1)]})
	}
	for i := range c.tasks {
		t := &c.tasks[i]
		n := workflow.Node{Name: t.name, Kind: kindNames[t.kind], Group: t.group}
		if t.kind == kindCall || t.kind == kindPoke {
			n.Function = t.target
		}
		if t.over != nil {
			n.Kind = "map"
		}
		g.Nodes = append(g.Nodes, n)
		for _, need := range c.needs[i] {
			e := workflow.Edge{From: c.tasks[need].name, To: t.name, Choice: c.tasks[need].branch || c.tasks[need].kind == kindChoose}
			if t.rule != AllSuccess {
				e.Label = string(t.rule)
			} else if t.await > 0 {
				e.Label = fmt.Sprintf("%d of %d", t.await, len(c.needs[i]))
			}
			g.Edges = append(g.Edges, e)
		}
	}
	p.drawing = g
}
