package cluster

import (
	"fmt"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// workload is all that the manager knows of one workload.
type workload struct {
	id       string
	rec      *orchestrator.WorkloadRecord // nil: no longer there, but something is left of it
	rev      faas.Revision
	corrupt  error // the record is there and cannot be read: hands off
	assigned []*assignment
	reported []report
	placing  *assignment // decided, but not yet known to be recorded

	occupied []occupancy // what is accounted for it

	waiting bool                  // it is in Manager.pending
	reason  string                // why it could not be placed
	failure *orchestrator.Failure // the same as an error
	shape   string                // see shapeOf; empty: not computed

	shown   orchestrator.Status // as published last; no phase: never
	dirty   bool
	writing bool
	timer   *time.Timer
}

// assignment is an assignment as recorded, or to be recorded, for a node.
type assignment struct {
	*orchestrator.Assignment
	node string
	rev  faas.Revision
}

// report is what a node's agent says.
type report struct {
	*orchestrator.AgentStatus
	node string
}

type occupancy struct {
	node     string
	requests faas.Resources
}

// current returns the assignment of the attempt that is wanted, if there is one.
func (w *workload) current() *assignment {
	if w.rec == nil || w.rec.Removed || w.rec.Ended != nil {
		return nil
	}
	for _, a := range w.assigned {
		if a.Attempt == w.rec.Attempt && a.Applied.Equal(w.rec.Applied) && !a.Stop {
			return a
		}
	}
	return nil
}

// of returns what the agent says of that assignment; nil: nothing yet.
func (w *workload) of(a *assignment) *orchestrator.AgentStatus {
	for _, r := range w.reported {
		if r.node == a.node && r.Attempt == a.Attempt && r.Applied.Equal(a.Applied) {
			return r.AgentStatus
		}
	}
	return nil
}

// over returns the record that follows when the current start is over; nil while it is not.
func (m *Manager) over(w *workload, a *assignment) *orchestrator.WorkloadRecord {
	n, st := m.nodes[a.node], w.of(a)
	end := orchestrator.Status{ID: w.id, Phase: orchestrator.PhaseEnded, Node: a.node, Applied: a.Applied, Placed: a.Placed}
	blame := false
	switch {
	case st != nil && st.Phase == orchestrator.PhaseEnded:
		end, blame = st.Status, true
	case n == nil || !n.live:
		end.Reason = fmt.Sprintf("node %s is lost", a.node)
		end.Exit = &driver.Exit{Reason: driver.ExitLost, Code: -1, Detail: end.Reason}
	case n.draining:
		end.Reason = fmt.Sprintf("node %s is draining", a.node)
		end.Exit = &driver.Exit{Reason: driver.ExitStopped, Code: -1, Detail: end.Reason}
	default:
		return nil
	}
	end.Restarts = w.rec.Attempt
	rec := *w.rec
	rec.NotBefore, rec.Reason = time.Time{}, end.Reason
	if !rec.Workload.Restart {
		rec.Ended = &end
		return &rec
	}
	rec.Attempt++
	if blame {
		if !st.Ready.IsZero() && st.Ended.Sub(st.Ready) >= m.cfg.StableAfter {
			rec.Failures = 0
		}
		rec.Failures++
		delay := m.cfg.Backoff.Delay(rec.Failures)
		rec.NotBefore = now().Add(delay)
		rec.Reason = fmt.Sprintf("%s; start %d follows after a launch backoff of %v", end.Reason, rec.Attempt+1, delay)
	}
	return &rec
}

// view is the status of a workload, as it follows from the records alone.
func (m *Manager) view(w *workload) orchestrator.Status {
	if w.corrupt != nil && w.rec == nil {
		return orchestrator.Status{ID: w.id, Phase: orchestrator.PhaseEnded, Reason: "its record cannot be read", Error: failureOf(w, w.corrupt)}
	}
	if w.rec == nil && len(w.assigned) == 0 {
		gone := w.shown
		gone.Phase, gone.Endpoint = orchestrator.PhaseGone, driver.Endpoint{}
		return gone
	}
	rec := w.rec
	if rec == nil { // deleted by somebody else
		rec = &orchestrator.WorkloadRecord{Removed: true, Applied: w.shown.Applied}
	}
	cur := w.current()
	if cur != nil {
		if next := m.over(w, cur); next != nil {
			rec, cur = next, nil
		}
	}
	s := orchestrator.Status{ID: w.id, Restarts: rec.Attempt, Applied: rec.Applied}
	if cur != nil {
		s.Node, s.Reason, s.Placed = cur.node, cur.Reason, cur.Placed
		s.Phase = orchestrator.PhaseStarting
		if st := w.of(cur); st != nil {
			s.Phase, s.Endpoint, s.Started, s.Ready = st.Phase, st.Endpoint, st.Started, st.Ready
		}
		return s
	}
	left := w.left()
	switch {
	case rec.Removed:
		if rec.Ended != nil {
			s = *rec.Ended
		}
		s.Phase, s.Endpoint, s.Reason = orchestrator.PhaseStopping, driver.Endpoint{}, "removed"
		if left != nil {
			s.Node, s.Placed = left.node, left.Placed
		}
	case rec.Ended != nil:
		s = *rec.Ended
		if left != nil && s.Exit != nil && s.Exit.Reason == driver.ExitStopped {
			s.Phase, s.Endpoint = orchestrator.PhaseStopping, driver.Endpoint{}
		}
	case left != nil:
		s.Phase, s.Node, s.Placed, s.Reason = orchestrator.PhaseStopping, left.node, left.Placed, rec.Reason
	case w.placing != nil:
		s.Phase, s.Node, s.Placed, s.Reason = orchestrator.PhaseStarting, w.placing.node, w.placing.Placed, w.placing.Reason
	default:
		s.Phase, s.Reason, s.Error = orchestrator.PhasePending, w.reason, w.failure
		if s.Reason == "" {
			s.Reason = rec.Reason
		}
		if s.Reason == "" {
			s.Reason = "waits for the scheduler"
		}
	}
	return s
}

// failureOf keeps one failure per workload, so that a status that did not change compares equal.
func failureOf(w *workload, err error) *orchestrator.Failure {
	if w.failure == nil || w.failure.Message != err.Error() {
		w.failure = orchestrator.FailureOf(err)
	}
	return w.failure
}

// left returns an assignment on a live node: something that is still to be stopped.
func (w *workload) left() *assignment {
	if len(w.assigned) == 0 {
		return nil
	}
	return w.assigned[0]
}

func (w *workload) stopTimer() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}
