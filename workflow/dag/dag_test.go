package dag_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/programtest"
)

// failing answers with a failure for the named nodes and echoes otherwise.
func failing(nodes ...string) func(workflow.Command, int) programtest.Outcome {
	return func(c workflow.Command, _ int) programtest.Outcome {
		for _, n := range nodes {
			if c.Node == n || c.Step == n {
				return programtest.Outcome{Failure: &workflow.Failure{Name: "Boom", Cause: n + " broke"}}
			}
		}
		return programtest.Outcome{Output: c.Payload}
	}
}

// saying answers with fixed JSON texts by node.
func saying(answers map[string]string) func(workflow.Command, int) programtest.Outcome {
	return func(c workflow.Command, _ int) programtest.Outcome {
		if text, ok := answers[c.Step]; ok {
			return programtest.Outcome{Output: workflow.JSON(text)}
		}
		if text, ok := answers[c.Node]; ok {
			return programtest.Outcome{Output: workflow.JSON(text)}
		}
		return programtest.Outcome{Output: c.Payload}
	}
}

func TestMeaning(t *testing.T) {
	for _, c := range []struct {
		name, source, input, want string
		answer                    func(workflow.Command, int) programtest.Outcome
		signals                   []programtest.Signal
		steps                     string // the steps that were opened, when not empty
		cancelAt                  int
	}{
		{name: "one of each", source: everything, input: `{"dir": "d", "at": "2026-02-01T00:00:00Z"}`, answer: answers, signals: []programtest.Signal{{Name: "review"}},
			want: `{"counts":[{"at":0,"file":"x"},{"torn":"page 7"},{"at":2,"file":"z"}],"joined":"succeeded!","mended":"Boom"}`},
		{name: "a value passes on", source: "tasks: {a: {}, b: {needs: [a], input: {from: tasks.a.output.x}}}", input: `{"x": [1, 2]}`, want: `[1, 2]`},
		{name: "several last tasks", source: "tasks: {a: {input: 1}, b: {input: two}, c: {input: {from: input.none, default: [3]}}}", want: `{"a":1,"b":"two","c":[3]}`},
		{name: "templates", source: `tasks: {a: {input: {s: {join: [{from: input.n}, "-", {from: input.t}, "-", {from: input.n2, default: x}]}, l: {literal: {from: here}}, e: {}, deep: [[{from: "input.l[1].k"}]], run: {from: run.id}, ns: {from: run.namespace}, no: {from: run.number}}}}`,
			input: `{"n": 1.50, "t": "\u00fc\"", "l": [0, {"k": null}]}`,
			want:  `{"deep":[[null]],"e":{},"l":{"from":"here"},"no":1,"ns":"kit","run":"x","s":"1.50-ü\"-x"}`},
		{name: "nothing there", source: "tasks: {a: {input: {from: input.x.y}}}", input: `{"x": 1}`, want: `failed: ProgramError: task a: there is nothing at input.x.y`},
		{name: "a failure fails", source: "tasks: {a: {call: a}, b: {call: b, needs: [a]}, c: {call: c}}", answer: failing("a"), want: "failed: Boom: task a: a broke", steps: "a c"},
		{name: "a failure that is handled", source: "tasks: {a: {call: a}, b: {needs: [a], rule: one_failed, input: {from: tasks.a.failure}}}", answer: failing("a"), want: `{"name":"Boom","cause":"a broke"}`},
		{name: "skips go on", source: "tasks: {a: {when: {value: {from: input}, equals: 2}}, b: {call: b, needs: [a]}, c: {needs: [b], rule: none_failed, input: {join: [{from: tasks.a.state}, \" \", {from: tasks.b.state}]}}}", input: "1", want: `"skipped skipped"`},
		{name: "catch", source: "tasks: {a: {call: a, catch: [{failures: [Other], output: 1}, {failures: [\"*\"]}]}}", answer: failing("a"), want: `{"name":"Boom","cause":"a broke"}`},
		{name: "branch", source: "tasks: {a: {call: a, branch: true}, b: {needs: [a]}, c: {needs: [a]}, d: {needs: [b, a], rule: none_failed, input: {from: tasks.b.state}}, c2: {call: x, needs: [c]}}",
			answer: saying(map[string]string{"a": `["b"]`}), want: `{"c2":null,"d":"succeeded"}`, steps: "a"},
		{name: "branch to nothing", source: "tasks: {a: {call: a, branch: true}, b: {needs: [a]}}", answer: saying(map[string]string{"a": `"z"`}), want: `failed: ProgramError: task a: a branch answers "z", which is no task that directly needs it`},
		{name: "branch into a group", source: "tasks: {a: {call: a, branch: true}, g: {needs: [a], tasks: {x: {call: x}, y: {call: y}}}, h: {call: h, needs: [a]}}", answer: saying(map[string]string{"a": `"g"`}), input: "1", want: `{"g.x":1,"g.y":1,"h":null}`, steps: "a g.x g.y"},
		{name: "short circuit", source: "tasks: {a: {call: a, shortCircuit: all}, b: {call: b, needs: [a]}, c: {call: c, needs: [b], rule: all_done}}", answer: saying(map[string]string{"a": "0"}), want: "", steps: "a"},
		{name: "short circuit, direct", source: "tasks: {a: {call: a, shortCircuit: direct}, b: {call: b, needs: [a]}, c: {call: c, needs: [b], rule: all_done}}", answer: saying(map[string]string{"a": "{}", "c": "7"}), want: "7", steps: "a c"},
		{name: "choose", source: "tasks: {a: {choose: [{when: {value: {from: input}, in: [1, 2]}, tasks: [b]}, {tasks: [c]}]}, b: {call: b, needs: [a]}, c: {call: c, needs: [a], input: {from: tasks.a.output}}}", input: "3", want: `{"b":null,"c":["c"]}`, steps: "c"},
		{name: "choose none", source: "tasks: {a: {choose: [{when: {value: {from: input}, in: [1, 2]}, tasks: [b]}]}, b: {call: b, needs: [a]}}", input: "3", want: ""},
		{name: "await", source: "tasks: {a: {call: a}, b: {call: b}, c: {wait: {for: 1h}}, d: {needs: [a, b, c], await: 1, cancelRest: true, input: done}}", want: `"done"`, steps: "a b c"},
		{name: "await out of reach", source: "tasks: {a: {call: a}, b: {call: b}, d: {needs: [a, b], await: 2}}", answer: failing("a"), want: "failed: Boom: task a: a broke"},
		{name: "teardown", source: "tasks: {s: {call: s, setup: true}, w: {call: w, needs: [s]}, t: {call: t, teardown: [s], needs: [w]}}", answer: failing("w", "t"), want: "failed: Boom: task w: w broke", steps: "s w t"},
		{name: "teardown without setup", source: "tasks: {s: {call: s, setup: true}, w: {call: w, needs: [s]}, t: {call: t, teardown: [s], needs: [w]}}", answer: failing("s"), want: "failed: Boom: task s: s broke", steps: "s"},
		{name: "teardown that fails", source: "tasks: {s: {call: s, setup: true}, w: {call: w, needs: [s], input: ok}, t: {call: t, teardown: [s], needs: [w]}}", answer: failing("t"), want: `"ok"`},
		{name: "critical teardown", source: "tasks: {s: {call: s, setup: true}, w: {call: w, needs: [s]}, t: {call: t, teardown: [s], needs: [w], critical: true}}", answer: failing("t"), want: "failed: Boom: task t: t broke"},
		{name: "cancelled", source: "tasks: {s: {call: s, setup: true}, w: {wait: {for: 1h}, needs: [s]}, x: {call: x, needs: [w]}, t: {call: t, teardown: [s], needs: [x]}}", cancelAt: 1, want: "failed: Canceled: the kit asked", steps: "s w t"},
		{name: "fail fast", source: "failFast: true\ntasks: {a: {call: a}, b: {wait: {for: 1h}}, c: {call: c, needs: [b]}}", answer: failing("a"), want: "failed: Boom: task a: a broke", steps: "a b"},
		{name: "fail fast but heard", source: "failFast: true\ntasks: {a: {call: a}, b: {needs: [a], rule: all_failed, input: saved}}", answer: failing("a"), want: `"saved"`},
		{name: "map", source: "tasks: {a: {call: a, expand: {over: {from: input}, concurrency: 1}, input: {from: item}}, b: {needs: [a], input: {from: \"tasks.a.output[1]\"}}}", input: ` [ {"k": "]"} , "\"," , [3] ] `, want: `"\","`, steps: "a[0] a[1] a[2]"},
		{name: "map over nothing", source: "tasks: {a: {call: a, expand: {over: {from: input}}}, b: {needs: [a]}}", input: "[]", want: ""},
		{name: "map over no list", source: "tasks: {a: {call: a, expand: {over: {from: input}}}}", input: "7", want: "failed: ProgramError: task a: a task is mapped over a list, not over 7"},
		{name: "map over too much", source: "tasks: {a: {call: a, expand: {over: {from: input}, max: 2}}}", input: "[1,2,3]", want: "failed: LimitExceeded: task a: the list has 3 items, more than 2"},
		{name: "map, one fails", source: "tasks: {a: {call: a, expand: {over: [1, 2, 3]}}, b: {needs: [a], rule: all_done, input: {from: tasks.a.output}}}", answer: failing("a[1]"), input: "0", want: `[0,null,0]`},
		{name: "map, one answer is not JSON", source: "tasks: {a: {call: a, expand: {over: [1, 2]}}, b: {needs: [a], input: {from: tasks.a.output}}}", answer: func(c workflow.Command, _ int) programtest.Outcome {
			if c.Step == "a[1]" {
				return programtest.Outcome{Output: workflow.JSON("[")}
			}
			return programtest.Outcome{Output: c.Payload}
		}, want: `failed: ProgramError: task a: item 1: a payload of type application/json is not JSON: "["`},
		{name: "map of values", source: "tasks: {a: {expand: {over: {from: input}}, input: {n: {from: index}, v: {from: item}}}}", input: `["x"]`, want: `[{"n":0,"v":"x"}]`},
		{name: "one success does not wait", source: "tasks: {a: {call: a, expand: {over: [1, 2, 3], concurrency: 1}, input: {from: item}}, b: {call: b, needs: [a], rule: one_success, input: 9}}", want: `9`, steps: "a[0] a[1] b a[2]"},
		{name: "mapped group", source: "tasks: {g: {expand: {over: {from: input}}, tasks: {x: {call: x}}, output: {from: tasks.x.output}}}", input: "[1, 2]", want: `[1,2]`, steps: "g[0] g[1]"},
		{name: "sensor", source: "tasks: {p: {poke: {call: p, every: 10s, for: 1m}}}", answer: saying(map[string]string{"p~1": "0", "p~2": "\"\"", "p~3": `{"ok": true}`}), want: `{"ok": true}`, steps: "p~1 p~1+ p~2 p~2+ p~3"},
		{name: "sensor in vain", source: "tasks: {p: {poke: {call: p, every: 10s, for: 15s}}}", answer: saying(map[string]string{"p": "false"}), want: "failed: Timeout: task p: asked 2 times in 10.002s, never answered true"},
		{name: "signal", source: "tasks: {s: {signal: go}}", signals: []programtest.Signal{{Name: "go", Value: workflow.JSON("1")}}, want: "1"},
		{name: "signal too late", source: "tasks: {s: {signal: go, timeout: 1m, catch: [{failures: [Timeout], output: late}]}}", want: `"late"`},
		{name: "wait until nonsense", source: "tasks: {s: {wait: {until: soon}}}", want: `failed: ProgramError: task s: wait until "soon": it is no time such as 2026-01-02T15:04:05Z`},
		{name: "groups need groups", source: "tasks: {g: {tasks: {a: {call: a}, b: {call: b, needs: [a]}}}, h: {needs: [g], tasks: {c: {call: c}, k: {needs: [c], tasks: {d: {call: d, input: {from: tasks.c.state}}}}}}}", want: `"succeeded"`, steps: "g.a g.b h.c h.k.d"},
		{name: "not JSON", source: "tasks: {a: {call: a}, b: {needs: [a], input: {t: {from: tasks.a.output}}}}", answer: func(c workflow.Command, _ int) programtest.Outcome {
			return programtest.Outcome{Output: workflow.Bytes("text/plain", []byte("a\"b"))}
		}, want: `{"t":"a\"b"}`},
		{name: "not JSON but said so", source: "tasks: {a: {call: a}, b: {needs: [a], input: {t: {from: tasks.a.output}}}}", answer: func(c workflow.Command, _ int) programtest.Outcome {
			return programtest.Outcome{Output: workflow.JSON("{")}
		}, want: `failed: ProgramError: task b: a payload of type application/json is not JSON: "{"`},
		{name: "conditions", source: `tasks: {a: {when: {all: [{value: 2, greater: 1}, {value: b, atLeast: b}, {value: 9007199254740993, equals: 9007199254740993}, {not: {value: 9007199254740993, equals: 9007199254740992}}, {value: {from: input}, notEquals: {a: [1, 3]}}, {any: [{value: 0}, {exists: input.a}]}, {value: 1, less: 2}, {value: 1.0, lessOrEqual: 1}]}, input: yes}}`, input: `{"a": [1, 2]}`, want: `"yes"`},
		{name: "conditions on unlike things", source: "tasks: {a: {when: {value: x, less: 1}}}", want: `failed: ProgramError: task a: less: "x" and 1 are not two texts`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := play(t, programtest.Case{Name: c.name, Source: c.source, Input: workflow.JSON(c.input), Answer: c.answer, Signals: c.signals, CancelAt: c.cancelAt})
			require.Equal(t, c.want, r.Output())
			if c.steps != "" {
				var steps []string
				for _, o := range r.Opened() {
					steps = append(steps, o.Step)
				}
				require.Equal(t, c.steps, strings.Join(steps, " "))
			}
		})
	}
}

func TestCommandsSayWhatTheDefinitionSays(t *testing.T) {
	r := play(t, programtest.Case{Source: `
weightRule: downstream
tasks:
  a: {call: ns/f@3, timeout: 5s, deadline: 1m, pool: gpu, slots: 2, priority: 4, header: {x-a: b}, method: PUT, path: /p, callback: true, heartbeat: 2s, retry: [{failures: [X], max: 2, interval: 1s, rate: 3, maxInterval: 9s, jitter: full}, {max: 1}]}
  b: {activity: paint, needs: [a]}
  c: {workflow: other, needs: [b], detached: true, onClose: stay}
`})
	opened := r.Opened()
	require.Len(t, opened, 3)
	require.Equal(t, faas.Ref{Namespace: "ns", Name: "f", Version: "3"}, opened[0].Target)
	o := opened[0].Options
	require.Equal(t, workflow.Retry{
		{Failures: []string{"X"}, Max: 2, Interval: time.Second, Rate: 3, MaxInterval: 9 * time.Second, Jitter: workflow.JitterFull},
		{Failures: []string{"*"}, Max: 1},
	}, o.Retry)
	require.Equal(t, []any{5 * time.Second, time.Minute, 2 * time.Second, "gpu", 2, 6, true, "PUT", "/p", "b"},
		[]any{o.Timeout, o.Deadline, o.Heartbeat, o.Pool, o.Slots, o.Priority, o.Callback, o.Method, o.Path, o.Header.Get("X-A")})
	require.Equal(t, workflow.CommandActivity, opened[1].Kind)
	require.Equal(t, "paint", opened[1].Name)
	require.Equal(t, 2, opened[1].Options.Priority)
	require.Equal(t, workflow.ChildOptions{Detached: true, OnClose: workflow.ChildStays}, *opened[2].Child)
}

func TestAMappedGroupIsAsDurableAsItsParent(t *testing.T) {
	d := &workflow.Definition{Durability: workflow.Express, Source: "tasks: {g: {expand: {over: [1]}, tasks: {x: {call: x}}}}"}
	p, err := dag.Language().Compile(d)
	require.NoError(t, err)
	opened := programtest.Play(t, p, d, programtest.Case{}).Opened()
	require.Equal(t, workflow.Express, opened[0].Child.Definition.Durability)
}

func TestDataInterval(t *testing.T) {
	const source = "tasks: {a: {input: [{from: run.interval.start}, {from: run.interval.end}, {from: run.started}]}}"
	r := play(t, programtest.Case{Source: source, Attributes: map[string]string{dag.IntervalStart: "2026-01-01T00:00:00Z", dag.IntervalEnd: "2026-01-02T00:00:00Z"}})
	require.Equal(t, `["2026-01-01T00:00:00Z","2026-01-02T00:00:00Z","2026-01-02T03:04:05Z"]`, r.Output())
	r = play(t, programtest.Case{Source: source})
	require.Equal(t, `["2026-01-02T03:04:05Z","2026-01-02T03:04:05Z","2026-01-02T03:04:05Z"]`, r.Output())
}

func TestALargePayloadIsPassedOnUnread(t *testing.T) {
	ref := workflow.Reference("", "sha256:1", 1<<30, nil) // nobody can read it
	r := play(t, programtest.Case{Source: "tasks: {a: {call: a}, b: {call: b, needs: [a], input: {from: tasks.a.output}}}", Input: ref})
	require.True(t, r.End.Payload.Equal(ref))
}

func TestGoAndTextSayTheSame(t *testing.T) {
	spec := dag.Spec{Tasks: map[string]dag.Task{
		"split": {Call: "split"},
		"count": {Call: "count", Needs: []string{"split"}, Expand: &dag.Expand{Over: dag.From("tasks.split.output.files")}, Input: map[string]any{"file": dag.From("item")},
			Retry: []dag.Retry{{Max: 3, Interval: dag.Duration(time.Second)}}, Timeout: dag.Duration(90 * time.Second)},
		"sum": {Needs: []string{"count"}, Input: dag.Join("sum of ", dag.FromOr("input.title", dag.Literal("?"))), When: &dag.Condition{Value: 1}},
	}}
	d, err := spec.Definition(faas.Ref{Name: "go"})
	require.NoError(t, err)
	back, err := dag.Parse(d.Source)
	require.NoError(t, err)
	again, err := back.Definition(faas.Ref{Name: "go"})
	require.NoError(t, err)
	require.Equal(t, d.Source, again.Source)
	require.Equal(t, d.Digest(), again.Digest())

	_, err = dag.Spec{Tasks: map[string]dag.Task{"a": {Needs: []string{"b"}}}}.Definition(faas.Ref{Name: "x"})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	var ds workflow.Diagnostics
	require.ErrorAs(t, err, &ds)
	require.Equal(t, 5, ds[0].Line)
}

func TestFaultsHavePlaces(t *testing.T) {
	_, err := dag.Language().Compile(&workflow.Definition{Source: "tasks:\n  a:\n    call: f\n    needs: [b]\n  c: {needs: [a, c]}\n"})
	var ds workflow.Diagnostics
	require.ErrorAs(t, err, &ds)
	require.Equal(t, workflow.Diagnostics{
		{Path: "tasks.a.needs[0]", Rule: `there is no task or group "b"`, Line: 4, Column: 13},
		{Path: "tasks.c.needs", Rule: "there is a cycle: c needs c", Line: 5, Column: 14},
	}, ds)
}

func TestTenThousandTasks(t *testing.T) {
	const n = 10_000
	r := play(t, programtest.Case{Source: chain(n), Input: workflow.JSON("1")})
	require.Len(t, r.Opened(), n)
	require.Equal(t, "1", r.Output())
	broken := chain(n) + "  t00000x: {needs: [t00000x]}\n  zz: {call: X_, needs: [nothing]}\n"
	_, err := dag.Language().Compile(&workflow.Definition{Source: broken})
	var ds workflow.Diagnostics
	require.ErrorAs(t, err, &ds)
	require.Len(t, ds, 3)
}

func TestTenThousandItems(t *testing.T) {
	r := play(t, programtest.Case{Source: wide, Input: workflow.JSON(items(10_000))})
	require.Len(t, r.Opened(), 10_001)
	require.True(t, strings.HasPrefix(r.Output(), `[{"item":0},{"item":1},`), r.Output()[:40])
}
