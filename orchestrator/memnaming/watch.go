package memnaming

import (
	"context"
	"iter"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// batchSize bounds how long a watch that catches up holds the lock.
const batchSize = 256

// history keeps the latest changes. Revisions have no gaps, so a change is found by its revision.
type history struct {
	events []orchestrator.Event // those from head on are kept
	head   int
	bytes  int
	limit  int
}

// oldest is the first revision that is kept, or would be; 0 is before any change.
func (h *history) oldest() faas.Revision {
	if h.head == len(h.events) {
		return 0
	}
	return h.events[h.head].Entry.Revision
}

func (h *history) at(r faas.Revision) orchestrator.Event {
	return h.events[h.head+int(r-h.oldest())]
}

func (h *history) add(e orchestrator.Event) {
	h.events = append(h.events, e)
	h.bytes += len(e.Entry.Value)
	for n := len(h.events) - h.head; n > 1 && (n > h.limit || h.bytes > historyBytes); n-- {
		h.bytes -= len(h.events[h.head].Entry.Value)
		h.events[h.head] = orchestrator.Event{}
		h.head++
	}
	if h.head > 64 && h.head > len(h.events)/2 {
		kept := copy(h.events, h.events[h.head:])
		clear(h.events[kept:])
		h.events, h.head = h.events[:kept], 0
	}
}

// watch is one running Watch. It holds the revisions it has still to deliver; the
// changes themselves stay in the history, which so bounds all of it.
type watch struct {
	prefix  string
	after   faas.Revision
	pending []faas.Revision
	lost    bool          // it fell behind the history
	wake    chan struct{} // has one element when there may be something to do
}

// watches finds those that a name concerns by looking up the name's beginning, once
// for each length among the watched prefixes: there are few.
type watches struct {
	byPrefix map[string]map[*watch]struct{}
	lengths  map[int]int // length of prefix: number of distinct prefixes
}

func (ws *watches) add(w *watch) {
	set := ws.byPrefix[w.prefix]
	if set == nil {
		set = make(map[*watch]struct{})
		ws.byPrefix[w.prefix] = set
		ws.lengths[len(w.prefix)]++
	}
	set[w] = struct{}{}
}

func (ws *watches) remove(w *watch) {
	set := ws.byPrefix[w.prefix]
	delete(set, w)
	if len(set) > 0 {
		return
	}
	delete(ws.byPrefix, w.prefix)
	if ws.lengths[len(w.prefix)]--; ws.lengths[len(w.prefix)] == 0 {
		delete(ws.lengths, len(w.prefix))
	}
}

// wake tells every watch of the name about its change.
func (ws *watches) wake(name string, rev, oldest faas.Revision) {
	for n := range ws.lengths {
		if n > len(name) {
			continue
		}
		for w := range ws.byPrefix[name[:n]] {
			if rev <= w.after || w.lost {
				continue
			}
			if len(w.pending) > 0 && w.pending[0] < oldest {
				w.lost, w.pending = true, nil
			} else {
				w.pending = append(w.pending, rev)
			}
			w.signal()
		}
	}
}

func (ws *watches) wakeAll() {
	for _, set := range ws.byPrefix {
		for w := range set {
			w.signal()
		}
	}
}

func (w *watch) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Watch implements orchestrator.Names. It runs on the caller's goroutine.
func (s *Service) Watch(ctx context.Context, prefix string, after faas.Revision) iter.Seq2[orchestrator.Event, error] {
	return func(yield func(orchestrator.Event, error) bool) {
		w := &watch{prefix: prefix, after: after, wake: make(chan struct{}, 1)}
		if err := s.subscribe(ctx, w); err != nil {
			yield(orchestrator.Event{}, err)
			return
		}
		defer s.unsubscribe(w)
		var batch []orchestrator.Event
		for {
			var err error
			if batch, err = s.next(ctx, w, batch[:0]); err != nil {
				yield(orchestrator.Event{}, err)
				return
			}
			for _, e := range batch {
				if ctx.Err() != nil {
					break
				}
				if !yield(e, nil) {
					return
				}
			}
			clear(batch)
		}
	}
}

// subscribe registers the watch together with what already happened after its revision.
func (s *Service) subscribe(ctx context.Context, w *watch) error {
	const op = "watch"
	if ctx.Err() != nil {
		return contextError(ctx, op, w.prefix)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return closedError(op, w.prefix)
	}
	if w.after < s.rev {
		oldest := s.history.oldest()
		if w.after+1 < oldest {
			return compacted(w, oldest)
		}
		for r := w.after + 1; r <= s.rev; r++ {
			if strings.HasPrefix(s.history.at(r).Entry.Name, w.prefix) {
				w.pending = append(w.pending, r)
			}
		}
		w.signal()
	}
	s.watches.add(w)
	return nil
}

func (s *Service) unsubscribe(w *watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches.remove(w)
}

// next waits for changes and appends the next few of them to batch.
func (s *Service) next(ctx context.Context, w *watch, batch []orchestrator.Event) ([]orchestrator.Event, error) {
	for len(batch) == 0 {
		select {
		case <-ctx.Done():
			return nil, contextError(ctx, "watch", w.prefix)
		case <-w.wake:
		}
		if ctx.Err() != nil {
			return nil, contextError(ctx, "watch", w.prefix)
		}
		var err error
		if batch, err = s.take(w, batch); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

func (s *Service) take(w *watch, batch []orchestrator.Event) ([]orchestrator.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.history.oldest()
	switch {
	case s.closed:
		return nil, closedError("watch", w.prefix)
	case w.lost, len(w.pending) > 0 && w.pending[0] < oldest:
		return nil, compacted(w, oldest)
	}
	n := min(len(w.pending), batchSize)
	for _, r := range w.pending[:n] {
		batch = append(batch, s.history.at(r))
	}
	if n == len(w.pending) {
		w.pending = w.pending[:0]
	} else {
		w.pending = w.pending[n:]
		w.signal()
	}
	return batch, nil
}

func compacted(w *watch, oldest faas.Revision) error {
	err := failf("watch", w.prefix, faas.ErrExhausted, "changes before revision %d are no longer kept", oldest)
	err.Next = "list again, and watch from the revision that the list returns"
	return err
}
