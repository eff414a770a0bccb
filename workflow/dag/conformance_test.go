package dag_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/programtest"
)

const everything = `
description: one of each
tasks:
  create: {call: create, setup: true}
  split: {call: split, needs: [create], input: {dir: {from: input.dir}}}
  count:
    call: count
    needs: [split]
    expand: {over: {from: tasks.split.output.files}, concurrency: 2}
    input: {file: {from: item}, at: {from: index}}
    retry: [{max: 2, interval: 1s}]
    catch: [{failures: [Torn], output: {torn: {from: failure.cause}}}]
  reviewed: {signal: review, needs: [split], timeout: 1h}
  ready: {poke: {call: ready, every: 5s, for: 1m}, needs: [split]}
  pause: {wait: {for: 10s}, needs: [ready]}
  later: {wait: {until: {from: input.at}}, needs: [create]}
  side: {activity: paint, needs: [create], heartbeat: 30s}
  child: {workflow: other, needs: [create], onClose: cancel}
  kind:
    needs: [split]
    choose:
      - when: {value: {from: tasks.split.output.n}, greater: 2}
        tasks: [many]
      - tasks: [few]
  many: {call: many, needs: [kind]}
  few: {call: few, needs: [kind]}
  joined: {needs: [many, few], rule: none_failed_min_one_success, input: {join: [{from: tasks.kind.state}, "!"]}}
  answer: {call: pick, branch: true, needs: [create]}
  left: {needs: [answer]}
  right: {needs: [answer]}
  grouped:
    needs: [create]
    tasks:
      a: {call: a}
      b: {call: b, needs: [a]}
  each:
    needs: [split]
    expand: {over: {from: tasks.split.output.files}}
    tasks:
      one: {call: one}
    output: {from: tasks.one.output}
  race: {needs: [side, child, grouped], await: 1, cancelRest: true}
  broken: {call: broken, needs: [create]}
  mended: {needs: [broken], rule: one_failed, input: {from: tasks.broken.failure.name}}
  undo: {call: undo, teardown: [create], needs: [count, reviewed, pause, later, joined, left, right, each, race, mended]}
output: {counts: {from: tasks.count.output}, mended: {from: tasks.mended.output}, joined: {from: tasks.joined.output}}
`

// answers are those of the functions of everything.
func answers(c workflow.Command, attempt int) programtest.Outcome {
	node := c.Node
	switch {
	case node == "split":
		return programtest.Outcome{Output: workflow.JSON(`{"n": 3, "files": ["x", "y", "z"]}`)}
	case c.Step == "count[1]":
		return programtest.Outcome{Failure: &workflow.Failure{Name: "Torn", Cause: "page 7"}}
	case node == "ready" && !strings.HasSuffix(c.Step, "~3"):
		return programtest.Outcome{Output: workflow.JSON(`false`)}
	case node == "answer":
		return programtest.Outcome{Output: workflow.JSON(`"left"`)}
	case node == "broken":
		return programtest.Outcome{Failure: &workflow.Failure{Name: "Boom", Cause: "as always", Status: 500}}
	}
	return programtest.Outcome{Output: c.Payload}
}

func TestConformance(t *testing.T) {
	programtest.Run(t, programtest.Harness{
		Language: dag.Language(),
		Cases: []programtest.Case{
			{Name: "chain", Source: chain(3), Input: workflow.JSON(`{"n": 1}`)},
			{Name: "everything", Source: everything, Input: workflow.JSON(`{"dir": "texts", "at": "2026-02-01T00:00:00Z"}`), Answer: answers,
				Signals: []programtest.Signal{{Name: "review", Value: workflow.JSON(`"good"`)}}},
			{Name: "everything, no signal", Source: everything, Input: workflow.JSON(`{"dir": "texts", "at": "2026-02-01T00:00:00Z"}`), Answer: answers},
			{Name: "wide", Source: wide, Input: workflow.JSON(items(40))},
			{Name: "fails fast", Source: "failFast: true\n" + everything, Input: workflow.JSON(`{"dir": "texts"}`), Answer: answers},
		},
		Invalid: invalid,
		Grow: func(n int) programtest.Case {
			return programtest.Case{Name: fmt.Sprint(n), Source: wide, Input: workflow.JSON(items(n))}
		},
	})
}

func chain(n int) string {
	var b strings.Builder
	b.WriteString("tasks:\n")
	for i := range n {
		fmt.Fprintf(&b, "  t%05d: {call: step", i)
		if i > 0 {
			fmt.Fprintf(&b, ", needs: [t%05d], input: {from: tasks.t%05d.output}", i-1, i-1)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

const wide = `
tasks:
  all: {call: work, expand: {over: {from: input}, concurrency: 10}, input: {item: {from: item}}}
  sum: {call: sum, needs: [all], input: {from: tasks.all.output}}
`

func items(n int) string {
	b := []byte("[")
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%d", i)
	}
	return string(append(b, ']'))
}

// play compiles and plays a definition.
func play(t *testing.T, c programtest.Case) *programtest.Record {
	t.Helper()
	d := &workflow.Definition{Language: "dag", Source: c.Source}
	d.Ref.Name = "test"
	p, err := dag.Language().Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return programtest.Play(t, p, d, c)
}
