package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// follow keeps the cache equal to the records until ctx ends or the naming service is closed.
func (m *Manager) follow(ctx context.Context) error {
	first := true
	for {
		entries, rev, err := m.cfg.Naming.List(ctx, orchestrator.RecordsPrefix)
		if err == nil {
			m.reset(entries, rev)
			if first {
				close(m.synced)
				first = false
			}
			for ev, werr := range m.cfg.Naming.Watch(ctx, orchestrator.RecordsPrefix, rev) {
				if err = werr; err != nil {
					break
				}
				m.mu.Lock()
				m.update(ev, nil)
				m.rev = ev.Entry.Revision
				m.settle()
				m.mu.Unlock()
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, faas.ErrClosed):
			return failed("run", "", err)
		case errors.Is(err, faas.ErrExhausted):
			continue // too far behind: list again
		}
		m.log.Warn("lost sight of the records; trying again", "error", err)
		if !pause(ctx, retryAfter) {
			return nil
		}
	}
}

// pause reports false when ctx ended before the time was over.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reset makes the cache equal to a listing.
func (m *Manager) reset(entries []orchestrator.Entry, rev faas.Revision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	listed := make(map[string]struct{}, len(entries))
	// Desired state first: what is observed means nothing without it.
	for _, desired := range []bool{true, false} {
		for _, e := range entries {
			if strings.HasPrefix(e.Name, orchestrator.WorkloadsPrefix) == desired {
				listed[e.Name] = struct{}{}
				m.update(orchestrator.Event{Entry: e}, nil)
			}
		}
	}
	for name, have := range m.revs {
		if _, ok := listed[name]; !ok && have <= rev {
			m.update(orchestrator.Event{Deleted: true, Entry: orchestrator.Entry{Name: name, Revision: rev + 1}}, nil)
		}
	}
	m.rev = rev
	m.settle()
}

// echo takes up a change of our own before the watch brings it. The record is the
// decoded value, so that it is not decoded again.
func (m *Manager) echo(e orchestrator.Entry, record any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Revision > m.rev { // else the watch is past it, and it may be history
		m.update(orchestrator.Event{Entry: e}, record)
		m.settle()
	}
}

// update takes one change into the cache and marks the workloads that it concerns.
func (m *Manager) update(ev orchestrator.Event, record any) {
	name := ev.Entry.Name
	if ev.Entry.Revision <= m.revs[name] {
		return
	}
	if ev.Deleted {
		if _, ok := m.revs[name]; !ok {
			return
		}
		delete(m.revs, name)
	} else {
		m.revs[name] = ev.Entry.Revision
	}
	var err error
	switch {
	case name == orchestrator.ManagerName:
		m.updateLeader(ev)
	case strings.HasPrefix(name, orchestrator.WorkloadsPrefix):
		err = m.updateWorkload(name[len(orchestrator.WorkloadsPrefix):], ev, record)
	case strings.HasPrefix(name, orchestrator.AssignmentsPrefix):
		node, id, _ := strings.Cut(name[len(orchestrator.AssignmentsPrefix):], "/")
		err = m.updateAssignment(node, id, ev, record)
	case strings.HasPrefix(name, orchestrator.StatusesPrefix):
		node, id, _ := strings.Cut(name[len(orchestrator.StatusesPrefix):], "/")
		err = m.updateStatus(node, id, ev)
	case strings.HasPrefix(name, orchestrator.NodesPrefix):
		err = m.updateNode(name[len(orchestrator.NodesPrefix):], ev)
	case strings.HasPrefix(name, orchestrator.DrainsPrefix):
		n := m.node(name[len(orchestrator.DrainsPrefix):])
		n.draining = !ev.Deleted
		m.nodeChanged(n)
	}
	if err != nil {
		m.log.Error("a record cannot be read", "name", name, "error", err)
	}
}

// decoded returns the record at hand or decodes the entry.
func decoded[T any](e orchestrator.Entry, record any) (*T, error) {
	if v, ok := record.(*T); ok && v != nil {
		return v, nil
	}
	v, err := orchestrator.DecodeRecord[T](e)
	return &v, err
}

func (m *Manager) updateWorkload(id string, ev orchestrator.Event, record any) error {
	w := m.workloads[id]
	if ev.Deleted {
		if w != nil {
			w.rec, w.corrupt = nil, nil
			m.mark(w)
		}
		return nil
	}
	rec, err := decoded[orchestrator.WorkloadRecord](ev.Entry, record)
	if w != nil && err == nil && w.rec != nil && len(w.assigned) == 0 &&
		(w.rec.Removed && !rec.Removed || !w.rec.Applied.Equal(rec.Applied)) {
		// Another workload has the ID now, and we hear of it before the end of the first.
		m.mark(w)
		w.rec = nil
		m.publish(w)
		delete(m.workloads, id)
		w = nil
	}
	if w == nil {
		w = m.add(id)
	}
	m.mark(w)
	if w.corrupt = err; err != nil {
		return err
	}
	w.rec, w.rev = rec, ev.Entry.Revision
	return nil
}

func (m *Manager) updateAssignment(node, id string, ev orchestrator.Event, record any) error {
	w := m.workloads[id]
	if ev.Deleted {
		if w != nil {
			w.assigned = slices.DeleteFunc(w.assigned, func(a *assignment) bool { return a.node == node })
			w.reported = slices.DeleteFunc(w.reported, func(r report) bool { return r.node == node })
			m.mark(w)
		}
		return nil
	}
	rec, err := decoded[orchestrator.Assignment](ev.Entry, record)
	if err != nil {
		return err
	}
	if w == nil {
		w = m.add(id)
	}
	m.mark(w)
	a := &assignment{Assignment: rec, node: node, rev: ev.Entry.Revision}
	if w.placing != nil && w.placing.node == node {
		w.placing = nil
	}
	if i := slices.IndexFunc(w.assigned, func(a *assignment) bool { return a.node == node }); i >= 0 {
		w.assigned[i] = a
	} else {
		w.assigned = append(w.assigned, a)
	}
	return nil
}

func (m *Manager) updateStatus(node, id string, ev orchestrator.Event) error {
	w := m.workloads[id]
	if w == nil {
		return nil // what is left of a workload that is forgotten
	}
	m.mark(w)
	w.reported = slices.DeleteFunc(w.reported, func(r report) bool { return r.node == node })
	if ev.Deleted {
		return nil
	}
	st, err := orchestrator.DecodeRecord[orchestrator.AgentStatus](ev.Entry)
	if err != nil {
		return err
	}
	w.reported = append(w.reported, report{AgentStatus: &st, node: node})
	return nil
}

func (m *Manager) updateNode(name string, ev orchestrator.Event) error {
	n := m.node(name)
	if ev.Deleted {
		n.live = false
		m.nodeChanged(n)
		return nil
	}
	rec, err := orchestrator.DecodeRecord[orchestrator.NodeRecord](ev.Entry)
	if err != nil {
		return err
	}
	n.live, n.record = true, rec
	m.nodeChanged(n)
	return nil
}

// node returns what is known of a node, also of one that is not there.
func (m *Manager) node(name string) *node {
	n := m.nodes[name]
	if n == nil {
		n = &node{name: name, holds: map[*workload]int{}}
		n.state = &orchestrator.NodeState{}
		m.nodes[name] = n
	}
	return n
}

func (m *Manager) nodeChanged(n *node) {
	m.stale, m.freed = true, true
	for w := range n.holds {
		m.mark(w)
	}
	if !n.live && !n.draining && len(n.holds) == 0 {
		delete(m.nodes, n.name)
	}
	m.signal()
}

// refresh brings states up to date with the nodes there are.
func (m *Manager) refresh() {
	if !m.stale {
		return
	}
	m.stale = false
	live := make([]*node, 0, len(m.nodes))
	for _, n := range m.nodes {
		if n.live {
			live = append(live, n)
		} else {
			detached := *n.state
			n.state = &detached
		}
	}
	slices.SortFunc(live, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	states := make([]orchestrator.NodeState, len(live))
	for i, n := range live {
		states[i] = *n.state
		states[i].Node, states[i].Draining = n.record.Node, n.draining || n.record.Vacant
		n.state = &states[i]
	}
	m.states = states
}
