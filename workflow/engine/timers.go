package engine

import (
	"sync"
	"time"

	"github.com/joinery/faas/internal/failpoint"
)

// timers wakes runs at times of the wall clock. One goroutine sleeps until the first is due, but never longer
// than recheck or a thousandth of that, whichever is more, so that a clock that was set is noticed.
type timers struct {
	e     *Engine
	mu    sync.Mutex
	heap  []*alarm
	wake  chan struct{}
	ended bool
}

const recheck = time.Minute

// alarm is a time at which a run gets a fact. The zero value is not set.
type alarm struct {
	due     time.Time
	run     *run
	kind    factKind
	step    string
	attempt int
	index   int // in the heap, from 1; 0: not in it
}

func (t *timers) init(e *Engine) {
	t.e, t.wake = e, make(chan struct{}, 1)
}

// set makes the fact come at due, or at once if that has passed.
func (t *timers) set(a *alarm) {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return
	}
	if a.index != 0 {
		t.cut(a)
	}
	t.heap = append(t.heap, a)
	a.index = len(t.heap)
	t.up(a.index)
	first := t.heap[0] == a
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// unset takes the alarm back if it has not rung.
func (t *timers) unset(a *alarm) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.index != 0 {
		t.cut(a)
	}
}

func (t *timers) halt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.heap = true, nil
}

// loop rings until the engine ends.
func (t *timers) loop() {
	sleep := time.NewTimer(recheck)
	defer sleep.Stop()
	for {
		wait := recheck
		for {
			t.mu.Lock()
			if len(t.heap) == 0 {
				t.mu.Unlock()
				break
			}
			a := t.heap[0]
			if d := a.due.Sub(t.e.now()); d > 0 {
				t.mu.Unlock()
				wait = min(d, max(recheck, d/1000))
				break
			}
			t.cut(a)
			t.mu.Unlock()
			failpoint.Hit("engine/timer")
			t.e.spawn(func() { a.run.post(fact{kind: a.kind, step: a.step, attempt: a.attempt}) })
		}
		sleep.Reset(wait)
		select {
		case <-sleep.C:
		case <-t.wake:
		case <-t.e.stop:
			return
		}
	}
}

// cut removes an alarm from the heap.
func (t *timers) cut(a *alarm) {
	i, n := a.index, len(t.heap)
	t.swap(i, n)
	t.heap[n-1] = nil
	t.heap = t.heap[:n-1]
	a.index = 0
	if i < n {
		t.down(i)
		t.up(i)
	}
}

// The heap: positions are from 1, the children of i are 2i and 2i+1.

func (t *timers) less(i, j int) bool { return t.heap[i-1].due.Before(t.heap[j-1].due) }

func (t *timers) swap(i, j int) {
	h := t.heap
	h[i-1], h[j-1] = h[j-1], h[i-1]
	h[i-1].index, h[j-1].index = i, j
}

func (t *timers) up(i int) {
	for i > 1 && t.less(i, i/2) {
		t.swap(i, i/2)
		i /= 2
	}
}

func (t *timers) down(i int) {
	for n := len(t.heap); 2*i <= n; {
		child := 2 * i
		if child < n && t.less(child+1, child) {
			child++
		}
		if !t.less(child, i) {
			return
		}
		t.swap(child, i)
		i = child
	}
}
