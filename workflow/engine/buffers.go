package engine

import (
	"sync"

	"github.com/joinery/faas/workflow"
)

// buffers are what a turn works in. A run borrows them for a turn, so that an idle one holds none and a new
// one need not grow its own.
type buffers struct {
	events  []workflow.Event
	replies []reply
	ended   []endedCall
	ready   []*call
	again   []*step // steps whose attempt is to be started, besides those that were opened
}

// What is lent: *buffers and *[]fact, their elements cleared.
var (
	turns   sync.Pool
	inboxes sync.Pool
)

// maxLent is the largest buffer that is kept for others, in elements.
const maxLent = 1024

// borrow takes buffers unless the run has some.
func (s *turnState) borrow() {
	if s.lent != nil {
		return
	}
	if b, ok := turns.Get().(*buffers); ok {
		s.lent, s.buffers = b, *b
	} else {
		s.lent = new(buffers)
	}
}

// giveBack ends a turn whose events are stored and acted on.
func (s *turnState) giveBack() {
	clear(s.ended)
	clear(s.ready)
	clear(s.again)
	clear(s.replies)
	s.ended, s.ready, s.again, s.replies = s.ended[:0], s.ready[:0], s.again[:0], s.replies[:0]
	b := s.lent
	if b == nil || len(s.events) > 0 {
		return
	}
	*b = s.buffers
	s.lent, s.buffers = nil, buffers{}
	if cap(b.events) <= maxLent && cap(b.ready) <= maxLent && cap(b.ended) <= maxLent {
		turns.Put(b)
	}
}

// lend gives an inbox whose facts were admitted to whoever needs one next. box is where it came from, or nil.
func lend(facts []fact, box *[]fact) {
	clear(facts)
	if cap(facts) > maxLent {
		return
	}
	if box == nil {
		box = new([]fact)
	}
	*box = facts[:0]
	inboxes.Put(box)
}
