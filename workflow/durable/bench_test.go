package durable_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

// sequence calls one function after the other, as many as its input says.
var sequence = durable.Workflow("sequence", "1", func(ctx durable.Context, in int) (int, error) {
	for i := range in {
		if _, err := durable.Call[int](ctx, fn("next"), i, nil).Get(); err != nil {
			return 0, err
		}
	}
	return in, nil
})

// parallel calls a function as many times as its input says, all at once.
var parallel = durable.Workflow("parallel", "1", func(ctx durable.Context, in int) (int, error) {
	futures := make([]durable.Future[int], in)
	for i := range futures {
		futures[i] = durable.Call[int](ctx, fn("next"), i, nil)
	}
	sum := 0
	for _, f := range futures {
		n, err := f.Get()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
})

// mapped does the same in coroutines.
var mapped = durable.Workflow("mapped", "1", func(ctx durable.Context, in int) (int, error) {
	out, err := durable.Map(ctx, make([]int, in), 100, func(ctx durable.Context, i, _ int) (int, error) {
		return durable.Call[int](ctx, fn("next"), i, nil).Get()
	})
	return len(out), err
})

var value = workflow.JSON("1")

// pump drives one execution by its own commands, each answered at once, and returns the number of events.
func pump(b *testing.B, p workflow.Program, code durable.Code, n int, each func(event int)) int {
	e := workflow.Event{Seq: 1, Time: zero, Kind: workflow.ExecutionStarted, Payload: workflow.JSON(fmt.Sprint(n)), Start: start(code)}
	var s workflow.State
	var open []workflow.Command
	for {
		next, commands, err := p.Step(s, &e)
		if err != nil {
			b.Fatal(err)
		}
		s = next
		if each != nil {
			each(int(e.Seq))
		}
		for _, c := range commands {
			if c.Kind.Ends() {
				require.Equal(b, workflow.CommandSucceed, c.Kind)
				p.(workflow.Releaser).Release(s)
				return int(e.Seq)
			}
			open = append(open, c)
		}
		c := &open[0]
		e = workflow.Event{Seq: e.Seq + 1, Time: zero, Kind: workflow.StepSucceeded, Step: c.Step, Node: c.Node, Name: "default/next", Attempt: 1, Payload: value}
		open = open[1:]
	}
}

func BenchmarkProgram(b *testing.B) {
	for _, c := range []struct {
		code durable.Code
		n    int
	}{{sequence, 5}, {sequence, 1000}, {parallel, 100}, {parallel, 10_000}, {mapped, 10_000}} {
		d := c.code.Definition()
		b.Run(fmt.Sprintf("%s-%d", d.Ref.Name, c.n), func(b *testing.B) {
			p := compile(b, nil, c.code)
			b.ReportAllocs()
			events := 0
			for b.Loop() {
				events += pump(b, p, c.code, c.n, nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/event")
		})
	}
}

// BenchmarkRecovery folds a log of 100,000 events anew.
func BenchmarkRecovery(b *testing.B) {
	const n = 100_000
	p := compile(b, nil, sequence)
	log := []workflow.Event{{Seq: 1, Time: zero, Kind: workflow.ExecutionStarted, Payload: workflow.JSON(fmt.Sprint(n)), Start: start(sequence)}}
	for i := 1; i < n; i++ {
		step := fmt.Sprintf("next#%d", i)
		if i == 1 {
			step = "next"
		}
		log = append(log, workflow.Event{Seq: uint64(i + 1), Time: zero, Kind: workflow.StepSucceeded, Step: step, Node: "next", Payload: value})
	}
	for b.Loop() {
		var s workflow.State
		for i := range log {
			next, _, err := p.Step(s, &log[i])
			if err != nil {
				b.Fatal(err)
			}
			s = next
		}
		p.(workflow.Releaser).Release(s)
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "events/s")
}

// TestAStepCostsTheSameHoweverManyWentBefore compares allocations at the beginning and at the end of 100,000 events.
func TestAStepCostsTheSameHoweverManyWentBefore(t *testing.T) {
	h := begin(t, sequence, 100_000)
	allocations := func() float64 {
		return testing.AllocsPerRun(1000, func() {
			c := h.open[0]
			h.open, h.log, h.commands = h.open[:0], h.log[:0], h.commands[:0]
			e := outcome(c, nil, nil)
			e.Seq, e.Time, e.Payload = 2, zero, value
			next, commands, err := h.program.Step(h.state, &e)
			if err != nil {
				t.Fatal(err)
			}
			h.state, h.open = next, append(h.open, commands...)
		})
	}
	first := allocations()
	for range 48 {
		allocations()
		allocations()
	}
	last := allocations()
	t.Logf("allocations per step: %.1f at first, %.1f after 98,000 events", first, last)
	require.LessOrEqual(t, last, first+1)
}
