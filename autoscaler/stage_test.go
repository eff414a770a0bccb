package autoscaler_test

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is the demand and supply of some functions, as a router shows it: instances are
// ready as soon as they are wanted.
type stage struct {
	mu    sync.Mutex
	loads map[faas.Ref]*router.Load
	fns   map[faas.Ref]faas.Function // for Scale of what has no load
	err   error                      // of Scale
	calls []scaled
	known bool // Loads goes on with versions of which nothing exists
}

type scaled struct {
	fn  faas.Ref
	n   int
	why string
}

func newStage(fns ...faas.Function) *stage {
	s := &stage{loads: map[faas.Ref]*router.Load{}, fns: map[faas.Ref]faas.Function{}}
	for _, fn := range fns {
		s.fns[fn.Ref] = fn
	}
	return s
}

func function(name string, version string, concurrency int, sc faas.Scale) faas.Function {
	return faas.Function{Ref: faas.Ref{Namespace: "default", Name: name, Version: version},
		Spec: faas.Spec{Contract: faas.ContractHandler, Command: []string{name}, Concurrency: concurrency, Scale: sc}}
}

// demand sets the requests of a version.
func (s *stage) demand(fn faas.Function, inFlight, queued int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.load(fn)
	l.Arrived += uint64(max(0, inFlight+queued-l.InFlight-l.Queued))
	l.InFlight, l.Queued = inFlight, queued
}

// update changes the load of a version by hand.
func (s *stage) update(fn faas.Function, change func(*router.Load)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.load(fn))
}

func (s *stage) load(fn faas.Function) *router.Load {
	l := s.loads[fn.Ref]
	if l == nil {
		l = &router.Load{Function: fn, Wanted: -1}
		s.loads[fn.Ref] = l
	}
	return l
}

func (s *stage) ready(fn faas.Function) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.loads[fn.Ref]; l != nil {
		return l.Ready
	}
	return 0
}

func (s *stage) scales() []scaled {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *stage) Loads() iter.Seq[router.Load] {
	return func(yield func(router.Load) bool) {
		s.mu.Lock()
		var all []router.Load
		for ref, l := range s.loads {
			if !s.known && l.Ready+l.Starting+l.InFlight+l.Queued == 0 {
				delete(s.loads, ref)
				continue
			}
			all = append(all, *l)
		}
		s.mu.Unlock()
		slices.SortFunc(all, func(a, b router.Load) int { return cmp.Compare(a.Function.Ref.String(), b.Function.Ref.String()) })
		for _, l := range all {
			if !yield(l) {
				return
			}
		}
	}
}

func (s *stage) Scale(_ context.Context, fn faas.Ref, instances int, why string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, scaled{fn, instances, why})
	if s.err != nil {
		return s.err
	}
	f, ok := s.fns[fn]
	if !ok {
		return faas.Errorf("router", "scale", fn.String(), faas.ErrNotFound, "unknown")
	}
	l := s.load(f)
	l.Ready, l.Wanted = instances, instances
	return nil
}

// play runs a loop over the stage in virtual time, and then the acts.
func play(t *testing.T, s *stage, p autoscaler.Policy, change func(*autoscaler.LoopConfig), acts func(t *testing.T, l *autoscaler.Loop)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := autoscaler.LoopConfig{Source: s, Target: s, Policy: func(faas.Function) autoscaler.Policy { return p }}
		if change != nil {
			change(&cfg)
		}
		l, err := autoscaler.NewLoop(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		acts(t, l)
		cancel()
		require.NoError(t, <-ended)
	})
}

// pass lets virtual time pass, to a moment at which the loop is at rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
