package autoscaler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
	"github.com/joinery/faas/autoscaler/keepalive"
	"github.com/joinery/faas/router"
)

func kpa(t testing.TB, cfg concurrency.Config) autoscaler.Policy {
	p, err := concurrency.New(cfg)
	require.NoError(t, err)
	return p
}

func keep(t testing.TB, d time.Duration) autoscaler.Policy {
	p, err := keepalive.New(keepalive.Config{KeepAlive: d})
	require.NoError(t, err)
	return p
}

// fixed is a policy that wants whatever want says.
type fixed struct {
	want func(now time.Time, s autoscaler.Samples) (n int, hold bool)
}

func (fixed) Window() time.Duration { return 10 * time.Second }

func (f fixed) Decide(now time.Time, s autoscaler.Samples) autoscaler.Decision {
	n, hold := f.want(now, s)
	return autoscaler.Decision{Instances: n, Hold: hold, Why: fmt.Sprint("want ", n)}
}

func constant(n int) fixed {
	return fixed{func(time.Time, autoscaler.Samples) (int, bool) { return n, false }}
}

func TestConfigIsCheckedWhole(t *testing.T) {
	_, err := autoscaler.NewLoop(autoscaler.LoopConfig{SampleInterval: 2 * time.Second, Tick: time.Second, KeptDecisions: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"Source", "Target", "Policy", "SampleInterval", "Tick", "KeptDecisions"} {
		assert.ErrorContains(t, err, `"`+field+`"`)
	}
}

func TestFromZeroUpAndToZero(t *testing.T) {
	fn := function("hello", "1", 10, faas.Scale{Max: 8})
	s := newStage(fn)
	play(t, s, kpa(t, concurrency.Config{}), nil, func(t *testing.T, l *autoscaler.Loop) {
		pass(time.Minute)
		assert.Empty(t, s.scales(), "nothing exists")

		s.demand(fn, 0, 3) // waits: there is no instance
		pass(3 * time.Second)
		assert.Equal(t, 1, s.ready(fn))
		s.demand(fn, 40, 0)
		pass(20 * time.Second)
		assert.Equal(t, 6, s.ready(fn), "40 / (10*0.7)")
		s.demand(fn, 400, 0)
		pass(20 * time.Second)
		assert.Equal(t, 8, s.ready(fn), "Scale.Max")

		s.demand(fn, 0, 0)
		pass(50 * time.Second)
		assert.Positive(t, s.ready(fn), "it was in use within the stable window")
		pass(2 * time.Minute)
		assert.Zero(t, s.ready(fn))

		log := l.Decisions(fn.Ref)
		require.NotEmpty(t, log)
		assert.Equal(t, 0, log[len(log)-1].Instances)
		panicked := false
		for _, d := range log {
			assert.Contains(t, d.Why, fmt.Sprint("want ", d.Instances))
			assert.NoError(t, d.Err)
			panicked = panicked || strings.Contains(d.Why, "panicking")
		}
		assert.True(t, panicked)
	})
}

// R22 of the catalogue of faults: 0 and 1,000 requests every 5 s for 10 minutes.
func TestFlappingLoad(t *testing.T) {
	fn := function("hello", "1", 100, faas.Scale{Max: 15})
	s := newStage(fn)
	play(t, s, kpa(t, concurrency.Config{}), nil, func(t *testing.T, l *autoscaler.Loop) {
		for i := range 120 {
			s.demand(fn, (i+1)%2*1000, 0)
			pass(5 * time.Second)
			if i > 0 {
				assert.GreaterOrEqual(t, s.ready(fn), 7, "nobody starves: the mean demand of 500 has its instances")
			}
			assert.LessOrEqual(t, s.ready(fn), 15)
		}
		assert.LessOrEqual(t, len(l.Decisions(faas.Ref{})), 10, "the number of instances settles")
	})
}

func TestInstancesInUseStay(t *testing.T) {
	fn := function("hello", "1", 10, faas.Scale{})
	s := newStage(fn)
	s.update(fn, func(l *router.Load) { l.Ready, l.InFlight = 10, 65 })
	play(t, s, constant(1), nil, func(t *testing.T, l *autoscaler.Loop) {
		pass(10 * time.Second)
		assert.Equal(t, 7, s.ready(fn))
		assert.Contains(t, l.Decisions(fn.Ref)[0].Why, "7 in use")
		s.demand(fn, 21, 0)
		pass(4500 * time.Millisecond)
		assert.Equal(t, 3, s.ready(fn))
		s.demand(fn, 0, 0)
		pass(time.Second)
		s.demand(fn, 21, 0) // a peak between two decisions
		pass(300 * time.Millisecond)
		s.demand(fn, 0, 0)
		pass(400 * time.Millisecond)
		assert.Equal(t, 3, s.ready(fn), "decided at 16 s; the peak was at 15.5 s")
		pass(2 * time.Second)
		assert.Equal(t, 1, s.ready(fn))
	})
}

func TestHoldLeavesThingsAsTheyAre(t *testing.T) {
	fn := function("hello", "1", 1, faas.Scale{})
	s := newStage(fn)
	s.update(fn, func(l *router.Load) { l.Ready = 4 })
	hold := fixed{func(time.Time, autoscaler.Samples) (int, bool) { return 0, true }}
	play(t, s, hold, nil, func(t *testing.T, l *autoscaler.Loop) {
		pass(time.Minute)
		assert.Empty(t, s.scales())
		assert.True(t, l.Decisions(fn.Ref)[0].Hold)
	})
}

func TestVersionWithoutPolicyIsLeftAlone(t *testing.T) {
	fn := function("hello", "1", 1, faas.Scale{Min: 3})
	s := newStage(fn)
	s.update(fn, func(l *router.Load) { l.Ready = 1 })
	none := func(c *autoscaler.LoopConfig) { c.Policy = func(faas.Function) autoscaler.Policy { return nil } }
	play(t, s, nil, none, func(t *testing.T, l *autoscaler.Loop) {
		pass(time.Minute)
		assert.Empty(t, s.scales())
		assert.Empty(t, l.Decisions(faas.Ref{}))
	})
}

func TestFailedScaleIsRecordedAndTriedAgain(t *testing.T) {
	fn := function("hello", "1", 1, faas.Scale{})
	s := newStage(fn)
	s.err = errors.New("no capacity")
	s.update(fn, func(l *router.Load) { l.Ready = 1 })
	play(t, s, constant(3), nil, func(t *testing.T, l *autoscaler.Loop) {
		pass(10 * time.Second)
		require.Len(t, l.Decisions(fn.Ref), 1, "one record for all tries")
		assert.ErrorIs(t, l.Decisions(fn.Ref)[0].Err, s.err)
		assert.Greater(t, len(s.scales()), 3)
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		pass(3 * time.Second)
		assert.Equal(t, 3, s.ready(fn))
	})
}

// Calls that are over before any sample is taken keep an instance all the same.
func TestShortRequestsCount(t *testing.T) {
	fn := function("hello", "1", 1, faas.Scale{})
	for name, p := range map[string]autoscaler.Policy{"kpa": kpa(t, concurrency.Config{}), "keepalive": keep(t, 30*time.Second)} {
		s := newStage(fn)
		play(t, s, p, nil, func(t *testing.T, _ *autoscaler.Loop) {
			pass(5050 * time.Millisecond)
			for range 30 {
				s.update(fn, func(l *router.Load) { l.Arrived, l.Completed, l.Ready = l.Arrived+1, l.Completed+1, max(l.Ready, 1) })
				pass(20 * time.Second)
				assert.Equal(t, 1, s.ready(fn), name)
			}
			pass(3 * time.Minute)
			assert.Zero(t, s.ready(fn), name)
		})
	}
}

func TestHistoryIsOnePointASecondOverTheWindow(t *testing.T) {
	fn := function("hello", "1", 3, faas.Scale{Target: 2})
	s := newStage(fn)
	var got autoscaler.Samples
	spy := fixed{func(_ time.Time, s autoscaler.Samples) (int, bool) { got = s; return 1, false }}
	play(t, s, spy, nil, func(t *testing.T, _ *autoscaler.Loop) {
		s.demand(fn, 2, 0)
		pass(25 * time.Second)
		s.demand(fn, 2, 4)
		pass(500 * time.Millisecond)
		s.demand(fn, 2, 0)
		pass(4500 * time.Millisecond)
		require.GreaterOrEqual(t, len(got.History), 10)
		require.LessOrEqual(t, len(got.History), 21)
		for i, p := range got.History[1:] {
			assert.Equal(t, time.Second, p.Time.Sub(got.History[i].Time))
		}
		assert.Equal(t, 3, got.Concurrency)
		assert.Equal(t, 2.0, got.Scale.Target)
		most, arrivals := 0.0, 0.0
		for _, p := range got.History {
			most, arrivals = max(most, p.Concurrency), arrivals+p.Arrivals
		}
		assert.InDelta(t, 4, most, 0.5, "4 more for half a second")
		assert.Equal(t, 4.0, arrivals)
	})
}

func TestIdleVersionsCostNothing(t *testing.T) {
	fn := function("hello", "1", 1, faas.Scale{})
	for _, known := range []bool{false, true} {
		s := newStage(fn)
		s.known = known
		decisions := 0
		var last autoscaler.Samples
		counting := fixed{func(_ time.Time, s autoscaler.Samples) (int, bool) { decisions++; last = s; return s.Ready % 2, false }}
		play(t, s, counting, nil, func(t *testing.T, _ *autoscaler.Loop) {
			s.update(fn, func(l *router.Load) { l.Ready, l.Arrived, l.Completed = 2, 100, 100 })
			pass(15 * time.Second)
			assert.Positive(t, decisions)
			before := decisions
			pass(time.Hour)
			assert.Equal(t, before, decisions, "known to the router: %v", known)

			s.update(fn, func(l *router.Load) { l.Ready, l.Arrived = 1, 101 })
			pass(4 * time.Second)
			assert.Greater(t, decisions, before)
			arrivals := 0.0
			for _, p := range last.History {
				arrivals += p.Arrivals
			}
			assert.Equal(t, 1.0, arrivals, "those of long ago do not come again")
		})
	}
}

func TestDecisionLogIsBoundedAndQueryable(t *testing.T) {
	a1, a2, b := function("a", "1", 1, faas.Scale{}), function("a", "2", 1, faas.Scale{}), function("b", "1", 1, faas.Scale{})
	s := newStage(a1, a2, b)
	for _, fn := range []faas.Function{a1, a2, b} {
		s.update(fn, func(l *router.Load) { l.Ready = 1 })
	}
	n := 0
	restless := fixed{func(time.Time, autoscaler.Samples) (int, bool) { n++; return 1 + n, false }}
	few := func(c *autoscaler.LoopConfig) { c.KeptDecisions = 30 }
	play(t, s, restless, few, func(t *testing.T, l *autoscaler.Loop) {
		pass(time.Hour)
		all := l.Decisions(faas.Ref{})
		require.Len(t, all, 30)
		for i, d := range all[1:] {
			assert.False(t, d.Time.Before(all[i].Time), "the oldest first")
		}
		assert.Len(t, l.Decisions(a1.Ref), 10)
		assert.Len(t, l.Decisions(faas.Ref{Name: "a"}), 20)
		assert.Len(t, l.Decisions(faas.Ref{Name: "b"}), 10)
		assert.Empty(t, l.Decisions(faas.Ref{Name: "c"}))
	})
}

func TestRunsOnce(t *testing.T) {
	s := newStage()
	play(t, s, constant(0), nil, func(t *testing.T, l *autoscaler.Loop) {
		pass(time.Second)
		assert.ErrorIs(t, l.Run(context.Background()), faas.ErrConflict)
	})
}
