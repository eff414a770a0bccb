package criticalpath_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// stage drives a scheduler by hand.
type stage struct {
	*criticalpath.Scheduler
	now     time.Time
	running []*workflow.ReadyStep
	wake    time.Time
}

func newStage(t testing.TB, c criticalpath.Config) *stage {
	s, err := criticalpath.New(c)
	require.NoError(t, err)
	return &stage{Scheduler: s, now: began}
}

func (s *stage) ready(workflowName, step string, change func(*workflow.ReadyStep)) *workflow.ReadyStep {
	r := &workflow.ReadyStep{
		Execution: workflow.ExecutionRef{Namespace: "default", ID: step, Run: 1},
		Workflow:  faas.Ref{Namespace: "default", Name: workflowName, Version: "1"}, Step: step, Node: step,
		Function: faas.Ref{Namespace: "default", Name: "f"}, Attempt: 1, Slots: 1,
	}
	if change != nil {
		change(r)
	}
	s.Ready(s.now, r)
	s.next()
	return r
}

func (s *stage) next() {
	var d workflow.Decision
	s.Next(s.now, &d)
	s.running = append(s.running, d.Run...)
	s.wake = d.Wake
}

func (s *stage) done() {
	first := s.running[0]
	s.running = s.running[1:]
	s.Done(s.now, first, workflow.StepRecord{Workflow: first.Workflow, Node: first.Node, Function: first.Function, Run: time.Second})
	s.next()
}

func (s *stage) names() (names []string) {
	for _, r := range s.running {
		names = append(names, r.Step)
	}
	return names
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := criticalpath.New(criticalpath.Config{
		Limit: -1, Aging: -1, Sure: math.NaN(), Retries: criticalpath.Budget{PerSecond: 0, Burst: 3},
		Pools:     map[string]int{"A": 1, "p": 0},
		Functions: map[faas.Ref]int{{Name: "f", Version: "3"}: 1, {Name: "g"}: 0},
		Workflows: map[faas.Ref]int{{}: 1},
	})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"limit", "aging", "sure", "retries", `"A"`, "pool p", "f@3", "function default/g", `"name"`} {
		assert.ErrorContains(t, err, field)
	}
	_, err = criticalpath.New(criticalpath.Config{Retries: criticalpath.Budget{PerSecond: 1}})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
}

func TestLimitsOfFunctionsAndWorkflows(t *testing.T) {
	s := newStage(t, criticalpath.Config{
		Functions: map[faas.Ref]int{{Name: "g"}: 1},
		Workflows: map[faas.Ref]int{{Namespace: "default", Name: "w"}: 2},
	})
	g := func(r *workflow.ReadyStep) { r.Function = faas.Ref{Namespace: "default", Name: "g", Version: "7"} }
	s.ready("v", "g-1", g)
	second := s.ready("v", "g-2", g)
	for i := range 3 {
		s.ready("w", fmt.Sprint("w-", i), nil)
	}
	third := s.ready("w", "w-3", nil)
	assert.Equal(t, []string{"g-1", "w-0", "w-1"}, s.names())
	assert.Equal(t, "function default/g: 1 of 1 steps are running", s.Explain(s.now, second))
	assert.Equal(t, "workflow default/w: 2 of 2 steps are running", s.Explain(s.now, third))
	s.done()
	s.done()
	assert.Equal(t, []string{"w-1", "g-2", "w-2"}, s.names())
}

func TestFairBetweenWorkflows(t *testing.T) {
	s := newStage(t, criticalpath.Config{Limit: 4})
	for i := range 8 {
		s.ready("greedy", fmt.Sprint("g-", i), nil)
	}
	for i := range 2 {
		s.ready("late", fmt.Sprint("l-", i), nil)
	}
	s.done()
	s.done()
	assert.Equal(t, []string{"g-2", "g-3", "l-0", "l-1"}, s.names())
}

func TestOlderExecutionGoesOnBeforeANewerBegins(t *testing.T) {
	s := newStage(t, criticalpath.Config{Limit: 1})
	two := &workflow.Graph{Nodes: []workflow.Node{{Name: "a", Function: faas.Ref{Name: "a"}}, {Name: "b", Function: faas.Ref{Name: "b"}}},
		Edges: []workflow.Edge{{From: "a", To: "b"}}}
	s.Describe(faas.Ref{Namespace: "default", Name: "w", Version: "1"}, two)
	at := func(execution, node string) func(*workflow.ReadyStep) {
		return func(r *workflow.ReadyStep) { r.Execution.ID, r.Node = execution, node }
	}
	s.ready("w", "old-a", at("old", "a"))
	s.now = s.now.Add(3 * time.Second)
	s.ready("w", "new-a", at("new", "a"))
	s.ready("w", "old-b", at("old", "b"))
	s.done()
	assert.Equal(t, []string{"old-b"}, s.names())
}

func TestRetryBudget(t *testing.T) {
	s := newStage(t, criticalpath.Config{Retries: criticalpath.Budget{PerSecond: 2, Burst: 2}})
	again := func(r *workflow.ReadyStep) { r.Attempt = 2 }
	var last *workflow.ReadyStep
	for i := range 4 {
		last = s.ready("w", fmt.Sprint("r-", i), again)
	}
	assert.Equal(t, []string{"r-0", "r-1"}, s.names(), "the burst")
	assert.Equal(t, "retry budget of workflow default/w is used up: 2 retries a second", s.Explain(s.now, last))
	s.ready("w", "first", nil)
	s.ready("v", "other", again)
	assert.Equal(t, []string{"r-0", "r-1", "first", "other"}, s.names(), "first attempts and other workflows are free of it")
	for want := 5; want <= 6; want++ {
		require.Equal(t, began.Add(time.Duration(want-4)*time.Second/2), s.wake)
		s.now = s.wake
		s.next()
		require.Len(t, s.running, want)
	}
	assert.Zero(t, s.wake)
}

func TestHistoryFollowsAChange(t *testing.T) {
	s := newStage(t, criticalpath.Config{Limit: 1})
	observe := func(node string, run time.Duration, times int) {
		for range times {
			s.Observe(workflow.StepRecord{Workflow: faas.Ref{Namespace: "default", Name: "w", Version: "1"}, Node: node, Run: run})
		}
	}
	first := func() string { // of two steps that come at once behind another
		s.ready("w", "gate", nil)
		for _, node := range []string{"x", "y"} {
			s.ready("w", node, nil)
		}
		s.done()
		name := s.running[0].Step
		s.done()
		s.done()
		return name
	}
	observe("x", time.Second, 5000)
	observe("y", 10*time.Second, 5000)
	assert.Equal(t, "y", first())
	observe("x", 100*time.Second, 2000)
	assert.Equal(t, "x", first())
}
