package drivertest

import (
	"context"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Pause and Resume make the sim a driver.Pauser.
func (s *sim) Pause(_ context.Context, id string) error  { return s.setPaused(id, true) }
func (s *sim) Resume(_ context.Context, id string) error { return s.setPaused(id, false) }

func (s *sim) setPaused(id string, paused bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	switch {
	case s.closed:
		return fail(faas.ErrClosed, "closed")
	case t == nil && s.flaw == "pause-unknown-is-fine":
		return nil
	case t == nil || t.starting:
		return fail(faas.ErrNotFound, "unknown")
	case t.status.State != driver.StateRunning:
		return fail(faas.ErrConflict, "ended")
	case t.paused && paused && s.flaw == "pause-once":
		return fail(faas.ErrConflict, "paused")
	case s.flaw != "pause-does-nothing":
		t.paused = paused
	}
	return nil
}

// awaitResume is what a call to a paused task does. The caller does not hold mu.
func (s *sim) awaitResume(t *simTask) {
	for t.isPaused(s) {
		time.Sleep(time.Millisecond)
	}
}

func (t *simTask) isPaused(s *sim) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.paused
}

// Stats makes the sim a driver.StatsSource.
func (s *sim) Stats(_ context.Context, id string) (driver.Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[id]
	switch {
	case t == nil && s.flaw != "stats-of-nothing":
		return driver.Stats{}, fail(faas.ErrNotFound, "unknown")
	case s.flaw == "stats-empty":
		return driver.Stats{}, nil
	}
	return driver.Stats{CPU: time.Second, Memory: 1 << 20, Pids: 1}, nil
}

// crash leaves the tasks of the sim in the world and returns its successor.
func (s *sim) crash() *sim {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := newSim(s.flaw, s.world)
	if s.flaw != "dies-with-its-driver" {
		next.orphans = s.tasks
	}
	return next
}

// Recover and Handle make the sim a driver.Recoverer. A handle's state is the id.
func (s *sim) Recover(_ context.Context, owner string, known []driver.Handle) (found driver.Recovery, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return found, fail(faas.ErrClosed, "closed")
	}
	if s.flaw != "owner-any" {
		if err := faas.ValidateName("owner", owner); err != nil {
			return found, err
		}
	}
	ids := map[string]bool{}
	for _, h := range known {
		if ids[h.ID] {
			return found, fail(faas.ErrInvalidArgument, "two handles")
		}
		ids[h.ID] = true
	}
	if s.recovered && s.flaw != "recover-twice" {
		return found, fail(faas.ErrConflict, "twice")
	}
	s.recovered = true
	for _, h := range known {
		t := s.orphans[h.ID]
		switch {
		case h.Format != 1:
			err = fail(faas.ErrUnimplemented, "format")
		case string(h.State) != h.ID:
			err = fail(faas.ErrCorrupt, "state")
		case t == nil, s.flaw == "adopts-nothing":
			err = fail(faas.ErrNotFound, "gone")
		default:
			err = nil
			if s.flaw == "adopted-forgets" {
				t.status.Labels, t.status.Ready = nil, time.Now()
			}
			s.tasks[h.ID] = t
			delete(s.orphans, h.ID)
			found.Adopted = append(found.Adopted, h.ID)
			continue
		}
		found.Lost = append(found.Lost, driver.Loss{ID: h.ID, Err: err})
	}
	for id := range s.orphans {
		if s.flaw != "strays-untold" {
			found.Strays = append(found.Strays, id)
		}
		if s.flaw != "strays-stay" {
			s.world.set(id, false)
		}
	}
	s.orphans = nil
	return found, nil
}

func (s *sim) Handle(_ context.Context, id string) (driver.Handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := driver.Handle{ID: id, Driver: "sim", Format: 1, State: []byte(id)}
	switch {
	case s.closed:
		return h, fail(faas.ErrClosed, "closed")
	case s.tasks[id] == nil:
		return h, fail(faas.ErrNotFound, "unknown")
	case s.flaw == "handle-changes":
		s.handles++
		h.Format += s.handles
	case s.flaw == "handle-misnamed":
		h.Driver = "other"
	}
	return h, nil
}
