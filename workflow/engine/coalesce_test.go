package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
)

// slowStore makes an append wait, so that facts gather for the next turn.
type slowStore struct {
	workflow.Store
	entered, open chan struct{}
}

func (s *slowStore) Append(ctx context.Context, b *workflow.Batch) error {
	if b.After != 0 {
		select {
		case s.entered <- struct{}{}:
		default:
		}
		<-s.open
	}
	return s.Store.Append(ctx, b)
}

// TestFactsOfOneTurn: many outcomes and signals come while a batch is on its way to the disk. The first of them ends the
// execution; the others are too late, and nothing comes of them.
func TestFactsOfOneTurn(t *testing.T) {
	s := &slowStore{entered: make(chan struct{}, 1), open: make(chan struct{})}
	var called atomic.Int64
	f := setUp(t, scripts{"first": script(func(events []workflow.Event) []workflow.Command {
		ended := 0
		for _, e := range events {
			if e.Kind == workflow.StepSucceeded {
				ended++
			}
		}
		switch {
		case len(events) == 1:
			var calls []workflow.Command
			for _, step := range []string{"a", "b", "c", "d", "e"} {
				calls = append(calls, callNext(step, `1`))
			}
			return calls
		case ended == 2:
			return succeed(`"two"`)
		}
		return nil
	})}, func(c *engine.Config) {
		s.Store = c.Store
		c.Store = s
		c.Functions = faas.InvokerFunc(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
			defer called.Add(1)
			return plusOne(ctx, req)
		})
	})
	ref, err := f.Start(t.Context(), named("first"))
	require.NoError(t, err)
	<-s.entered // the first outcome's turn; the others gather
	require.Eventually(t, func() bool { return called.Load() == 5 }, 10*time.Second, time.Millisecond)
	signalled := make(chan error, 1)
	go func() { signalled <- f.Signal(t.Context(), ref, "x", workflow.Payload{}) }()
	time.AfterFunc(10*time.Millisecond, func() { close(s.open) }) // before or after the signal: both are right
	if err := <-signalled; err != nil {
		assert.ErrorIs(t, err, faas.ErrConflict)
	}
	x := f.wait(t, ref)
	assert.Equal(t, `"two"`, text(t, x.Output))
	log := history(t, f, ref)
	for i, e := range log {
		require.Equal(t, i == len(log)-1, e.Kind.Closes(), kinds(log))
	}
}

func TestFirstOfManyWins(t *testing.T) {
	f := setUp(t, scripts{"first": on(func(e *workflow.Event) []workflow.Command {
		switch e.Kind {
		case workflow.ExecutionStarted:
			var calls []workflow.Command
			for _, step := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
				calls = append(calls, callNext(step, `1`))
			}
			return calls
		case workflow.StepSucceeded:
			return []workflow.Command{{Kind: workflow.CommandSucceed, Payload: e.Payload}}
		}
		return nil
	})}, nil)
	for range 500 {
		require.Equal(t, workflow.StatusSucceeded, f.run(t, named("first")).Status)
	}
}
