package fission_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/fission"
	"github.com/joinery/faas/workflow/programtest"
)

func TestMeaning(t *testing.T) {
	one := func(task string) string { return "output: A\ntasks:\n  A: " + task + "\n" }
	for _, c := range []struct{ name, source, input, want string }{
		{"no run is noop", one(`{inputs: 7}`), "", "7"},
		{"a text stays a text", one(`{run: noop, inputs: "$.Invocation.Inputs.default"}`), "", "$.Invocation.Inputs.default"},
		{"half an expression is a text", one(`{run: noop, inputs: "{1}!"}`), "", "{1}!"},
		{"param", one(`{run: compose, inputs: {a: "{ param() }", b: "{ param('body') }", c: "{ typeof param('none') }"}}`), `[1]`, `{"a":[1],"b":[1],"c":"undefined"}`},
		{"another task", "output: B\ntasks:\n  A: {run: compose, inputs: {x: 1}}\n  B: {requires: [A], inputs: \"{ $.Tasks.A.Output.x + input('A', 'x') + task('A').Inputs.x + $.Tasks['A'].Output.x }\"}\n", "", "4"},
		{"a task that there is not", one(`{inputs: "{ [typeof output('Z'), typeof $.Tasks.Z, taskId, task().Status, $.Workflow.Id, $.Invocation.Id].join() }"}`), "", "undefined,undefined,A,IN_PROGRESS,test,x"},
		{"compose of one", one(`{run: compose, inputs: {x: 1}}`), "", `{"x":1}`},
		{"fail", one(`{run: fail}`), "", "failed: Fail: task A: fail function triggered"},
		{"fail with a word", one(`{run: fail, inputs: {default: {why: no}}}`), "", `failed: Fail: task A: {"why":"no"}`},
		{"if", one(`{run: if, inputs: {if: "{ 1 > 2 }", then: 1, else: {run: noop, inputs: "{ taskId }"}}}`), "", "A_child"},
		{"if without else", one(`{run: if, inputs: {if: false, then: 1}}`), "", "null"},
		{"if of nothing", one(`{run: if, inputs: {then: 1}}`), "", "failed: ExpressionError: task A: if: the condition is null, not true or false"},
		{"switch by number", one(`{run: switch, inputs: {switch: 2, cases: [{case: "1", action: a}, {case: 2, action: b}]}}`), "", "b"},
		{"switch default", one(`{run: switch, inputs: {switch: x, default: d}}`), "", "d"},
		{"switch malformed", one(`{run: switch, inputs: {switch: x, cases: [1]}}`), "", "failed: ExpressionError: task A: switch: case 0 has no case"},
		{"javascript", one(`{run: javascript, inputs: {args: {a: 2}, expr: "var b = a * a; b"}}`), "", "4"},
		{"javascript of one argument", one(`{run: javascript, inputs: {args: [1, 2], expr: "arg.length"}}`), "", "2"},
		{"foreach", one(`{run: foreach, inputs: {for: [1, "{ 2 }", "x"], do: {run: noop, inputs: "{ task().Inputs._item + $.Tasks.do_0.Status }"}}}`), "", `["1IN_PROGRESS","2SUCCEEDED","xSUCCEEDED"]`},
		{"foreach over nothing", one(`{run: foreach, inputs: {foreach: [], do: {run: f}}}`), "", "[]"},
		{"foreach without collecting", one(`{run: foreach, inputs: {foreach: [1], collect: false, do: {run: noop}}}`), "", "null"},
		{"foreach with a workflow", one(`{run: foreach, inputs: {foreach: [1, 2], do: {output: X, tasks: {X: {run: noop, inputs: 5}}}}}`), "", "[5,5]"},
		{"foreach over no list", one(`{run: foreach, inputs: {foreach: 3, do: {run: f}}}`), "", "failed: ExpressionError: task A: foreach: the input foreach is 3, not a list"},
		{"items are no expressions", one(`{run: foreach, inputs: {foreach: "{ ['{ 1 + 1 }'] }", do: {run: noop, inputs: "{ task().Inputs._item }"}}}`), "", `["{ 1 + 1 }"]`},
		{"repeat", one(`{run: repeat, inputs: {times: "3", do: {run: noop, inputs: "{ (task().Inputs._prev || 0) + 2 }"}}}`), "", "6"},
		{"repeat never", one(`{run: repeat, inputs: {times: 0, do: {run: f}}}`), "", "null"},
		{"repeat too often", one(`{run: repeat, inputs: {times: 2000000, do: {run: noop}}}`), "", "failed: LimitExceeded: task A/do_99999: more than 100000 built-in functions run without anything happening in between"},
		{"while with a limit", one(`{run: while, inputs: {expr: "{ true }", limit: 2, do: {run: f}}}`), "", "failed: LimitExceeded: task A: while: limit exceeded: more than 2 turns"},
		{"while never", one(`{run: while, inputs: {expr: "{ false }", limit: 2, do: {run: f}}}`), "", "null"},
		{"while of a value", one(`{run: while, inputs: {expr: "{ !(task().Inputs._prev > 2) }", limit: 9, delay: 1s, do: "{ task().Inputs._count + 1 }"}}`), "", "3"},
		{"sleep of nonsense", one(`{run: sleep, inputs: soon}`), "", `failed: ExpressionError: task A: "soon" is no duration such as "1m30s"`},
		{"an output of its own", one(`{run: f, inputs: 3, output: "{ output() * 2 }", outputHeaders: {a: b}}`), "", "6"},
		{"a throw", one(`{inputs: "{ (void 0).x }"}`), "", "failed: ExpressionError: task A: TypeError: Cannot read property 'x' of undefined"},
		{"too much work", one(`{inputs: "{ (() => { for (;;) {} })() }"}`), "", "failed: LimitExceeded: task A: the expression took more than 100000 steps"},
		{"await", "output: C\ntasks:\n  A: {run: sleep, inputs: 9s}\n  B: {run: f, inputs: 1}\n  C: {requires: [A, B], await: 1, inputs: \"{ $.Tasks.A.Status }\"}\n", "", "IN_PROGRESS"},
		{"a task for ever", one(`{run: g, inputs: 1}`), "", "failed: LimitExceeded: task A/A_child"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := play(t, programtest.Case{Name: c.name, Source: c.source, Input: workflow.JSON(c.input), Answer: func(c workflow.Command, _ int) programtest.Outcome {
				if c.Target.Name == "g" { // a task that answers itself, again and again
					return programtest.Outcome{Output: workflow.Bytes("application/vnd.fission.workflows.task+json", []byte(`{"run": "g"}`))}
				}
				return programtest.Outcome{Output: c.Payload}
			}})
			if strings.HasPrefix(c.want, "failed: LimitExceeded: task A/A_child") {
				require.Contains(t, r.Output(), c.want)
				return
			}
			require.Equal(t, c.want, r.Output())
		})
	}
}

func TestRequests(t *testing.T) {
	l, err := fission.Language(&fission.Options{HTTP: faas.Ref{Namespace: "net", Name: "fetch"}})
	require.NoError(t, err)
	d := &workflow.Definition{Ref: faas.Ref{Name: "x"}, Source: `
output: A
tasks:
  A: {run: "fission://ns/f", inputs: {body: {z: 3}, headers: {x-a: 1}, query: {q: "a b"}, method: put}, timeout: 3s}
  B: {run: f, inputs: text}
  C: {run: f, inputs: {a: 1, b: [2]}}
  D: {run: f}
  E: {run: http, inputs: "example.com"}
  F: {run: "https://example.com/x", inputs: {method: POST, body: {a: 1}}}
`}
	p, err := l.Compile(d)
	require.NoError(t, err)
	opened := programtest.Play(t, p, d, programtest.Case{}).Opened()
	body := func(i int) string {
		data, ok := opened[i].Payload.InHand()
		require.True(t, ok)
		return string(data)
	}
	require.Equal(t, "ns/f", opened[0].Target.String())
	require.Equal(t, `{"z":3}`, body(0))
	require.Equal(t, []any{"1", "PUT", "/?q=a+b", 3 * time.Second}, []any{opened[0].Options.Header.Get("X-A"), opened[0].Options.Method, opened[0].Options.Path, opened[0].Options.Timeout})
	require.Equal(t, "text text/plain; charset=utf-8", body(1)+" "+opened[1].Payload.MediaType())
	require.Equal(t, `{"a":1,"b":[2]}`, body(2))
	require.True(t, opened[3].Payload.IsZero())
	require.Equal(t, "net/fetch", opened[4].Target.String())
	require.JSONEq(t, `{"url": "http://example.com", "method": "GET"}`, body(4))
	require.JSONEq(t, `{"url": "https://example.com/x", "method": "POST", "body": {"a": 1}}`, body(5))

	_, err = fission.Language(&fission.Options{HTTP: faas.Ref{Name: "Not A Name"}})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
}

func TestAnswersThatAreNoFlows(t *testing.T) {
	for answer, want := range map[string]string{
		"\x0a\x03":                 "is no JSON or YAML object",
		`{"x": 1}`:                 "has neither run nor tasks",
		`{"run": "A_"}`:            "the function reference",
		`{"tasks": {}}`:            "there is no task",
		`{"run": "f", "run": "g"}`: "stands twice",
	} {
		r := play(t, programtest.Case{Source: "output: A\ntasks: {A: {run: f}}", Answer: func(workflow.Command, int) programtest.Outcome {
			return programtest.Outcome{Output: workflow.Bytes("application/vnd.fission.workflows.task", []byte(answer))}
		}})
		require.Contains(t, r.Output(), "failed: ExpressionError: task A: ", answer)
		require.Contains(t, r.Output(), want, answer)
	}
}

func TestTenThousandItems(t *testing.T) {
	r := play(t, programtest.Case{Source: "output: A\ntasks: {A: {run: foreach, inputs: {foreach: \"{ param() }\", do: {run: f}}}}", Input: workflow.JSON("[" + strings.TrimSuffix(strings.Repeat("1,", 10_000), ",") + "]")})
	require.Len(t, r.Opened(), 10_000)
	require.Equal(t, 10_000, strings.Count(r.Output(), "null"), fmt.Sprintf("%.60s", r.Output()))
}

func FuzzDefinition(f *testing.F) {
	f.Add(everything)
	f.Add("output: A\ntasks: {A: {run: while, inputs: {expr: \"{ true }\", do: {run: x}}}}")
	l := language(f)
	f.Fuzz(func(t *testing.T, source string) {
		d := &workflow.Definition{Ref: faas.Ref{Name: "x"}, Source: source}
		p, err := l.Compile(d)
		if err != nil {
			require.ErrorIs(t, err, faas.ErrInvalidArgument)
			return
		}
		e := workflow.Event{Seq: 1, Kind: workflow.ExecutionStarted, Time: programtest.Epoch(), Start: &workflow.Start{}}
		s, commands, err := p.Step(nil, &e)
		if err != nil {
			require.ErrorIs(t, err, faas.ErrExhausted)
			return
		}
		b, err := p.Snapshot(s)
		require.NoError(t, err)
		_, err = p.Restore(b, nil)
		require.NoError(t, err)
		_, again, err := p.Step(nil, &e)
		require.NoError(t, err)
		require.Len(t, again, len(commands))
	})
}
