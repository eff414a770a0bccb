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
