package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
)

// troubled is a store whose appends fail while it is told to.
type troubled struct {
	workflow.Store
	fail atomic.Pointer[error]
}

func (s *troubled) Append(ctx context.Context, b *workflow.Batch) error {
	if err := s.fail.Load(); err != nil {
		return *err
	}
	return s.Store.Append(ctx, b)
}

func (s *troubled) failWith(class error) {
	if class == nil {
		s.fail.Store(nil)
		return
	}
	err := error(faas.Errorf("workflow store", "append", "", class, "as told"))
	s.fail.Store(&err)
}

func TestNoSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var s troubled
		f := setUp(t, scripts{"par": tree{10, true}}, func(c *engine.Config) { s.Store = c.Store; c.Store = &s; c.Functions = g })
		ref, err := f.Start(t.Context(), named("par"))
		require.NoError(t, err)
		for range 10 {
			<-g.called
		}
		s.failWith(faas.ErrExhausted)
		close(g.open)
		synctest.Wait()
		_, err = f.Start(t.Context(), named("par"))
		assert.ErrorIs(t, err, faas.ErrExhausted)
		assert.ErrorIs(t, f.Signal(t.Context(), ref, "x", workflow.Payload{}), faas.ErrExhausted)
		x, err := f.Explain(t.Context(), ref)
		require.NoError(t, err)
		assert.Contains(t, x.Blocked, "space")
		time.Sleep(time.Minute)
		s.failWith(nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		x2 := f.wait(t, ref)
		assert.Equal(t, "55", text(t, x2.Output))
		assert.Len(t, g.headers, 10, "nothing was done twice")
		stored, err := f.Get(t.Context(), ref)
		require.NoError(t, err)
		assert.Equal(t, workflow.StatusSucceeded, stored.Status)
		_, err = f.Start(t.Context(), named("par"))
		assert.NoError(t, err)
	})
}

func TestNoSpaceForAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s troubled
		f := setUp(t, scripts{"one": tree{1, false}}, func(c *engine.Config) { s.Store = c.Store; c.Store = &s })
		s.failWith(faas.ErrExhausted)
		_, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, ID: "x"})
		assert.ErrorIs(t, err, faas.ErrExhausted)
		s.failWith(nil)
		time.Sleep(10 * time.Second)
		ref, err := f.Start(t.Context(), workflow.StartRequest{Workflow: faas.Ref{Name: "one"}, ID: "x"})
		require.NoError(t, err, "space is back though nothing was running that could have noticed")
		assert.Equal(t, uint64(1), ref.Run)
	})
}

func TestPoisonedStore(t *testing.T) {
	g := newGate()
	var s troubled
	f := setUp(t, scripts{"seq": tree{2, false}}, func(c *engine.Config) { s.Store = c.Store; c.Store = &s; c.Functions = g })
	ref, err := f.Start(t.Context(), named("seq"))
	require.NoError(t, err)
	<-g.called
	require.NoError(t, f.Health())
	s.failWith(faas.ErrUnavailable)
	close(g.open)
	require.Eventually(t, func() bool { return f.Health() != nil }, 10*time.Second, time.Millisecond)
	assert.ErrorIs(t, f.Health(), faas.ErrUnavailable)
	_, err = f.Start(t.Context(), named("seq"))
	assert.ErrorIs(t, err, faas.ErrUnavailable)
	assert.ErrorIs(t, f.Signal(t.Context(), ref, "x", workflow.Payload{}), faas.ErrUnavailable)
	x, err := f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Contains(t, x.Blocked, "the store failed")
	s.failWith(nil)
	f.restart(t)
	assert.Equal(t, "3", text(t, f.wait(t, ref).Output))
	assert.Equal(t, []string{ref.Key("step-0") + " 1", ref.Key("step-0") + " 2", ref.Key("step-1") + " 1"}, g.headers)
}

// TestClockJumps: the machine's clock jumps by a day to both sides; timers ring once, attempts do not time out.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{24 * time.Hour, -24 * time.Hour, time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offset atomic.Int64
				c := callNext("a", `1`)
				c.Options = &workflow.StepOptions{Timeout: time.Hour}
				rung := 0
				f := setUp(t, scripts{
					"timer": on(func(e *workflow.Event) []workflow.Command {
						switch e.Kind {
						case workflow.ExecutionStarted:
							return []workflow.Command{{Kind: workflow.CommandTimer, Step: "t", Due: e.Time.Add(30 * time.Minute)}, {Kind: workflow.CommandWait, Step: "w", Name: "go"}}
						case workflow.StepSucceeded:
							if e.Step == "w" {
								return succeed(`1`)
							}
							rung++
						}
						return nil
					}),
					"call":     single(c),
					"activity": single(review(&workflow.StepOptions{Timeout: time.Hour, Heartbeat: time.Hour})),
				}, func(cfg *engine.Config) {
					cfg.Clock = func() time.Time { return time.Now().Round(0).Add(time.Duration(offset.Load())) }
					cfg.Functions = faas.InvokerFunc(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
						select {
						case <-time.After(50 * time.Minute):
							return plusOne(ctx, req)
						case <-ctx.Done():
							return nil, faas.ContextError(ctx, "function", "run", "")
						}
					})
				})
				timer, err := f.Start(t.Context(), named("timer"))
				require.NoError(t, err)
				call, err := f.Start(t.Context(), named("call"))
				require.NoError(t, err)
				activity, err := f.Start(t.Context(), named("activity"))
				require.NoError(t, err)
				a, err := f.Poll(t.Context(), "review", "w")
				require.NoError(t, err)
				time.Sleep(10 * time.Minute)
				offset.Store(int64(jump))
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if jump > 0 {
					assert.Equal(t, 1, rung, "the wall clock says it is past")
				} else {
					assert.Zero(t, rung)
				}
				time.Sleep(45 * time.Minute)
				require.NoError(t, f.Succeed(t.Context(), a.Token, workflow.JSON(`1`)))
				assert.Equal(t, workflow.StatusSucceeded, f.wait(t, activity).Status)
				assert.Equal(t, workflow.StatusSucceeded, f.wait(t, call).Status)
				time.Sleep(25 * time.Hour)
				synctest.Wait()
				assert.Equal(t, 1, rung, "once")
				require.NoError(t, f.Signal(t.Context(), timer, "go", workflow.Payload{}))
				f.wait(t, timer)
				last := time.Time{}
				for _, e := range history(t, f, timer) {
					assert.False(t, e.Time.Before(last), "times never go back")
					last = e.Time
				}
			})
		})
	}
}

// flaky is a Program whose Step fails as it is told.
type flaky struct {
	script
	err *atomic.Pointer[error]
}

func (p flaky) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	if err := p.err.Load(); err != nil {
		return nil, nil, *err
	}
	return p.script.Step(s, e)
}

func TestProgramsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fault atomic.Pointer[error]
		f := setUp(t, scripts{"flaky": flaky{script: waiting, err: &fault}}, nil)
		fail := func(err error) {
			if fault.Store(nil); err != nil {
				fault.Store(&err)
			}
		}
		// What may pass by itself is tried again.
		ref, err := f.Start(t.Context(), named("flaky"))
		require.NoError(t, err)
		fail(faas.Errorf("workflow store", "payload", "x", faas.ErrUnavailable, "no"))
		require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.JSON(`1`)), "it is a fact")
		x, err := f.Explain(t.Context(), ref)
		require.NoError(t, err)
		assert.NotEmpty(t, x.Blocked)
		time.Sleep(time.Minute)
		fail(nil)
		assert.Equal(t, workflow.StatusSucceeded, f.wait(t, ref).Status)

		// What does not is tried when somebody asks for it.
		ref, err = f.Start(t.Context(), named("flaky"))
		require.NoError(t, err)
		fail(errors.New("without a class"))
		require.NoError(t, f.Signal(t.Context(), ref, "go", workflow.JSON(`1`)))
		fail(nil)
		time.Sleep(time.Hour)
		x, err = f.Explain(t.Context(), ref)
		require.NoError(t, err)
		require.NotEmpty(t, x.Blocked)
		require.NoError(t, control(t, f, ref, workflow.ActionRedrive))
		assert.Equal(t, workflow.StatusSucceeded, f.wait(t, ref).Status)
	})
}

func TestProgramsThatPanic(t *testing.T) {
	f := setUp(t, scripts{"panics": on(func(e *workflow.Event) []workflow.Command { panic("ouch") }), "one": tree{1, false}}, nil)
	ref, err := f.Start(t.Context(), named("panics"))
	require.NoError(t, err)
	x, err := f.Explain(t.Context(), ref)
	require.NoError(t, err)
	assert.Contains(t, x.Blocked, "ouch")
	assert.Equal(t, workflow.StatusSucceeded, f.run(t, named("one")).Status)
	f.restart(t)
	require.NoError(t, control(t, f, ref, workflow.ActionTerminate))
	assert.Equal(t, workflow.StatusTerminated, f.wait(t, ref).Status)
}

func TestPools(t *testing.T) {
	g := newGate()
	c := callNext("a", `1`)
	c.Options = &workflow.StepOptions{Pool: "gpu"}
	f := setUp(t, scripts{"one": single(c)}, func(cfg *engine.Config) {
		cfg.Functions = g
		cfg.Scheduler = fifo.New(&fifo.Options{Pools: map[string]int{"gpu": 1}})
	})
	first, err := f.Start(t.Context(), named("one"))
	require.NoError(t, err)
	<-g.called
	second, err := f.Start(t.Context(), named("one"))
	require.NoError(t, err)
	x, err := f.Explain(t.Context(), second)
	require.NoError(t, err)
	assert.Equal(t, "scheduler", x.Steps[0].Owner)
	assert.Contains(t, x.Steps[0].Why, "gpu")
	third, err := f.Start(t.Context(), named("one"))
	require.NoError(t, err)
	require.NoError(t, control(t, f, third, workflow.ActionTerminate))
	x, err = f.Explain(t.Context(), first)
	require.NoError(t, err)
	assert.Equal(t, "function default/next", x.Steps[0].Owner)
	close(g.open)
	assert.Equal(t, workflow.StatusSucceeded, f.wait(t, first).Status)
	assert.Equal(t, workflow.StatusSucceeded, f.wait(t, second).Status)
	assert.Len(t, g.headers, 2)
}

// TestNoSpaceForTheEnd: the batch that closes an execution is refused at first, and stored whole later.
func TestNoSpaceForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var s troubled
		f := setUp(t, scripts{"one": tree{1, false}}, func(c *engine.Config) {
			s.Store = c.Store
			c.Store, c.Functions, c.Limits.Snapshot = &s, g, 1
		})
		ref, err := f.Start(t.Context(), named("one"))
		require.NoError(t, err)
		<-g.called
		s.failWith(faas.ErrExhausted)
		close(g.open)
		time.Sleep(time.Minute)
		s.failWith(nil)
		assert.Equal(t, workflow.StatusSucceeded, f.wait(t, ref).Status)
		stored, err := f.Get(t.Context(), ref)
		require.NoError(t, err)
		assert.Equal(t, workflow.StatusSucceeded, stored.Status)
		assert.Equal(t, "1", text(t, stored.Output))
	})
}
