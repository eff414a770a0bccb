package dag_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/programtest"
)

// fan is n calls at once, then one that joins.
func fan(n int) string {
	var b strings.Builder
	b.WriteString("tasks:\n")
	names := make([]string, n)
	for i := range n {
		names[i] = fmt.Sprintf("t%03d", i)
		fmt.Fprintf(&b, "  %s: {call: work}\n", names[i])
	}
	fmt.Fprintf(&b, "  z: {needs: [%s], input: done}\n", strings.Join(names, ", "))
	return b.String()
}

func refold(tb testing.TB, source string) (workflow.Program, []workflow.Event) {
	d := &workflow.Definition{Language: "dag", Source: source}
	p, err := dag.Language().Compile(d)
	require.NoError(tb, err)
	return p, programtest.Play(tb, p, d, programtest.Case{Input: workflow.JSON(`{"n": 1}`)}).Events
}

func foldAll(tb testing.TB, p workflow.Program, events []workflow.Event) {
	var s workflow.State
	var err error
	for i := range events {
		if s, _, err = p.Step(s, &events[i]); err != nil {
			tb.Fatal(err)
		}
	}
}

func BenchmarkFold(b *testing.B) {
	for name, source := range map[string]string{"sequence-5": chain(5), "sequence-10000": chain(10_000), "parallel-100": fan(100)} {
		b.Run(name, func(b *testing.B) {
			p, events := refold(b, source)
			b.ReportAllocs()
			for b.Loop() {
				foldAll(b, p, events)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		source := chain(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := dag.Language().Compile(&workflow.Definition{Source: source}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An event of a small execution allocates its commands and little else; the engine has 15 for all of a transition.
func TestAnEventAllocatesLittle(t *testing.T) {
	for name, source := range map[string]string{"sequence": chain(5), "parallel": fan(100)} {
		p, events := refold(t, source)
		perEvent := testing.AllocsPerRun(20, func() { foldAll(t, p, events) }) / float64(len(events))
		require.Less(t, perEvent, 3.0, name)
	}
}
