package cluster

import (
	"errors"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// place asks the scheduler for the workloads that wait, the oldest first. One that does
// not fit does not hold up those behind it, and is asked for again when something was freed.
func (m *Manager) place() {
	if !m.leading {
		return
	}
	m.refresh()
	if m.freed || 2*m.abandoned > len(m.pending) {
		m.freed, m.tried, m.abandoned = false, 0, 0
	}
	if m.tried == len(m.pending) {
		return
	}
	refused := map[string]*workload{} // by shape: whoever looks the same to the scheduler is refused too
	kept := m.pending[:m.tried]
	for _, w := range m.pending[m.tried:] {
		if !w.waiting {
			continue
		}
		if like := refused[w.shape]; like != nil && w.shape != "" {
			w.reason, w.failure = like.reason, like.failure
		} else if m.tryPlace(w) {
			clear(refused) // it may have changed what constraints allow
			continue
		} else if !w.waiting {
			continue
		} else {
			if w.shape == "" {
				w.shape = shapeOf(w.rec.Workload)
			}
			refused[w.shape] = w
		}
		kept = append(kept, w)
		m.publish(w)
	}
	clear(m.pending[len(kept):])
	m.pending, m.tried = kept, len(kept)
	m.settle()
}

// tryPlace decides on one workload and reports whether it has a node now.
func (m *Manager) tryPlace(w *workload) bool {
	p, err := m.cfg.Scheduler.Place(w.rec.Workload, m.states)
	switch {
	case errors.Is(err, faas.ErrInvalidArgument):
		// No node will ever do.
		w.waiting = false
		rec := *w.rec
		rec.Ended = &orchestrator.Status{ID: w.id, Phase: orchestrator.PhaseEnded, Reason: "cannot be placed",
			Error: orchestrator.FailureOf(err), Applied: rec.Applied, Restarts: rec.Attempt}
		m.write(write{w: w, name: orchestrator.WorkloadsPrefix + w.id, record: &rec, rev: w.rev})
		return false
	case err == nil && !m.takes(p.Node):
		err = faas.Errorf(managerName, "place", w.id, faas.ErrInternal, "the scheduler chose the node %q, which takes no work", p.Node)
	}
	if err != nil {
		w.reason, w.failure = p.Reason(), orchestrator.FailureOf(err)
		return false
	}
	w.waiting, w.reason, w.failure = false, "", nil
	w.placing = &assignment{node: p.Node, Assignment: &orchestrator.Assignment{
		Workload: w.rec.Workload, Attempt: w.rec.Attempt, Applied: w.rec.Applied, Placed: now(),
		Reason: p.Reason(), Incarnation: m.nodes[p.Node].record.Incarnation,
	}}
	m.account(w)
	m.bind(w)
	m.log.Debug("placed", "id", w.id, "node", p.Node)
	return true
}

func (m *Manager) takes(name string) bool {
	n := m.nodes[name]
	return n != nil && n.live && !n.draining && !n.record.Vacant
}

// shapeOf is equal for workloads that are the same to a scheduler.
func shapeOf(w orchestrator.Workload) string {
	w.ID, w.Command, w.Env, w.Code = "", nil, nil, ""
	return string(orchestrator.EncodeRecord(&w))
}
