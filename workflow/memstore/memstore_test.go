package memstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/memstore"
	"github.com/joinery/faas/workflow/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(testing.TB) workflow.Store { return memstore.New(nil) }

func TestConformance(t *testing.T) { storetest.Run(t, storetest.Harness{Open: open}) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(tb testing.TB) workflow.Store { return wrapped{open(tb)} }})
}

type wrapped struct{ workflow.Store }

func execution(i int, status workflow.Status) *workflow.Batch {
	x := workflow.ExecutionRef{Namespace: "default", ID: fmt.Sprint("x", i), Run: 1}
	return &workflow.Batch{
		Execution: x, Record: &workflow.Execution{Ref: x, Status: status},
		Events: []workflow.Event{{Seq: 1, Kind: workflow.ExecutionStarted}},
	}
}

// TestMaxClosed: the closed executions are bounded, the open ones are not.
func TestMaxClosed(t *testing.T) {
	const most, n = 640, 5000
	s := memstore.New(&memstore.Options{MaxClosed: most})
	defer s.Close()
	for i := range n {
		require.NoError(t, s.Append(t.Context(), execution(i, workflow.StatusSucceeded)))
		require.NoError(t, s.Append(t.Context(), execution(n+i, workflow.StatusRunning)))
	}
	closed, open := 0, 0
	for q := (workflow.ExecutionQuery{Limit: workflow.MaxPage}); ; {
		page, err := s.List(t.Context(), q)
		require.NoError(t, err)
		for _, x := range page.Executions {
			if x.Status.Open() {
				open++
			} else {
				closed++
			}
		}
		if q.Token = page.Next; q.Token == "" {
			break
		}
	}
	assert.LessOrEqual(t, closed, most)
	assert.Greater(t, closed, most/2)
	assert.Equal(t, n, open)
	_, err := s.Get(t.Context(), execution(n-1, "").Execution)
	assert.NoError(t, err, "the last one closed is there")
}

func TestAppendsToALogAllocateLittle(t *testing.T) {
	s := memstore.New(nil)
	defer s.Close()
	b := execution(0, workflow.StatusRunning)
	require.NoError(t, s.Append(t.Context(), b))
	b.Record, b.Events[0].Kind = nil, workflow.StepSucceeded
	ctx := t.Context()
	for range 1000 { // the log has its room
		b.After++
		b.Events[0].Seq++
		require.NoError(t, s.Append(ctx, b))
	}
	assert.Less(t, testing.AllocsPerRun(200, func() {
		b.After++
		b.Events[0].Seq++
		if err := s.Append(ctx, b); err != nil {
			t.Error(err)
		}
	}), 1.0)
}

func BenchmarkStore(b *testing.B) { storetest.Bench(b, storetest.Harness{Open: open}) }
