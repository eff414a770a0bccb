package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/memstore"
)

func TestReusePolicies(t *testing.T) {
	f := setUp(t, scripts{"w": single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "go"}), "bad": single(callNext("a", `x`))}, nil)
	start := func(name, input string, reuse workflow.ReusePolicy) (workflow.ExecutionRef, error) {
		return f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: name}, ID: "x", Input: workflow.JSON(input), Reuse: reuse})
	}
	first, err := start("w", `1`, "")
	require.NoError(t, err)
	assert.Equal(t, "default/x#1", first.String())
	again, err := start("w", `1`, "")
	require.NoError(t, err, "the same start may be repeated")
	assert.Equal(t, first, again)
	_, err = start("w", `2`, workflow.ReuseClosed)
	assert.ErrorIs(t, err, faas.ErrAlreadyExists)
	_, err = start("w", `2`, "odd")
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)

	second, err := start("w", `2`, workflow.ReuseTerminate)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), second.Run)
	assert.Equal(t, workflow.StatusTerminated, f.wait(t, first).Status)
	require.NoError(t, f.Signal(t.Context(), workflow.ExecutionRef{ID: "x"}, "go", workflow.Payload{}), "run 0 is the latest")
	assert.Equal(t, workflow.StatusSucceeded, f.wait(t, second).Status)

	_, err = start("bad", `1`, "")
	assert.ErrorIs(t, err, faas.ErrAlreadyExists)
	_, err = start("bad", `1`, workflow.ReuseUnsuccessful)
	assert.ErrorIs(t, err, faas.ErrAlreadyExists)
	third, err := start("bad", `1`, workflow.ReuseClosed)
	require.NoError(t, err)
	assert.Equal(t, workflow.StatusFailed, f.wait(t, third).Status)
	fourth, err := start("bad", `1`, workflow.ReuseUnsuccessful)
	require.NoError(t, err)
	assert.Equal(t, uint64(4), fourth.Run)
	page, err := f.List(t.Context(), workflow.ExecutionQuery{ID: "x"})
	require.NoError(t, err)
	assert.Len(t, page.Executions, 4)
}

func TestConcurrentStartsOfOneID(t *testing.T) {
	f := setUp(t, scripts{"w": single(workflow.Command{Kind: workflow.CommandWait, Step: "w", Name: "go"})}, nil)
	var wg sync.WaitGroup
	for i := range 50 {
		for range 4 {
			wg.Go(func() {
				ref, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "w"}, ID: fmt.Sprint("x", i), Input: workflow.JSON(`1`)})
				assert.NoError(t, err)
				assert.Equal(t, uint64(1), ref.Run)
			})
		}
	}
	wg.Wait()
}

func TestStartIsRefused(t *testing.T) {
	f := setUp(t, scripts{"one": tree{1, false}}, nil)
	for name, c := range map[string]struct {
		req  workflow.StartRequest
		want error
	}{
		"no workflow": {named("none"), faas.ErrNotFound},
		"bad id":      {workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, ID: "a/b"}, faas.ErrInvalidArgument},
		"bad timeout": {workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, Timeout: -1}, faas.ErrInvalidArgument},
		"attributes":  {workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, Attributes: map[string]string{"": ""}}, faas.ErrInvalidArgument},
		"no language": {workflow.StartRequest{Definition: &workflow.Definition{Language: "none"}}, faas.ErrUnimplemented},
		"no script":   {workflow.StartRequest{Definition: &workflow.Definition{Language: "script", Source: "none"}}, faas.ErrNotFound},
		"no store":    {workflow.StartRequest{Definition: &workflow.Definition{Language: "script", Source: "one", Durability: workflow.Express}}, faas.ErrUnimplemented},
		"large input": {workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, Input: workflow.Bytes("", make([]byte, 17<<20))}, faas.ErrInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Start(t.Context(), c.req)
			assert.ErrorIs(t, err, c.want)
		})
	}
	x := f.run(t, workflow.StartRequest{Definition: &workflow.Definition{Language: "script", Source: "one"}})
	assert.Equal(t, workflow.StatusSucceeded, x.Status, "an inline definition")
}

func TestLifeCycle(t *testing.T) {
	_, err := engine.New(engine.Config{Retention: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"functions", "registry", "languages", "scheduler", "store", "retention"} {
		assert.ErrorContains(t, err, field)
	}
	f := setUp(t, scripts{"one": tree{1, false}}, nil)
	assert.ErrorIs(t, f.Recover(t.Context()), faas.ErrConflict)
	e, err := engine.New(f.config)
	require.NoError(t, err)
	_, err = e.Start(t.Context(), named("one"))
	assert.ErrorIs(t, err, faas.ErrConflict, "before Recover")
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	require.NoError(t, e.Shutdown(t.Context()))
	_, err = e.Start(t.Context(), named("one"))
	assert.ErrorIs(t, err, faas.ErrClosed)
	_, err = e.Get(t.Context(), workflow.ExecutionRef{ID: "x"})
	assert.ErrorIs(t, err, faas.ErrClosed)
	assert.ErrorIs(t, e.Recover(t.Context()), faas.ErrClosed)
}

func TestShutdownWaitsForFunctions(t *testing.T) {
	g := newGate()
	f := setUp(t, scripts{"seq": tree{2, false}}, func(c *engine.Config) { c.Functions = g })
	ref, err := f.Start(t.Context(), named("seq"))
	require.NoError(t, err)
	<-g.called
	waited := make(chan error)
	go func() {
		_, err := f.Wait(context.WithoutCancel(t.Context()), ref)
		waited <- err
	}()
	down := make(chan error)
	go func() { down <- f.Shutdown(t.Context()) }()
	require.Eventually(t, func() bool {
		err := f.Signal(t.Context(), ref, "no more", workflow.Payload{})
		return errors.Is(err, faas.ErrClosed)
	}, 10*time.Second, time.Millisecond)
	close(g.open)
	require.NoError(t, <-down)
	assert.ErrorIs(t, <-waited, faas.ErrClosed)
	f.restart(t)
	assert.Equal(t, "3", text(t, f.wait(t, ref).Output))
	assert.Equal(t, []string{ref.Key("step-0") + " 1", ref.Key("step-1") + " 2"}, g.headers, "the first was recorded; the second was not begun, but the next engine cannot know")
}

func TestListsOfTwoStores(t *testing.T) {
	f := setUp(t, scripts{"one": tree{1, false}}, func(c *engine.Config) { c.Express = memstore.New(nil) })
	for i := range 57 {
		d := &workflow.Definition{Language: "script", Source: "one"}
		if i%3 == 0 {
			d.Durability = workflow.Express
		}
		f.run(t, workflow.StartRequest{Definition: d})
	}
	for _, limit := range []int{1, 2, 7, 19, 38, 57, 100} {
		seen := map[workflow.ExecutionRef]bool{}
		var last time.Time
		q := workflow.ExecutionQuery{Limit: limit}
		for {
			page, err := f.List(t.Context(), q)
			require.NoError(t, err)
			for _, x := range page.Executions {
				require.False(t, seen[x.Ref])
				seen[x.Ref] = true
				require.False(t, !last.IsZero() && x.Started.After(last), "newest first")
				last = x.Started
			}
			if q.Token = page.Next; q.Token == "" {
				break
			}
			require.Len(t, page.Executions, limit)
		}
		assert.Len(t, seen, 57)
	}
	_, err := f.List(t.Context(), workflow.ExecutionQuery{Token: "nonsense"})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	require.NoError(t, f.Close())
	f.config.Express.Close()
}

func TestHistoryPages(t *testing.T) {
	f := setUp(t, scripts{"seq": tree{20, false}}, nil)
	x := f.run(t, named("seq"))
	for _, limit := range []int{1, 2, 5, 11, 22, 100} {
		for _, reverse := range []bool{false, true} {
			var seqs []uint64
			q := workflow.HistoryQuery{Limit: limit, Reverse: reverse}
			for {
				page, err := f.History(t.Context(), x.Ref, q)
				require.NoError(t, err)
				for _, e := range page.Events {
					seqs = append(seqs, e.Seq)
				}
				if q.Token = page.Next; q.Token == "" {
					break
				}
			}
			require.Len(t, seqs, 22)
			for i, s := range seqs {
				want := uint64(i + 1)
				if reverse {
					want = uint64(22 - i)
				}
				require.Equal(t, want, s)
			}
		}
	}
	_, err := f.History(t.Context(), x.Ref, workflow.HistoryQuery{Limit: -1})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = f.History(t.Context(), x.Ref, workflow.HistoryQuery{Token: "x"})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	_, err = f.History(t.Context(), workflow.ExecutionRef{ID: "none"}, workflow.HistoryQuery{})
	assert.ErrorIs(t, err, faas.ErrNotFound)
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setUp(t, scripts{"one": tree{1, false}}, func(c *engine.Config) { c.Retention = time.Hour })
		short := f.run(t, named("one"))
		long := f.run(t, workflow.StartRequest{Definition: &workflow.Definition{Language: "script", Source: "one", Retention: 3 * time.Hour}})
		assert.Equal(t, short.Closed.Add(time.Hour), short.Keep)
		time.Sleep(50 * time.Minute)
		_, err := f.Get(t.Context(), short.Ref)
		require.NoError(t, err)
		time.Sleep(20 * time.Minute)
		_, err = f.Get(t.Context(), short.Ref)
		require.ErrorIs(t, err, faas.ErrNotFound)
		_, err = f.Get(t.Context(), long.Ref)
		require.NoError(t, err)
	})
}
