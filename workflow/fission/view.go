package fission

import (
	"github.com/dop251/goja"
)

// What expressions see: $, taskId and the helper functions.

// express evaluates an expression of a task. One that declares nothing runs in a machine that others have used and will use.
func (r *run) express(n *node, c *code) (any, error) {
	l := r.program.language
	var m *machine
	var err error
	if c.pure {
		m, err = l.sealed.get(l.prelude)
	} else {
		m, err = newMachine(l.prelude)
	}
	if err != nil {
		return nil, err
	}
	m.begin(r.now, r.state.seed, r.state.salt(n.id))
	if err := r.show(m, n); err != nil {
		return nil, err
	}
	if !c.pure {
		for _, name := range seen {
			m.set(name, m.see[name])
		}
	}
	v, err := m.run(c.program)
	if err == nil && c.pure { // what was stopped on its way is not used again
		clear(m.see)
		l.sealed.put(m)
	}
	return v, err
}

// show sets what an expression of the task sees.
func (r *run) show(m *machine, n *node) error {
	created := float64(r.state.started.UnixNano())
	updated := float64(r.now.UnixNano())
	tasks := m.vm.NewDynamicObject(&taskView{m: m, r: r, n: n})
	invocation := m.toJS(map[string]any{"Id": r.state.execution.ID, "CreatedAt": created, "UpdatedAt": updated}).(*goja.Object)
	inputs := m.vm.ToValue(func(goja.FunctionCall) goja.Value { return m.toJS(r.state.inputs) }) // made when it is looked at
	if err := invocation.DefineAccessorProperty("Inputs", inputs, nil, goja.FLAG_FALSE, goja.FLAG_TRUE); err != nil {
		return err
	}
	root := m.vm.NewObject()
	for key, v := range map[string]goja.Value{
		"Workflow":   m.toJS(map[string]any{"Id": r.state.workflow, "Name": r.state.workflow, "CreatedAt": created, "UpdatedAt": created, "Status": "READY", "Tasks": map[string]any{}}),
		"Invocation": invocation,
		"Tasks":      tasks,
	} {
		if err := root.Set(key, v); err != nil {
			return err
		}
	}
	m.see["$"] = root
	m.see["taskId"] = m.vm.ToValue(n.name)

	find := func(c goja.FunctionCall) *node {
		if v := c.Argument(0); !goja.IsUndefined(v) {
			return n.scope.find(v.String())
		}
		return n
	}
	part := func(f func(*node) any) func(goja.FunctionCall) goja.Value {
		return func(c goja.FunctionCall) goja.Value {
			if at := find(c); at != nil && at.status != none {
				if v := f(at); v != nil {
					return m.toJS(v)
				}
			}
			return goja.Undefined()
		}
	}
	key := func(v goja.Value) string {
		if goja.IsUndefined(v) {
			return mainInput
		}
		return v.String()
	}
	m.see["param"] = m.vm.ToValue(func(c goja.FunctionCall) goja.Value {
		if v, ok := r.state.inputs[key(c.Argument(0))]; ok {
			return m.toJS(v)
		}
		return goja.Undefined()
	})
	m.see["input"] = m.vm.ToValue(func(c goja.FunctionCall) goja.Value {
		if at := find(c); at != nil {
			if v, ok := at.inputs[key(c.Argument(1))]; ok {
				return m.toJS(v)
			}
		}
		return goja.Undefined()
	})
	m.see["output"] = m.vm.ToValue(part(func(n *node) any { return n.output }))
	m.see["outputHeaders"] = m.vm.ToValue(func(c goja.FunctionCall) goja.Value {
		if at := find(c); at != nil && at.headers != nil {
			return m.toJS(at.headers)
		}
		return m.vm.NewObject()
	})
	task := func(c goja.FunctionCall) goja.Value {
		if at := find(c); at != nil {
			return m.task(r, at)
		}
		return goja.Undefined()
	}
	m.see["task"] = m.vm.ToValue(task)
	m.see["current"] = m.vm.ToValue(func(goja.FunctionCall) goja.Value { return m.task(r, n) })
	return nil
}

// task is a task as Fission shows it. An output that there is not yet is undefined.
func (m *machine) task(r *run, n *node) goja.Value {
	requires := map[string]any{}
	for _, need := range n.spec.requires {
		requires[need] = map[string]any{}
	}
	runtime := "fission"
	if n.spec.target.builtin != "" {
		runtime = "internal"
	}
	v := map[string]any{
		"Id": n.name, "CreatedAt": float64(r.state.started.UnixNano()), "UpdatedAt": float64(r.now.UnixNano()),
		"Status": statuses[n.status], "Requires": requires,
		"Resolved": map[string]any{"Src": n.spec.run, "Runtime": runtime, "Resolved": n.spec.run},
		"Inputs":   n.inputs,
	}
	if n.inputs == nil {
		v["Inputs"] = map[string]any{}
	}
	if n.headers != nil {
		v["OutputHeaders"] = n.headers
	}
	if n.output != nil || n.status == succeeded {
		v["Output"] = n.output
	}
	return m.toJS(v)
}

// taskView is $.Tasks: tasks are made when they are looked at, so that an expression costs what it uses.
type taskView struct {
	m *machine
	r *run
	n *node
}

func (v *taskView) Get(key string) goja.Value {
	if at := v.n.scope.find(key); at != nil {
		return v.m.task(v.r, at)
	}
	return goja.Undefined()
}

func (v *taskView) Has(key string) bool               { return v.n.scope.find(key) != nil }
func (v *taskView) Set(key string, _ goja.Value) bool { return false }
func (v *taskView) Delete(string) bool                { return false }
func (v *taskView) Keys() []string                    { return v.n.scope.order }
