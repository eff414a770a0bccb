// Package failpoint names places in the code at which a test may stop the process, or wait, or
// look around. A place costs one atomic load while nobody has set a hook.
package failpoint

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

type hook struct {
	f    func(name string)
	mu   sync.Mutex
	hits map[string]int
}

var current atomic.Pointer[hook]

// Hit says that the place of that name was reached.
func Hit(name string) {
	if h := current.Load(); h != nil {
		h.hit(name)
	}
}

func (h *hook) hit(name string) {
	h.mu.Lock()
	h.hits[name]++
	h.mu.Unlock()
	if h.f != nil {
		h.f(name)
	}
}

// Set has f called at every place that is reached from now on, in the goroutine that reaches
// it, and counts the places anew. f nil only counts.
func Set(f func(name string)) { current.Store(&hook{f: f, hits: make(map[string]int)}) }

// Unset has nothing called and counted any more.
func Unset() { current.Store(nil) }

// Hits returns how often each place was reached since Set.
func Hits() map[string]int {
	h := current.Load()
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.hits)
}

// Reached returns the names of the places that were reached since Set, sorted.
func Reached() []string { return slices.Sorted(maps.Keys(Hits())) }
