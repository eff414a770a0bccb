package durable_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
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
			if c.Kind.Opens() {
				open = append(open, c)
			}
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
	}{{sequence, 5}, {sequence, 1000}, {parallel, 100}, {parallel, 10_000}, {mapped, 1_000}, {mapped, 10_000}, {mapped, 100_000}} {
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

// TestAStepCostsTheSameHoweverManyWentBefore compares allocations at the beginning and at the end of 60,000 events.
func TestAStepCostsTheSameHoweverManyWentBefore(t *testing.T) {
	h := begin(t, sequence, 200_000)
	open, seq := h.open[0], uint64(1)
	var notes []string
	step := func() {
		seq++
		e := outcome(open, nil, nil)
		e.Seq, e.Time, e.Payload = seq, zero, value
		next, commands, err := h.program.Step(h.state, &e)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range commands {
			if h.state, open = next, c; c.Kind == workflow.CommandAnnotate {
				notes = append(notes, c.Note)
			}
		}
	}
	first := testing.AllocsPerRun(1000, step)
	for seq < 60_000 {
		step()
	}
	last := testing.AllocsPerRun(1000, step)
	t.Logf("allocations per step: %.1f at first, %.1f after 60,000 events", first, last)
	require.LessOrEqual(t, last, first+1)
	require.Len(t, notes, 1, "people are told once that the log is long")
	require.Contains(t, notes[0], "the log has 50000 events")
}

// BenchmarkEngine runs executions on a real engine with a store in memory, one after the other. A transition is an outcome
// and what follows from it.
func BenchmarkEngine(b *testing.B) {
	for _, c := range []struct {
		code durable.Code
		n    int
	}{{sequence, 5}, {parallel, 100}} {
		d := c.code.Definition()
		b.Run(fmt.Sprintf("%s-%d", d.Ref.Name, c.n), func(b *testing.B) {
			l, err := durable.New(nil, c.code)
			require.NoError(b, err)
			languages, err := workflow.NewLanguages(l)
			require.NoError(b, err)
			registry, err := memdefinitions.New(languages)
			require.NoError(b, err)
			answer := faas.InvokerFunc(func(context.Context, *faas.Request) (*faas.Response, error) {
				return &faas.Response{Body: faas.String("1")}, nil
			})
			store := memstore.New(nil)
			e, err := engine.New(engine.Config{Functions: answer, Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Express: store})
			require.NoError(b, err)
			require.NoError(b, e.Recover(b.Context()))
			d.Durability = workflow.Express
			_, err = registry.Register(b.Context(), d)
			require.NoError(b, err)
			input := workflow.JSON(fmt.Sprint(c.n))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				ref, err := e.Start(b.Context(), workflow.StartRequest{Workflow: d.Ref, Input: input})
				if err != nil {
					b.Fatal(err)
				}
				if x, err := e.Wait(b.Context(), ref); err != nil || x.Status != workflow.StatusSucceeded {
					b.Fatal(x, err)
				}
			}
			runtime.ReadMemStats(&after)
			transitions := float64(b.N * (c.n + 1))
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/transitions, "allocs/transition")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/transitions, "ns/transition")
			require.NoError(b, e.Close())
			require.NoError(b, registry.Close())
			require.NoError(b, store.Close())
		})
	}
}

// BenchmarkManyExecutions folds the logs of executions that wait, as a recovery does, and holds them all.
func BenchmarkManyExecutions(b *testing.B) {
	const n = 20_000
	code := durable.Workflow("waits", "1", func(ctx durable.Context, in int) (int, error) {
		for range 4 {
			if err := durable.Call[any](ctx, fn("f"), in, nil).Err(); err != nil {
				return 0, err
			}
		}
		return 0, ctx.Sleep(time.Hour)
	})
	p := compile(b, nil, code)
	log := []workflow.Event{{Seq: 1, Time: zero, Kind: workflow.ExecutionStarted, Payload: value, Start: start(code)}}
	for i, step := range []string{"f", "f#2", "f#3", "f#4"} {
		log = append(log, workflow.Event{Seq: uint64(i + 2), Time: zero, Kind: workflow.StepSucceeded, Step: step, Node: "f", Payload: value})
	}
	var bytes, stack float64
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		states := make([]workflow.State, n)
		for i := range states {
			for j := range log {
				var err error
				if states[i], _, err = p.Step(states[i], &log[j]); err != nil {
					b.Fatal(err)
				}
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		bytes = float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse) / n
		stack = float64(after.StackInuse-before.StackInuse) / n
		for _, s := range states {
			p.(workflow.Releaser).Release(s)
		}
	}
	b.ReportMetric(bytes, "B/execution")
	b.ReportMetric(stack, "stack-B/execution")
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "executions/s")
}
