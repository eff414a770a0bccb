package fission

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/joinery/faas/workflow"
)

// The built-in functions. They are steps of the fold, not of the engine: but for sleep, http and the
// pause of while nothing of them is in the log.

// defaultDelay is the pause before each turn of a while, as in Fission.
const defaultDelay = 100 * time.Millisecond

func builtin(r *run, n *node) {
	in := n.inputs
	switch n.spec.target.builtin {
	case "noop":
		r.complete(n, in[mainInput])
	case "compose":
		if v, ok := in[mainInput]; ok && len(in) == 1 {
			r.complete(n, v)
		} else if len(in) == 0 {
			r.complete(n, nil)
		} else {
			r.complete(n, maps.Clone(in))
		}
	case "fail":
		message := "fail function triggered"
		if v, ok := in[mainInput]; ok {
			message = text(plain(v))
		}
		r.failNode(n, FailureFail, "%s", message)
	case "if":
		condition, ok := in["if"].(bool)
		if !ok {
			r.check(n, fmt.Errorf("if: the condition is %.80s, not true or false", text(plain(in["if"]))))
			return
		}
		if condition {
			r.complete(n, in["then"])
		} else {
			r.complete(n, in["else"])
		}
	case "switch":
		v, err := switchCase(in)
		if r.check(n, err) {
			r.complete(n, v)
		}
	case "sleep":
		d, err := duration(in[mainInput], time.Second)
		if r.check(n, err) {
			r.open(n, workflow.Command{Kind: workflow.CommandTimer, Due: r.now.Add(d)})
		}
	case "javascript":
		javascript(r, n)
	case "http":
		callHTTP(r, n)
	case "foreach":
		foreach(r, n)
	case "repeat":
		repeat(r, n)
	case "while":
		n.loop = &loop{}
		turn(r, n)
	}
}

func switchCase(in map[string]any) (any, error) {
	value, ok := in["switch"]
	if !ok {
		return nil, fmt.Errorf("switch: there is no input switch")
	}
	cases, ok := in["cases"].([]any)
	if !ok && in["cases"] != nil {
		return nil, fmt.Errorf("switch: the cases are no list")
	}
	for i, c := range cases {
		m, ok := c.(map[string]any)
		key, has := m["case"]
		if !ok || !has {
			return nil, fmt.Errorf("switch: case %d has no case", i)
		}
		if text(key) == text(value) {
			return m["action"], nil
		}
	}
	return in["default"], nil
}

// duration reads "1m30s", or a number of milliseconds.
func duration(v any, otherwise time.Duration) (time.Duration, error) {
	switch v := v.(type) {
	case nil:
		return otherwise, nil
	case string:
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return 0, fmt.Errorf(`%.40q is no duration such as "1m30s"`, v)
		}
		return d, nil
	case float64:
		if v >= 0 && v < math.MaxInt64/1e6 {
			return time.Duration(v * 1e6), nil
		}
	}
	return 0, fmt.Errorf("%.40s is no duration", text(plain(v)))
}

// javascript evaluates the code of a task over its arguments.
func javascript(r *run, n *node) {
	text, ok := n.inputs["expr"].(string)
	if !ok {
		text, ok = n.inputs[mainInput].(string)
	}
	if !ok {
		r.check(n, fmt.Errorf("javascript: there is no text expr"))
		return
	}
	compiled, err := r.program.expression("js:"+text, func(string) (*code, error) { return compileCode(text) })
	if !r.check(n, err) {
		return
	}
	m, err := newMachine(r.program.language.prelude)
	if !r.check(n, err) {
		return
	}
	m.begin(r.now, r.state.seed, r.state.salt(n.id))
	if args, ok := n.inputs["args"].(map[string]any); ok {
		for key, v := range args {
			m.set(key, m.toJS(v))
		}
	} else {
		m.set("arg", m.toJS(n.inputs["args"]))
	}
	v, err := m.run(compiled.program)
	if r.check(n, err) {
		r.complete(n, v)
	}
}

// callHTTP asks the function for HTTP to send a request.
func callHTTP(r *run, n *node) {
	in := n.inputs
	address := n.spec.target.url
	for _, key := range []string{"url", mainInput} {
		if s, ok := in[key].(string); ok && address == "" {
			address = s
		}
	}
	if address == "" {
		r.check(n, fmt.Errorf("http: there is no text url"))
		return
	}
	if len(address) < 4 || address[:4] != "http" {
		address = "http://" + address
	}
	ask := map[string]any{"url": address, "method": "GET"}
	for _, key := range []string{"method", "headers", "query", "body", "content-type"} {
		if v, ok := in[key]; ok {
			ask[key] = plain(v)
		}
	}
	payload, err := workflow.MarshalPayload(ask)
	if !r.check(n, err) {
		return
	}
	var o *workflow.StepOptions
	if n.spec.timeout > 0 {
		o = &workflow.StepOptions{Timeout: n.spec.timeout}
	}
	r.open(n, workflow.Command{Kind: workflow.CommandCall, Target: r.program.language.http, Payload: payload, Options: o})
}

// action is what a loop does each time.
func action(n *node) (*flow, error) {
	if f, ok := n.spec.inputs["do"].(*flow); ok {
		return f, nil
	}
	if f, ok := n.inputs["do"].(*flow); ok {
		return f, nil
	}
	if m, ok := n.inputs["do"].(map[string]any); ok && isFlow(m) {
		return flowOf(m)
	}
	return nil, fmt.Errorf("%s: the input do is no task or workflow", n.spec.target.builtin)
}

func foreach(r *run, n *node) {
	list, ok := n.inputs["foreach"].([]any)
	for _, key := range []string{"for", mainInput} {
		if !ok {
			list, ok = n.inputs[key].([]any)
		}
	}
	if !ok {
		r.check(n, fmt.Errorf("foreach: the input foreach is %.80s, not a list", text(plain(n.inputs["foreach"]))))
		return
	}
	f, err := action(n)
	if !r.check(n, err) {
		return
	}
	for _, key := range []string{"collect", "sequential"} {
		if v, given := n.inputs[key]; given {
			if _, ok := v.(bool); !ok {
				r.check(n, fmt.Errorf("foreach: %s is not true or false", key))
				return
			}
		}
	}
	if len(list) == 0 {
		r.finish(n, []any{})
		return
	}
	if len(list) > maxNodes {
		r.failNode(n, workflow.FailureLimit, "foreach: the list has %d items, more than %d", len(list), maxNodes)
		return
	}
	serial, _ := n.inputs["sequential"].(bool)
	s := foreachScope(n, f, len(list), serial)
	for i, name := range s.order {
		s.nodes[name].extra = map[string]any{"_item": plain(list[i])}
	}
	r.spawn(n, s)
}

// number reads a whole number.
func number(v any) (int, bool) {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<31 {
			return int(v), true
		}
	case string:
		i, err := strconv.Atoi(v)
		return i, err == nil
	}
	return 0, false
}

func repeat(r *run, n *node) {
	times, ok := number(n.inputs["times"])
	if !ok {
		r.check(n, fmt.Errorf("repeat: times is %.80s, not a whole number", text(plain(n.inputs["times"]))))
		return
	}
	n.loop = &loop{Times: times}
	turn(r, n)
}

// turn begins the next turn of a loop, or ends it.
func turn(r *run, n *node) {
	l := n.loop
	if n.spec.target.builtin == "repeat" {
		if l.N >= l.Times {
			r.finish(n, l.Prev)
			return
		}
		act(r, n)
		return
	}
	if l.HasPrev {
		n.inputs["_prev"] = l.Prev
	}
	n.inputs["_count"] = float64(l.N)
	v, err := r.evaluate(n, n.spec.inputs["expr"])
	if !r.check(n, err) {
		return
	}
	more, ok := v.(bool)
	if !ok {
		r.check(n, fmt.Errorf("while: expr is %.80s, not true or false", text(plain(v))))
		return
	}
	if !more {
		r.finish(n, l.Prev)
		return
	}
	if limit, given := n.inputs["limit"]; given {
		most, ok := number(limit)
		if !ok {
			r.check(n, fmt.Errorf("while: limit is %.80s, not a whole number", text(plain(limit))))
			return
		}
		if l.N > most {
			r.failNode(n, workflow.FailureLimit, "while: limit exceeded: more than %d turns", most)
			return
		}
	}
	delay, err := duration(n.inputs["delay"], defaultDelay)
	if !r.check(n, err) {
		return
	}
	l.Waiting = true
	if n.child != nil {
		r.state.nodes -= len(n.child.order)
		n.child = nil
	}
	r.commands = append(r.commands, workflow.Command{Kind: workflow.CommandTimer, Step: n.id + "/" + waitName(l.N), Node: n.place, Due: r.now.Add(delay)})
}

func waitName(turn int) string { return "wait_" + strconv.Itoa(turn) }

// act does one turn of a loop.
func act(r *run, n *node) {
	f, err := action(n)
	if err != nil && n.spec.target.builtin == "while" { // a value is its own action
		v, verr := r.evaluate(n, n.spec.inputs["do"])
		if r.check(n, verr) {
			n.loop.N++
			n.loop.Prev, n.loop.HasPrev = plain(v), true
			turn(r, n)
		}
		return
	}
	if !r.check(n, err) {
		return
	}
	s := loopScope(n, f, n.loop.N)
	extra := map[string]any{}
	if n.loop.HasPrev {
		extra["_prev"] = n.loop.Prev
	}
	if n.spec.target.builtin == "while" {
		extra["_count"] = float64(n.loop.N + 1)
	}
	s.nodes[s.output].extra = extra
	r.spawn(n, s)
}
