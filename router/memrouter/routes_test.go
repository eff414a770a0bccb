package memrouter

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

func target(name, version string) *function {
	return &function{fn: faas.Function{Ref: faas.Ref{Namespace: "default", Name: name, Version: version}}}
}

func (t *routes) lookUp(ref faas.Ref) *function {
	if f := t.get(ref); f != nil {
		return f
	}
	f, _ := t.getSlow(ref)
	return f
}

func TestRoutesKeepAndForget(t *testing.T) {
	rs := newRoutes()
	v1, v2, other := target("f", "1"), target("f", "2"), target("g", "1")
	latest, live := faas.Ref{Name: "f"}, faas.Ref{Namespace: "default", Name: "f", Version: "live"}
	rs.put(latest, v2, 0)
	rs.put(live, v1, 0)
	rs.put(faas.Ref{Name: "g"}, other, 0)
	assert.Same(t, v2, rs.lookUp(latest))
	assert.Same(t, v1, rs.lookUp(live))

	rs.invalidate(faas.Ref{Namespace: "default", Name: "f", Version: "3"})
	assert.Nil(t, rs.lookUp(latest))
	assert.Nil(t, rs.lookUp(live))
	assert.Same(t, other, rs.lookUp(faas.Ref{Name: "g"}), "another function's resolutions stay")

	_, gen := rs.getSlow(latest)
	rs.put(latest, v1, gen)
	assert.Same(t, v1, rs.lookUp(latest), "it can come back")

	rs.close()
	assert.Nil(t, rs.lookUp(latest))
	_, gen = rs.getSlow(latest)
	rs.put(latest, v1, gen)
	assert.Nil(t, rs.lookUp(latest))
}

// TestRoutesNeverKeepAnOldAnswer: the registry answered, then the alias moved, then the answer is put.
func TestRoutesNeverKeepAnOldAnswer(t *testing.T) {
	rs := newRoutes()
	ref := faas.Ref{Name: "f", Version: "live"}
	_, gen := rs.getSlow(ref)
	rs.invalidate(ref)
	rs.put(ref, target("f", "1"), gen)
	assert.Nil(t, rs.lookUp(ref))
}

// TestRoutesBecomeLockFree: what is looked up a few times is found without the lock, and what is
// forgotten does not stay in memory.
func TestRoutesBecomeLockFree(t *testing.T) {
	rs := newRoutes()
	const n = 1000
	for i := range n {
		rs.put(faas.Ref{Name: fmt.Sprint("f", i)}, target(fmt.Sprint("f", i), "1"), 0)
	}
	for i := range n {
		require.NotNil(t, rs.lookUp(faas.Ref{Name: fmt.Sprint("f", i)}))
	}
	for i := range n {
		require.NotNil(t, rs.get(faas.Ref{Name: fmt.Sprint("f", i)}), i)
	}
	rs.clear()
	_, gen := rs.getSlow(faas.Ref{Name: "f0"})
	for range 2 {
		rs.put(faas.Ref{Name: "f0"}, target("f0", "1"), gen)
	}
	rs.put(faas.Ref{Name: "new"}, target("new", "1"), gen)
	for range 3 {
		rs.lookUp(faas.Ref{Name: "new"})
	}
	assert.Len(t, *rs.read.Load(), 2)
}

func TestRoutesConcurrently(t *testing.T) {
	rs := newRoutes()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				ref := faas.Ref{Name: fmt.Sprint("f", i%50)}
				f, gen := rs.getSlow(ref)
				if f == nil {
					f = target(ref.Name, "1")
					rs.put(ref, f, gen)
				}
				if got := rs.get(ref); got != nil && got.fn.Ref.Name != ref.Name {
					t.Errorf("%v stands for %v", ref, got.fn.Ref)
				}
				if w == 0 && i%100 == 0 {
					rs.invalidate(ref)
				}
			}
		})
	}
	wg.Wait()
}
