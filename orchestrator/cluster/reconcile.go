package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// node is all that the manager knows of one node.
type node struct {
	name     string
	live     bool
	draining bool
	record   orchestrator.NodeRecord
	state    *orchestrator.NodeState // in Manager.states when live; Used and Workloads are kept up here
	order    []*workload             // whose state.Workloads are
	holds    map[*workload]int       // who has or is to have an assignment here: position in order, or -1 once ended
}

// write is the next change of a record that a workload needs.
type write struct {
	w      *workload
	name   string
	record any // nil: delete
	rev    faas.Revision
}

// maxWrites bounds how many records are written at the same time.
const maxWrites = 16

// add makes a workload known.
func (m *Manager) add(id string) *workload {
	w := &workload{id: id}
	m.workloads[id] = w
	return w
}

// mark notes that something about the workload changed.
func (m *Manager) mark(w *workload) {
	if !w.dirty {
		w.dirty = true
		m.dirty = append(m.dirty, w)
	}
}

func (m *Manager) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// settle draws the conclusions from what changed: capacity, published status, and what
// is to be written next.
func (m *Manager) settle() {
	for i := 0; i < len(m.dirty); i++ { // it may grow meanwhile
		w := m.dirty[i]
		w.dirty = false
		m.account(w)
		m.publish(w)
		m.step(w)
		if w.shown.Phase == orchestrator.PhaseGone {
			w.stopTimer()
			if m.workloads[w.id] == w {
				delete(m.workloads, w.id)
			}
		}
	}
	clear(m.dirty)
	m.dirty = m.dirty[:0]
}

// account brings what nodes hold in line with the workload's assignments.
func (m *Manager) account(w *workload) {
	held := func(name string) (a *assignment) {
		if w.placing != nil && w.placing.node == name {
			return w.placing
		}
		for _, a := range w.assigned {
			if a.node == name {
				return a
			}
		}
		return nil
	}
	ended := func(a *assignment) bool {
		st := w.of(a)
		return st != nil && st.Phase == orchestrator.PhaseEnded
	}
	w.occupied = slices.DeleteFunc(w.occupied, func(o occupancy) bool {
		a := held(o.node)
		n := m.nodes[o.node]
		if a == nil || ended(a) {
			n.release(w, o.requests)
			m.freed = true
			m.signal()
		}
		if a == nil {
			delete(n.holds, w)
			if !n.live && !n.draining && len(n.holds) == 0 {
				delete(m.nodes, n.name)
			}
		}
		return a == nil
	})
	occupy := func(a *assignment) {
		if !slices.ContainsFunc(w.occupied, func(o occupancy) bool { return o.node == a.node }) {
			w.occupied = append(w.occupied, occupancy{node: a.node, requests: a.Workload.Requests})
			n := m.node(a.node)
			n.holds[w] = -1
			if !ended(a) {
				n.hold(w, a)
			}
		}
	}
	for _, a := range w.assigned {
		occupy(a)
	}
	if w.placing != nil {
		occupy(w.placing)
	}
}

// hold sets resources aside.
func (n *node) hold(w *workload, a *assignment) {
	n.holds[w] = len(n.order)
	n.order = append(n.order, w)
	n.state.Workloads = append(n.state.Workloads, orchestrator.Placed{ID: w.id, Group: a.Workload.Group})
	n.state.Used = sum(n.state.Used, a.Workload.Requests, 1)
}

// release frees them; once.
func (n *node) release(w *workload, r faas.Resources) {
	i := n.holds[w]
	if i < 0 {
		return
	}
	n.holds[w] = -1
	n.state.Used = sum(n.state.Used, r, -1)
	all, last := n.state.Workloads, len(n.order)-1
	if i != last {
		all[i], n.order[i] = all[last], n.order[last]
		n.holds[n.order[i]] = i
	}
	all[last], n.order[last] = orchestrator.Placed{}, nil
	n.state.Workloads, n.order = all[:last], n.order[:last]
}

func sum(a, b faas.Resources, sign int64) faas.Resources {
	a.MilliCPU += sign * b.MilliCPU
	a.Memory += sign * b.Memory
	a.Pids += sign * b.Pids
	a.Files += sign * b.Files
	a.FileSize += sign * b.FileSize
	return a
}

// step finds the next thing to do about the workload, if this manager is the one that decides.
func (m *Manager) step(w *workload) {
	if !m.leading || w.writing || w.corrupt != nil {
		return
	}
	switch rec := w.rec; {
	case rec == nil, rec.Removed, rec.Ended != nil:
		if w.waiting {
			w.waiting = false
			m.abandoned++
		}
		w.placing = nil
		m.account(w)
		if len(w.assigned) > 0 {
			m.end(w, w.assigned[0])
		} else if rec != nil && rec.Removed {
			m.write(write{w: w, name: orchestrator.WorkloadsPrefix + w.id, rev: w.rev})
		}
	default:
		cur := w.current()
		for _, a := range w.assigned {
			if a != cur {
				m.end(w, a)
				return
			}
		}
		switch {
		case cur != nil:
			w.waiting, w.reason, w.failure = false, "", nil
			if next := m.over(w, cur); next != nil {
				m.log.Debug("a start is over", "id", w.id, "node", cur.node, "reason", next.Reason)
				m.write(write{w: w, name: orchestrator.WorkloadsPrefix + w.id, record: next, rev: w.rev})
			}
		case w.placing != nil:
			m.bind(w) // it was tried before
		case !w.waiting:
			if wait := time.Until(rec.NotBefore); wait > 0 {
				m.later(w, wait)
				return
			}
			w.waiting = true
			m.pending = append(m.pending, w)
			m.signal()
		}
	}
}

// end has an assignment ended: by its agent, or here when the node is lost.
func (m *Manager) end(w *workload, a *assignment) {
	wr := write{w: w, name: orchestrator.AssignmentsPrefix + a.node + "/" + w.id, rev: a.rev}
	if n := m.nodes[a.node]; n != nil && n.live {
		if a.Stop {
			return // the agent is at it
		}
		stop := *a.Assignment
		stop.Stop = true
		wr.record = &stop
	}
	m.write(wr)
}

// bind has a placement recorded.
func (m *Manager) bind(w *workload) {
	if !m.takes(w.placing.node) {
		w.placing = nil
		m.mark(w) // and place it anew
		return
	}
	m.write(write{w: w, name: orchestrator.AssignmentsPrefix + w.placing.node + "/" + w.id, record: w.placing.Assignment})
}

func (m *Manager) write(wr write) {
	wr.w.writing = true
	m.todo = append(m.todo, wr)
	m.signal()
}

// later looks at the workload again after a while.
func (m *Manager) later(w *workload, d time.Duration) {
	w.stopTimer()
	w.timer = time.AfterFunc(d, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mark(w)
		m.settle()
	})
}

// act places and writes whenever there is something to place or write.
func (m *Manager) act(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		for ctx.Err() == nil {
			m.mu.Lock()
			m.place()
			batch := m.todo
			m.todo = nil
			m.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			m.perform(ctx, batch)
		}
	}
}

// perform writes records, several at a time: they concern different workloads.
func (m *Manager) perform(ctx context.Context, batch []write) {
	if len(batch) == 1 {
		m.put(ctx, batch[0])
		return
	}
	var workers sync.WaitGroup
	next := make(chan write)
	for range min(maxWrites, len(batch)) {
		workers.Go(func() {
			for wr := range next {
				m.put(ctx, wr)
			}
		})
	}
	for _, wr := range batch {
		next <- wr
	}
	close(next)
	workers.Wait()
}

// put writes one record. A write that lost against another change needs nothing: the
// watch brings the change, and with it the next decision.
func (m *Manager) put(ctx context.Context, wr write) {
	var e orchestrator.Entry
	var err error
	if wr.record == nil {
		err = m.cfg.Naming.Delete(ctx, wr.name, &orchestrator.DeleteOptions{IfRevision: &wr.rev})
	} else {
		e, err = m.cfg.Naming.Put(ctx, wr.name, orchestrator.EncodeRecord(wr.record), &orchestrator.PutOptions{IfRevision: &wr.rev})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	wr.w.writing = false
	switch {
	case err == nil && wr.record != nil:
		if e.Revision > m.rev {
			m.update(orchestrator.Event{Entry: e}, wr.record)
		} else {
			m.mark(wr.w)
		}
		m.settle()
	case err == nil, errors.Is(err, faas.ErrConflict), errors.Is(err, faas.ErrNotFound):
		if m.revs[wr.name] != wr.rev { // the watch was quicker than we
			m.mark(wr.w)
			m.settle()
		}
	case ctx.Err() == nil:
		m.log.Warn("cannot write a record; trying again", "name", wr.name, "error", err)
		m.later(wr.w, retryAfter)
	}
}
