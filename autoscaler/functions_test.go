package autoscaler_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memregistry"
)

// catalogue is a registry that counts and can fail.
type catalogue struct {
	registry.Registry
	lists atomic.Int64
	fail  atomic.Bool
}

func (c *catalogue) List(ctx context.Context, q registry.Query) (registry.Page, error) {
	c.lists.Add(1)
	if c.fail.Load() {
		return registry.Page{}, errors.New("no registry")
	}
	return c.Registry.List(ctx, q)
}

func newCatalogue(t testing.TB) *catalogue {
	reg := memregistry.New(nil)
	t.Cleanup(func() { assert.NoError(t, reg.Close()) })
	return &catalogue{Registry: reg}
}

// publish adds a version and tells the stage of it.
func (c *catalogue) publish(t testing.TB, s *stage, name string, sc faas.Scale) faas.Function {
	fn, err := c.Publish(t.Context(), faas.Ref{Name: name}, function(name, "", 1, sc).Spec, nil)
	require.NoError(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fns[fn.Ref] = fn
	return fn
}

func with(c *catalogue) func(*autoscaler.LoopConfig) {
	return func(cfg *autoscaler.LoopConfig) { cfg.Functions = c }
}

func TestStandingInstancesFollowTheRegistry(t *testing.T) {
	s, c := newStage(), newCatalogue(t)
	play(t, s, kpa(t, concurrency.Config{}), with(c), func(t *testing.T, l *autoscaler.Loop) {
		one := c.publish(t, s, "hello", faas.Scale{Min: 2})
		other := c.publish(t, s, "other", faas.Scale{})
		pass(3 * time.Second)
		assert.Equal(t, 2, s.ready(one), "without any request")
		assert.Contains(t, l.Decisions(one.Ref)[0].Why, "at least 2")
		assert.Zero(t, s.ready(other))

		_, err := c.SetAlias(t.Context(), registry.Alias{Ref: faas.Ref{Name: "hello", Version: "live"}, Target: "1"}, nil)
		require.NoError(t, err)
		two := c.publish(t, s, "hello", faas.Scale{Min: 3})
		pass(5 * time.Minute)
		assert.Equal(t, 3, s.ready(two))
		assert.Equal(t, 2, s.ready(one), "an alias points to it")

		_, err = c.SetAlias(t.Context(), registry.Alias{Ref: faas.Ref{Name: "hello", Version: "live"}, Target: "2"}, nil)
		require.NoError(t, err)
		pass(5 * time.Minute)
		assert.Zero(t, s.ready(one), "its place was taken")
		assert.Equal(t, 3, s.ready(two))

		c.publish(t, s, "hello", faas.Scale{})
		require.NoError(t, c.DeleteAlias(t.Context(), faas.Ref{Name: "hello", Version: "live"}))
		pass(5 * time.Minute)
		assert.Zero(t, s.ready(two), "the latest version wants none")
	})
}

func TestInitialInstancesAreKeptForAWindow(t *testing.T) {
	s, c := newStage(), newCatalogue(t)
	play(t, s, kpa(t, concurrency.Config{}), with(c), func(t *testing.T, _ *autoscaler.Loop) {
		fn := c.publish(t, s, "hello", faas.Scale{Min: 1, Initial: 4})
		pass(3 * time.Second)
		assert.Equal(t, 4, s.ready(fn))
		pass(50 * time.Second)
		assert.Equal(t, 4, s.ready(fn))
		pass(5 * time.Minute)
		assert.Equal(t, 1, s.ready(fn))
	})
}

// Without a registry to ask, Scale.Min holds for what the router knows.
func TestMinHoldsWithoutARegistry(t *testing.T) {
	fn := function("hello", "1", 1, faas.Scale{Min: 2})
	s := newStage(fn)
	play(t, s, kpa(t, concurrency.Config{}), nil, func(t *testing.T, _ *autoscaler.Loop) {
		s.demand(fn, 1, 0)
		pass(3 * time.Second)
		s.demand(fn, 0, 0)
		pass(10 * time.Minute)
		assert.Equal(t, 2, s.ready(fn))
	})
}

func TestRegistryIsReadOnlyWhenItChanged(t *testing.T) {
	s, c := newStage(), newCatalogue(t)
	for i := range 2500 {
		c.publish(t, s, fmt.Sprint("idle-", i), faas.Scale{})
	}
	play(t, s, kpa(t, concurrency.Config{}), with(c), func(t *testing.T, l *autoscaler.Loop) {
		pass(time.Second)
		assert.EqualValues(t, 1+3, c.lists.Load(), "the revision, and three pages")
		pass(100 * time.Second)
		assert.InDelta(t, 4+50, c.lists.Load(), 2, "the revision on each tick")
		assert.Empty(t, s.scales())

		c.fail.Store(true)
		fn := c.publish(t, s, "hello", faas.Scale{Min: 1})
		pass(10 * time.Second)
		assert.Zero(t, s.ready(fn))
		c.fail.Store(false)
		pass(3 * time.Second)
		assert.Equal(t, 1, s.ready(fn))
		assert.Len(t, l.Decisions(faas.Ref{}), 1)
	})
}
