// Package ring keeps the last values of something: decision and event logs.
package ring

import (
	"slices"
	"sync"
)

// Ring keeps the last values that were added. Make one with New. Safe for concurrent use.
type Ring[T any] struct {
	mu     sync.Mutex
	values []T
	next   int // where the next one goes once the ring is full
	most   int
}

// New returns a ring of at most the given number of values, which is positive.
func New[T any](most int) *Ring[T] { return &Ring[T]{most: most} }

// Add adds a value; when the ring is full the oldest one goes.
func (r *Ring[T]) Add(v T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.values) < r.most {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % r.most
}

// All returns a copy of the kept values, the oldest first.
func (r *Ring[T]) All() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.values[r.next:], r.values[:r.next])
}
