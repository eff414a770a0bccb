package memnaming

import (
	"container/heap"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// lease is one granted lease.
type lease struct {
	id      orchestrator.LeaseID
	ttl     time.Duration
	expires time.Time
	items   map[*item]struct{}
	at      int // position in the queue
}

// leases holds all leases. One timer is armed for the first that may expire; a
// renewal does not move it, so it may find nothing to do and is armed again.
type leases struct {
	byID  map[orchestrator.LeaseID]*lease
	queue queue
	last  orchestrator.LeaseID
	timer *time.Timer // nil: never armed
	armed time.Time   // zero: not armed
}

// Grant implements orchestrator.Leases. The ttl is kept exactly.
func (s *Service) Grant(ctx context.Context, ttl time.Duration) (orchestrator.LeaseID, error) {
	const op = "grant"
	if ctx.Err() != nil {
		return 0, contextError(ctx, op, "")
	}
	if ttl <= 0 {
		return 0, failf(op, "ttl", faas.ErrInvalidArgument, "%v is not positive", ttl)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, closedError(op, "")
	}
	s.leases.last++
	l := &lease{id: s.leases.last, ttl: ttl, expires: time.Now().Add(ttl), items: make(map[*item]struct{})}
	s.leases.byID[l.id] = l
	heap.Push(&s.leases.queue, l)
	s.arm()
	return l.id, nil
}

// Renew implements orchestrator.Leases.
func (s *Service) Renew(ctx context.Context, id orchestrator.LeaseID) error {
	return s.withLease(ctx, "renew", id, func(l *lease) {
		l.expires = time.Now().Add(l.ttl)
		heap.Fix(&s.leases.queue, l.at)
	})
}

// Revoke implements orchestrator.Leases.
func (s *Service) Revoke(ctx context.Context, id orchestrator.LeaseID) error {
	return s.withLease(ctx, "revoke", id, func(l *lease) {
		s.end(l)
		s.arm()
	})
}

// withLease calls f with the lease of that id, holding mu.
func (s *Service) withLease(ctx context.Context, op string, id orchestrator.LeaseID, f func(*lease)) error {
	key := strconv.FormatInt(int64(id), 10)
	if ctx.Err() != nil {
		return contextError(ctx, op, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return closedError(op, key)
	}
	l := s.leases.byID[id]
	if l == nil {
		return leaseError(op, key, id)
	}
	f(l)
	return nil
}

// end forgets a lease and deletes its names, in their order. The caller holds mu.
func (s *Service) end(l *lease) {
	heap.Remove(&s.leases.queue, l.at)
	delete(s.leases.byID, l.id)
	byName := func(a, b *item) int { return strings.Compare(a.Name, b.Name) }
	for _, it := range slices.SortedFunc(maps.Keys(l.items), byName) {
		s.remove(it)
	}
}

// expire is what the timer runs.
func (s *Service) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.leases.armed = time.Time{}
	for now := time.Now(); len(s.leases.queue) > 0 && !s.leases.queue[0].expires.After(now); {
		s.end(s.leases.queue[0])
	}
	s.arm()
}

// arm sees to it that the timer runs no later than the first lease expires, and
// not at all when there is none. The caller holds mu.
func (s *Service) arm() {
	ls := &s.leases
	if len(ls.queue) == 0 {
		ls.stop()
		return
	}
	first := ls.queue[0].expires
	if !ls.armed.IsZero() && !first.Before(ls.armed) {
		return
	}
	ls.armed = first
	if ls.timer == nil {
		ls.timer = time.AfterFunc(time.Until(first), s.expire)
	} else {
		ls.timer.Reset(time.Until(first))
	}
}

func (ls *leases) stop() {
	ls.armed = time.Time{}
	if ls.timer != nil {
		ls.timer.Stop()
	}
}

// queue is a heap of leases, the first to expire on top. It implements heap.Interface.
type queue []*lease

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].expires.Before(q[j].expires) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].at, q[j].at = i, j }
func (q *queue) Push(x any)        { l := x.(*lease); l.at = len(*q); *q = append(*q, l) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	l := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return l
}
