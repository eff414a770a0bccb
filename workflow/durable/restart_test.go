package durable_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/durable"
)

// Random workflows run on engines that are stopped at random, with functions that fail at random, signals,
// cancellations and redrives. Each ends, and its history replays.
func TestRandomWorkflowsSurviveRestarts(t *testing.T) {
	code := durable.Workflow("random", "1", func(ctx durable.Context, in []op) ([]string, error) {
		w := new(interpreter)
		err := w.run(ctx, in)
		return w.trace, err
	})
	lang, err := durable.New(nil, code)
	require.NoError(t, err)
	ends, restarts, redriven := map[workflow.Status]int{}, 0, 0
	for seed := range 100 {
		inBubble(t, func(t *testing.T, w *world) {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			for n := range 9 {
				w.function(fmt.Sprintf("%c%d", "nr"[n/5], n%5), func(in string) (string, error) {
					h := fnv.New32()
					h.Write([]byte(in))
					time.Sleep(time.Duration(h.Sum32()%90) * time.Minute)
					if h.Sum32()%7 == 0 {
						return "", fmt.Errorf("Bad")
					}
					return "7", nil
				})
			}
			stop := w.startWithWorkers(code)
			ref := w.begin("random", randomOps(r, 2))
			for i := 0; i < 60 && !w.closed(ref); i++ {
				switch r.IntN(10) {
				case 0:
					restarts++
					stop()
					stop = w.startWithWorkers(code)
				case 1, 2:
					err := w.Signal(t.Context(), ref, fmt.Sprintf("n%d", r.IntN(4)), workflow.JSON("1"))
					if err != nil {
						require.ErrorIs(t, err, faas.ErrConflict)
					}
				default:
					time.Sleep(time.Duration(r.IntN(120)) * time.Minute)
				}
				if i == 40 && !w.closed(ref) {
					w.control(ref, workflow.ActionCancel)
				}
			}
			if w.closed(ref) && w.wait(ref).Status != workflow.StatusSucceeded {
				err := w.Control(t.Context(), ref, workflow.Control{Action: workflow.ActionRedrive})
				if err == nil {
					redriven++
					time.Sleep(24 * time.Hour)
				} else {
					require.ErrorIs(t, err, faas.ErrConflict)
					require.ErrorContains(t, err, "it would end the same way")
				}
			}
			synctest.Wait()
			if !w.closed(ref) { // it waits for a signal
				require.Empty(t, w.blocked(ref))
				w.control(ref, workflow.ActionTerminate)
			}
			ends[w.wait(ref).Status]++
			log := w.log(ref)
			for i, e := range log {
				require.Equal(t, uint64(i+1), e.Seq)
				require.True(t, i < len(log)-1 || e.Kind.Closes())
			}
			require.NoError(t, durable.Replay(lang, log), "seed %d", seed)
			stop()
		})
	}
	t.Log(ends, restarts, "restarts,", redriven, "redriven")
	require.Greater(t, ends[workflow.StatusSucceeded], 20)
	require.Greater(t, restarts, 50)
	require.Greater(t, redriven, 5)
}

func (w *world) closed(ref workflow.ExecutionRef) bool {
	x, err := w.Get(w.t.Context(), ref)
	require.NoError(w.t, err)
	return !x.Status.Open()
}

// startWithWorkers is start with a pull worker for each activity of random workflows.
func (w *world) startWithWorkers(code durable.Code) (stop func()) {
	end := w.start(nil, code)
	e := w.Engine
	ctx, cancel := context.WithCancel(w.t.Context())
	var workers sync.WaitGroup
	for n := range 4 {
		workers.Go(func() {
			for {
				a, err := e.Poll(ctx, fmt.Sprintf("n%d", n), "w")
				if err != nil {
					return
				}
				if err := e.Succeed(ctx, a.Token, workflow.JSON("3")); err != nil && ctx.Err() == nil {
					require.ErrorIs(w.t, err, faas.ErrNotFound)
				}
			}
		})
	}
	return func() {
		cancel()
		workers.Wait()
		end()
	}
}
