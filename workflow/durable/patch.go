package durable

import (
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// marker is a patch whose outcome is not known yet.
type marker struct {
	x  *execution
	id string
	f  *future
	at time.Time
}

func (m *marker) decide(patched bool) {
	m.x.patches[m.id] = patched
	m.x.pending = slices.DeleteFunc(m.x.pending, func(o *marker) bool { return o == m })
}

// Patched reports whether this execution runs the changed code that the name stands for: true if
// the change was there when the execution came here first. The answer is recorded, and the same from then on:
//
//	if ctx.Patched("pay-before-shipping") {
//		// the new code
//	} else {
//		// the old code, until its executions have ended
//	}
//
// An execution counts as older when its log has the outcome of a step that the old code opened after this
// place. So the old code must open a step there; what it had opened when the engine stopped, without an
// outcome in the log, is given up. The name follows the rule of faas.ValidateName.
func (c Context) Patched(name string) bool {
	x := c.x
	x.enter()
	if err := faas.ValidateName("patch", name); err != nil {
		panic(err)
	}
	if patched, ok := x.patches[name]; ok {
		return patched
	}
	if x.patches == nil {
		x.patches = map[string]bool{}
	}
	for _, m := range x.pending {
		if m.id == name { // another coroutine came first
			x.wait(m.f)
			return x.patches[name]
		}
	}
	f := &future{x: x, kind: workflow.CommandRecord, node: "patch:" + name}
	m := &marker{x: x, id: name, f: f, at: x.now}
	f.then = func() { m.decide(true) }
	x.pending = append(x.pending, m)
	// Not in the scope: a marker is decided even when its Context is cancelled.
	Context{x, x.detached()}.open(f, f.node, workflow.Command{Payload: workflow.JSON("true")})
	x.wait(f)
	return x.patches[name]
}

// predates settles the oldest pending patch marker as "the log is older", at the time of its opening.
func (x *execution) predates() error {
	m := x.pending[0]
	now := x.now
	x.now = m.at
	m.decide(false)
	m.f.then = nil
	x.close(m.f, nil)
	err := x.turn()
	x.now = now
	return err
}

// Predates implements workflow.Predater: code that waits for a patch marker may find that the log is older.
func (p *program) Predates(s workflow.State, _ *workflow.Event) bool {
	x, _ := s.(*execution)
	return x != nil && len(x.pending) > 0 && !x.ended
}
