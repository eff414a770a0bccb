package httpinstance

import (
	"sync"
	"time"
)

// pool keeps the connections of one instance. The idle ones are a stack: the
// hottest is used first, so that those above the need grow old and are closed.
type pool struct {
	maxIdle     int
	idleTimeout time.Duration

	mu     sync.Mutex
	idle   []*conn            // the longest idle first
	all    map[*conn]struct{} // idle and in use
	closed bool
	timer  *time.Timer // runs expire; armed while there are idle connections
	armed  bool
}

// take returns the connection that was idle for the shortest time, or nil.
func (p *pool) take() (c *conn, closed bool) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c = p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
	}
	closed = p.closed
	p.mu.Unlock()
	return c, closed
}

// add counts a new connection in; false when the pool is closed.
func (p *pool) add(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.all[c] = struct{}{}
	}
	return !p.closed
}

// put makes a connection idle, or closes it when enough are.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	if p.closed || len(p.idle) >= p.maxIdle {
		p.mu.Unlock()
		p.discard(c)
		return
	}
	c.idleSince = time.Now()
	p.idle = append(p.idle, c)
	if !p.armed {
		p.arm(p.idleTimeout)
	}
	p.mu.Unlock()
}

// discard closes a connection that is not idle.
func (p *pool) discard(c *conn) {
	p.mu.Lock()
	delete(p.all, c)
	p.mu.Unlock()
	_ = c.Close()
}

// arm makes expire run after d. One timer serves all connections: it is set
// when the first becomes idle, not with every call. Called with mu held.
func (p *pool) arm(d time.Duration) {
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.expire)
	} else {
		p.timer.Reset(d)
	}
}

// expire closes the connections that were idle for too long.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	if p.closed {
		return
	}
	now, n := time.Now(), 0
	for n < len(p.idle) && now.Sub(p.idle[n].idleSince) >= p.idleTimeout {
		delete(p.all, p.idle[n])
		_ = p.idle[n].Close()
		n++
	}
	rest := copy(p.idle, p.idle[n:])
	clear(p.idle[rest:])
	p.idle = p.idle[:rest]
	if rest > 0 {
		p.arm(p.idleTimeout - now.Sub(p.idle[0].idleSince))
	}
}

// close closes every connection, those in use too.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for c := range p.all {
		_ = c.Close()
	}
	clear(p.all)
	p.idle = nil
}

// isClosed reports whether close was called.
func (p *pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}
