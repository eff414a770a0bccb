package fission_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/fission"
	"github.com/joinery/faas/workflow/programtest"
)

const everything = `
apiVersion: 1
description: all built-in functions
output: Last
tasks:
  Split: {run: split, inputs: "{ param() }"}
  Composed: {run: compose, inputs: {a: "{ output('Split').n }", b: [1, "{ 1 + 1 }"], id: "{ uid() }", at: "{ new Date().getFullYear() + Math.floor(Math.random() * 10) }"}, requires: [Split]}
  Each:
    run: foreach
    inputs:
      foreach: "{ output('Split').list }"
      do: {run: count, inputs: {default: "{ task().Inputs._item }", query: {n: "{ taskId }"}}}
    requires: [Split]
  Serial: {run: foreach, inputs: {foreach: [1, 2], sequential: true, collect: true, do: {run: noop, inputs: "{ task().Inputs._item * 10 }"}}, requires: [Each]}
  Web: {run: http, inputs: {url: "example.com", method: POST, body: x}}
  Web2: {run: "http://example.com/a"}
  If: {run: if, inputs: {if: "{ output('Split').n > 1 }", then: {run: small, inputs: "{ output('Split').list }"}, else: nothing}, requires: [Split]}
  Code: {run: javascript, inputs: {expr: "a + b", args: {a: 1, b: "{ output('Split').n }"}}, requires: [Split]}
  Nap: {run: sleep, inputs: 3s, requires: [Code]}
  Fib: {run: repeat, inputs: {times: 5, do: {run: javascript, inputs: {_prev: {a: 0, b: 1}, args: {p: "{ task().Inputs._prev }"}, expr: "({a: p.b, b: p.a + p.b})"}}}}
  While: {run: while, inputs: {expr: "{ !task().Inputs._prev || task().Inputs._prev < 3 }", limit: 5, do: {run: step, inputs: "{ (task().Inputs._prev || 0) + 1 }"}}}
  Switch: {run: switch, inputs: {switch: "{ param('method') }", cases: [{case: GET, action: 1}, {case: POST, action: {run: posted}}], default: 2}}
  Scope: {run: noop, inputs: {default: {output: B, tasks: {A: {run: a}, B: {run: b, inputs: "{ output('A') + output('Fib').b }", requires: [A]}}}}, requires: [Fib]}
  Dynamic: {run: dynamic}
  Last:
    run: compose
    inputs: {each: "{ output('Each') }", serial: "{ output('Serial') }", fib: "{ output('Fib').b }", while: "{ output('While') }", switch: "{ output('Switch') }", code: "{ output('Code') }", dynamic: "{ output('Dynamic') }", scope: "{ output('Scope') }"}
    requires: [Composed, Each, Serial, Web, Web2, If, Nap, Fib, While, Switch, Scope, Dynamic]
`

func answers(c workflow.Command, _ int) programtest.Outcome {
	switch c.Target.Name {
	case "split":
		return programtest.Outcome{Output: workflow.JSON(`{"n": 2, "list": ["x", "{ y }", 3]}`)}
	case "dynamic":
		return programtest.Outcome{Output: workflow.Bytes("application/vnd.fission.workflows.workflow+json", []byte(`{"output": "X", "tasks": {"X": {"run": "x", "inputs": "{ output('Y') }", "requires": ["Y"]}, "Y": {"run": "noop", "inputs": 5}}}`))}
	case "a":
		return programtest.Outcome{Output: workflow.JSON(`10`)}
	case "http":
		return programtest.Outcome{Output: workflow.Bytes("text/plain", []byte("hello"))}
	}
	return programtest.Outcome{Output: c.Payload}
}

func language(t testing.TB) workflow.Language {
	l, err := fission.Language(nil)
	require.NoError(t, err)
	return l
}

func TestConformance(t *testing.T) {
	programtest.Run(t, programtest.Harness{
		Language: language(t),
		Cases: []programtest.Case{
			{Name: "everything", Source: everything, Input: workflow.JSON(`{"a": 1}`), Answer: answers},
			{Name: "fails", Source: "output: A\ntasks:\n  A: {run: fail, inputs: no}\n"},
			{Name: "one call", Source: "output: A\ntasks:\n  A: {run: f, inputs: {headers: {x: 1}, query: {q: 2}, method: put, body: {z: 3}}, timeout: 3s}\n", Input: workflow.JSON(`"in"`)},
		},
		Invalid: []programtest.Invalid{
			{Name: "empty", Source: "", Paths: []string{"."}},
			{Name: "no tasks", Source: "output: A", Paths: []string{"tasks"}},
			{Name: "many", Source: "apiVersion: 2\noutput: X\ntasks:\n  A: {run: Not_Good, requires: [B, C, A], Inputs: 1}\n  B: {run: \"internal://nothing\", requires: [A], await: 7, timeout: soon, inputs: {x: \"{ 1 + }\"}}\n",
				Paths: []string{"apiVersion", "output", "tasks.A.run", "tasks.A.requires[1]", "tasks.A.requires", "tasks.A.Inputs", "tasks.B.run", "tasks.B.await", "tasks.B.timeout", "tasks.B.inputs.x"}},
			{Name: "nested", Source: "output: A\ntasks:\n  A: {run: if, inputs: {then: {run: B_, inputs: \"{ with (a) b }\"}, else: {output: Z, tasks: {X: {requires: [Y]}}}}}\n",
				Paths: []string{"tasks.A.inputs.then.run", "tasks.A.inputs.then.inputs", "tasks.A.inputs.else.output", "tasks.A.inputs.else.tasks.X.requires[0]"}},
			{Name: "duplicate", Source: "output: A\ntasks:\n  A: {run: f}\n  A: {run: g}\n", Paths: []string{"tasks.A"}},
		},
		Grow: func(n int) programtest.Case {
			var list []string
			for i := range n {
				list = append(list, fmt.Sprint(i))
			}
			return programtest.Case{Name: fmt.Sprint(n), Source: "output: A\ntasks:\n  A: {run: foreach, inputs: {foreach: [" + strings.Join(list, ",") + "], do: {run: f, inputs: \"{ task().Inputs._item }\"}}}\n"}
		},
	})
}

// play compiles and plays a definition.
func play(t testing.TB, c programtest.Case) *programtest.Record {
	t.Helper()
	d := &workflow.Definition{Language: "fission", Source: c.Source}
	d.Ref.Name = "test"
	p, err := language(t).Compile(d)
	require.NoError(t, err)
	return programtest.Play(t, p, d, c)
}

func TestEverything(t *testing.T) {
	r := play(t, programtest.Case{Source: everything, Input: workflow.JSON(`{"a": 1}`), Answer: answers})
	require.JSONEq(t, `{"each": ["x", "{ y }", 3], "serial": [10, 20], "fib": 8, "while": 3, "switch": null, "code": 3, "dynamic": 5, "scope": 18}`, r.Output())
}
