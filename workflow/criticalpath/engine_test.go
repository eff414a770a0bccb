package criticalpath_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// cloud runs functions whose instances die as soon as they are idle, unless they were prewarmed. It is a
// faas.Invoker and an engine.Prewarmer.
type cloud struct {
	mu   sync.Mutex
	warm map[string]int
	cold map[string]int // starts that had to wait
	why  []string
}

const (
	runs   = 10 * time.Second
	starts = 2 * time.Second
)

func (c *cloud) Invoke(_ context.Context, req *faas.Request) (*faas.Response, error) {
	c.mu.Lock()
	warm := c.warm[req.Function.Name] > 0
	if warm {
		c.warm[req.Function.Name]--
	} else {
		c.cold[req.Function.Name]++
	}
	c.mu.Unlock()
	if !warm {
		time.Sleep(starts)
		req.Timing.Add(faas.PhaseStart, starts)
	}
	time.Sleep(runs)
	req.Timing.Add(faas.PhaseRun, runs)
	return &faas.Response{Body: faas.String(`{}`)}, nil
}

func (c *cloud) Prewarm(_ context.Context, p workflow.Prewarm) error {
	time.Sleep(starts)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warm[p.Function.Name]++
	c.why = append(c.why, p.Why)
	return nil
}

// In the engine, over the language dag: what the first execution waits for, the later ones find warm. A new engine
// learns it from the store.
func TestPrewarmsThroughTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		languages, err := workflow.NewLanguages(dag.Language())
		require.NoError(t, err)
		registry, err := memdefinitions.New(languages)
		require.NoError(t, err)
		_, err = registry.Register(t.Context(), workflow.Definition{Ref: faas.Ref{Name: "w"}, Language: "dag",
			Source: "tasks: {a: {call: a}, b: {call: b, needs: [a]}, c: {call: c, needs: [b]}}"})
		require.NoError(t, err)
		store := memstore.New(nil)
		defer store.Close()
		functions := &cloud{warm: map[string]int{}, cold: map[string]int{}}
		for range 2 {
			eng, err := engine.New(engine.Config{Functions: functions, Prewarm: functions, Registry: registry, Languages: languages, Store: store,
				Scheduler: newScheduler(t, criticalpath.Config{})})
			require.NoError(t, err)
			require.NoError(t, eng.Recover(t.Context()))
			for range 3 {
				ref, err := eng.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "w"}})
				require.NoError(t, err)
				x, err := eng.Wait(t.Context(), ref)
				require.NoError(t, err)
				require.Equal(t, workflow.StatusSucceeded, x.Status)
			}
			require.NoError(t, eng.Close())
		}
		assert.Equal(t, map[string]int{"a": 6, "b": 1, "c": 1}, functions.cold, "nothing comes before a; b and c are cold once")
		require.Len(t, functions.why, 10)
		assert.Regexp(t, `^c is expected in [0-9.]+s \(100 % sure\), its cold start takes [0-9.]+s \(p95 of 1\)$`, functions.why[1])
	})
}
