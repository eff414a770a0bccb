package dag_test

import (
	"strings"

	"github.com/joinery/faas/workflow/programtest"
)

var invalid = []programtest.Invalid{
	{Name: "empty", Source: "", Paths: []string{"."}},
	{Name: "no tasks", Source: "tasks: {}", Paths: []string{"tasks"}},
	{Name: "two documents", Source: "tasks: {a: {}}\n---\ntasks: {b: {}}\n", Paths: []string{"."}},
	{Name: "not UTF-8", Source: "tasks: {a: {call: \"\xff\"}}", Paths: []string{"."}},
	{Name: "cycle", Source: "tasks:\n  a: {needs: [c]}\n  b: {needs: [a]}\n  c: {needs: [b]}\n  d: {needs: [d]}\n", Paths: []string{"tasks.a.needs", "tasks.d.needs"}},
	{Name: "missing targets", Source: "tasks:\n  a: {needs: [x, y]}\n  b: {teardown: [z]}\n", Paths: []string{"tasks.a.needs[0]", "tasks.a.needs[1]", "tasks.b.teardown[0]"}},
	{Name: "duplicates", Source: "tasks:\n  a: {call: f, call: g}\n  a: {call: h}\n  b: {needs: [a, a]}\n", Paths: []string{"tasks.a", "tasks.a.call", "tasks.b.needs[1]"}},
	{Name: "case variants", Source: "Tasks: {a: {}}\ntasks:\n  a: {Call: f}\n  A: {}\n", Paths: []string{"Tasks", "tasks.a", "tasks.a.Call"}},
	{Name: "unknown fields", Source: "tasks: {a: {cal: f, x: 1}}\nfoo: 2\n", Paths: []string{"foo", "tasks.a.cal", "tasks.a.x"}},
	{Name: "wrong types", Source: "tasks: {a: {call: 7, needs: b, slots: many, callback: 1, poke: []}}", Paths: []string{"tasks.a.call", "tasks.a.needs", "tasks.a.slots", "tasks.a.callback", "tasks.a.poke"}},
	{Name: "negative numbers", Source: "tasks: {a: {call: f, slots: -1, await: -2, timeout: -1s, retry: [{max: -1, rate: -1}], expand: {over: [1], concurrency: -1, max: -1}}}",
		Paths: []string{"tasks.a.slots", "tasks.a.await", "tasks.a.timeout", "tasks.a.retry[0].max", "tasks.a.retry[0].rate", "tasks.a.expand.concurrency", "tasks.a.expand.max"}},
	{Name: "overflow", Source: "tasks: {a: {call: f, timeout: 9999999999h, slots: 99999999999999999999}, b: {wait: {for: 1e400s}}}", Paths: []string{"tasks.a.timeout", "tasks.a.slots", "tasks.b.wait.for"}},
	{Name: "deep", Source: "tasks: {a: {input: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}}", Paths: []string{"tasks.a.input" + strings.Repeat("[0]", 98)}},
	{Name: "bad references", Source: "tasks:\n  a: {input: {from: tasks.b.output}}\n  b: {input: [{from: nowhere}, {from: item}, {from: tasks.x.output}, {from: tasks.a}, {from: \"a..b\"}, {from: 3}, {join: 3}, {from: run.x}, {from: failure}]}\n",
		Paths: []string{"tasks.a.input.from", "tasks.b.input[0].from", "tasks.b.input[1].from", "tasks.b.input[2].from", "tasks.b.input[3].from", "tasks.b.input[4].from", "tasks.b.input[5]", "tasks.b.input[6]", "tasks.b.input[7].from", "tasks.b.input[8].from"}},
	{Name: "two kinds", Source: "tasks: {a: {call: f, signal: s}, b: {wait: {}}, c: {wait: {for: 1s, until: x}}, d: {poke: {call: f}}, e: {choose: []}}",
		Paths: []string{"tasks.a", "tasks.b.wait", "tasks.c.wait", "tasks.d.poke.every", "tasks.e.choose"}},
	{Name: "unreachable", Source: "tasks:\n  a: {choose: [{tasks: [b]}, {tasks: [b]}]}\n  b: {needs: [a]}\n  c: {needs: [a]}\n  d: {choose: [{tasks: [b]}]}\n", Paths: []string{"tasks.a.choose[0]", "tasks.c", "tasks.d.choose[0].tasks[0]"}},
	{Name: "rules", Source: "tasks: {a: {rule: sometimes, await: 3, cancelRest: true}, b: {rule: all_done_setup_success, critical: true}, c: {teardown: [a]}, d: {cancelRest: true}}",
		Paths: []string{"tasks.a.rule", "tasks.a.await", "tasks.b.rule", "tasks.b.critical", "tasks.c.teardown[0]", "tasks.d.cancelRest"}},
	{Name: "names", Source: "tasks: {\"a b\": {}, \"\": {}, \"a.b\": {}, x: {call: Not_A_Name, pool: A}, " + strings.Repeat("y", 64) + ": {}}",
		Paths: []string{"tasks.a b", "tasks.a.b", "tasks.x.call", "tasks.x.pool", "tasks." + strings.Repeat("y", 64)}},
	{Name: "conditions", Source: "tasks: {a: {when: {}}, b: {when: {equals: 1}}, c: {when: {value: 1, less: 2, greater: 0}}, d: {when: {all: [{}], exists: input}}}",
		Paths: []string{"tasks.a.when", "tasks.b.when", "tasks.c.when", "tasks.d.when", "tasks.d.when.all[0]"}},
	{Name: "options of nothing", Source: "tasks: {a: {pool: p}, b: {wait: {for: 1s}, retry: [{max: 1}]}, c: {call: f, detached: true}, d: {workflow: w, onClose: sing, callback: true}, e: {call: f, heartbeat: 1s}, f: {call: f, output: 1}}",
		Paths: []string{"tasks.a", "tasks.b", "tasks.c", "tasks.d.onClose", "tasks.d.callback", "tasks.e.heartbeat", "tasks.f.output"}},
	{Name: "groups", Source: "tasks:\n  g: {call: f, needs: [g], tasks: {a: {}}}\n  h: {tasks: {}}\n  m: {expand: {over: {from: input}}, tasks: {a: {needs: [h]}, b: {input: {from: tasks.m.output}}}}\n",
		Paths: []string{"tasks.g.call", "tasks.g.needs", "tasks.h.tasks", "tasks.m.tasks.a.needs[0]", "tasks.m.tasks.b.input.from"}},
	{Name: "branches", Source: "tasks: {a: {branch: true, shortCircuit: all}, b: {shortCircuit: half}, c: {branch: true, expand: {over: [1]}}, d: {wait: {for: 1s}, expand: {}}, e: {call: f, setup: true, expand: {over: [1]}}}",
		Paths: []string{"tasks.a", "tasks.b.shortCircuit", "tasks.c", "tasks.d.expand", "tasks.d.expand.over", "tasks.e.setup"}},
	{Name: "alias bomb", Source: bomb(), Paths: []string{}},
	{Name: "merge key", Source: "x: &x {call: f}\ntasks: {a: {<<: *x}}\n", Paths: []string{"tasks.a", "x"}},
	{Name: "weights", Source: "weightRule: heavy\ntasks: {a: {}}", Paths: []string{"weightRule"}},
}

func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n")
	for i := 1; i < 9; i++ {
		p := string(rune('0' + i - 1))
		b.WriteString("a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.TrimSuffix(strings.Repeat("*a"+p+",", 10), ",") + "]\n")
	}
	return b.String() + "tasks: {x: {input: *a8}}\n"
}
