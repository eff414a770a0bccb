package durable_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

// op is one operation of a random workflow.
type op struct {
	Kind string
	Name string
	N    int
	Ops  []op
}

func randomOps(r *rand.Rand, depth int) []op {
	kinds := []string{"call", "call", "activity", "sleep", "receive", "record", "select", "chance", "patch", "annotate", "close"}
	if depth > 0 {
		kinds = append(kinds, "go", "map", "timeout", "cancel", "tidy", "lock", "child")
	}
	ops := make([]op, 2+r.IntN(5))
	for i := range ops {
		o := op{Kind: kinds[r.IntN(len(kinds))], Name: fmt.Sprintf("n%d", r.IntN(4)), N: r.IntN(4)}
		switch o.Kind {
		case "go", "map", "timeout", "cancel", "tidy", "lock":
			o.Ops = randomOps(r, depth-1)
		}
		ops[i] = o
	}
	return ops
}

// interpreter is a workflow that does what its input says.
type interpreter struct {
	mu    durable.Mutex
	trace []string
}

func (w *interpreter) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

func (w *interpreter) run(ctx durable.Context, ops []op) error {
	var going []durable.Future[int]
	for _, o := range ops {
		var err error
		switch o.Kind {
		case "call":
			_, err = durable.Call[int](ctx, fn(o.Name), o.N, nil).Get()
		case "activity":
			_, err = durable.Activity[int](ctx, o.Name, o.N, nil).Get()
		case "child":
			_, err = durable.Child[int](ctx, fn(o.Name), o.N, nil).Get()
		case "sleep":
			err = ctx.Sleep(time.Duration(o.N) * time.Minute)
		case "receive":
			_, err = durable.Receive[int](ctx, o.Name, time.Duration(o.N)*time.Hour).Get()
		case "record":
			_, err = durable.SideEffect(ctx, o.Name, func() int { return o.N })
		case "select":
			a, b := durable.Call[int](ctx, fn(o.Name), o.N, nil), ctx.Timer(time.Hour)
			w.say("first %d at %v", durable.Select(a, b), ctx.Now())
			a.Close()
			b.Close()
		case "close":
			durable.Receive[int](ctx, o.Name, 0).Close()
		case "chance":
			_, err = durable.Call[int](ctx, fn(fmt.Sprintf("r%d", ctx.Random().IntN(5))), ctx.UUID(), nil).Get()
		case "patch":
			w.say("patched %v", ctx.Patched(o.Name))
		case "annotate":
			ctx.Annotate(o.Name, nil)
		case "go":
			going = append(going, durable.Go(ctx, func(ctx durable.Context) (int, error) { return o.N, w.run(ctx, o.Ops) }))
		case "map":
			_, err = durable.Map(ctx, make([]int, 1+o.N), o.N, func(ctx durable.Context, i, _ int) (int, error) { return i, w.run(ctx, o.Ops) })
		case "timeout":
			sub, cancel := ctx.WithTimeout(time.Hour)
			err = w.run(sub, o.Ops)
			cancel()
		case "cancel":
			sub, cancel := ctx.WithCancel()
			f := durable.Go(ctx, func(durable.Context) (int, error) { return 0, w.run(sub, o.Ops) })
			_ = ctx.Sleep(time.Minute)
			cancel()
			err = f.Err()
		case "tidy":
			err = w.run(ctx.Disconnected(), o.Ops)
		case "lock":
			w.mu.Lock(ctx)
			err = w.run(ctx, o.Ops)
			w.mu.Unlock(ctx)
		}
		w.say("%s: %v", o.Kind, err)
		if err != nil && o.N == 3 {
			return err
		}
	}
	for _, f := range going {
		_, err := f.Get()
		w.say("came: %v", err)
	}
	return nil
}

// A random workflow under random outcomes gives the same commands, event by event, whether its state lived all the time, was
// folded anew from the log at any point, or both.
func TestFoldingAnewGivesTheSameCommands(t *testing.T) {
	code := durable.Workflow("random", "1", func(ctx durable.Context, in []op) ([]string, error) {
		w := new(interpreter)
		err := w.run(ctx, in)
		return w.trace, err
	})
	rounds := 120
	if testing.Short() {
		rounds = 50
	}
	events, ends := 0, map[workflow.CommandKind]int{}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 0))
		h := begin(t, code, randomOps(r, 3))
		for h.end == nil && len(h.log) < 300 {
			switch {
			case r.IntN(100) == 0:
				h.cancel()
			case r.IntN(20) == 0:
				require.NoError(t, h.event(workflow.Event{Kind: workflow.SignalReceived, Name: "n1"}))
			case r.IntN(30) == 0: // the engine lets go of the state, and folds the log
				h.release()
				for i := range h.log {
					var commands []workflow.Command
					var err error
					h.state, commands, err = h.program.Step(h.state, &h.log[i])
					require.NoError(t, err, "seed %d", seed)
					require.Equal(t, show(h.commands[i]), show(commands), "seed %d, event %d", seed, i+1)
				}
			default:
				require.NotEmpty(t, h.open, "seed %d: the workflow waits for nothing", seed)
				c := h.open[r.IntN(len(h.open))]
				if c.Kind != workflow.CommandRecord && c.Kind != workflow.CommandTimer && r.IntN(10) == 0 {
					h.fail(c.Step, "Bad")
				} else {
					h.succeed(c.Step, r.IntN(10))
				}
			}
		}
		h.refold(h.program)
		events += len(h.log)
		if h.end != nil {
			ends[h.end.Kind]++
		}
	}
	t.Logf("%d executions, %d events, ends %v", rounds, events, ends)
	require.Greater(t, ends[workflow.CommandSucceed], rounds/10)
	require.Greater(t, ends[workflow.CommandFail], rounds/20)
}
