package memdriver

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// calls counts a task's calls in flight, one counter for each processor, so that
// processors that call the same task do not meet at one word.
type calls struct {
	stripes  []stripe
	stopping atomic.Bool
	settled  chan struct{} // closed when the end has nothing to wait for, or not any longer
	once     sync.Once
}

type stripe struct {
	n atomic.Int64
	_ [120]byte // no two counters in one pair of cache lines
}

// processor is a token that stays with the processor that used it last.
type processor struct{ number uint32 }

// processors hands out tokens. A sync.Pool keeps what it is given close to the processor that gave it.
var processors = sync.Pool{New: func() any { return &processor{number: nextProcessor.Add(1)} }}

var nextProcessor atomic.Uint32

func newCalls() calls {
	n := 1 << bits.Len(uint(min(runtime.GOMAXPROCS(0), 16)-1))
	return calls{stripes: make([]stripe, n), settled: make(chan struct{})}
}

// enter counts a call; its caller passes the stripe to leave. It is nil when no call is taken any more.
func (c *calls) enter() *stripe {
	p := processors.Get().(*processor)
	s := c.stripe(p)
	if n := s.n.Load(); !s.n.CompareAndSwap(n, n+1) {
		p.number++ // another processor is here: part from it
		s = c.stripe(p)
		s.n.Add(1)
	}
	processors.Put(p)
	if c.stopping.Load() { // after the count: either stop sees the call, or the call sees stop
		c.leave(s)
		return nil
	}
	return s
}

func (c *calls) stripe(p *processor) *stripe { return &c.stripes[p.number&uint32(len(c.stripes)-1)] }

func (c *calls) leave(s *stripe) {
	s.n.Add(-1)
	if c.stopping.Load() {
		c.settleIfNone()
	}
}

// stop takes no more calls, and settles when the last one in flight has left.
func (c *calls) stop() {
	c.stopping.Store(true)
	c.settleIfNone()
}

// settleIfNone is called while no call can stay that has not been counted, so that
// counters that are all zero, one after the other, mean that none is in flight.
func (c *calls) settleIfNone() {
	for i := range c.stripes {
		if c.stripes[i].n.Load() != 0 {
			return
		}
	}
	c.settle()
}

func (c *calls) settle() { c.once.Do(func() { close(c.settled) }) }
