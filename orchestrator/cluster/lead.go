package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// lead stands for the one manager that decides, for as long as ctx lives. The lead is a
// name that only one can create, under a lease.
func (m *Manager) lead(ctx context.Context) {
	for ctx.Err() == nil {
		lease, err := m.cfg.Naming.Grant(ctx, m.cfg.LeaseTTL)
		if err == nil {
			var absent faas.Revision
			_, err = m.cfg.Naming.Put(ctx, orchestrator.ManagerName, []byte(m.holder),
				&orchestrator.PutOptions{IfRevision: &absent, Lease: lease})
			if err == nil {
				renewed(ctx, m.cfg.Naming, lease, m.cfg.LeaseTTL)
				m.mu.Lock()
				m.follower()
				m.mu.Unlock()
			}
			revoke(ctx, m.cfg.Naming, lease)
		}
		switch {
		case err == nil:
		case errors.Is(err, faas.ErrConflict):
			select {
			case <-m.vacancy:
			case <-ctx.Done():
			}
		default:
			if ctx.Err() == nil {
				m.log.Warn("cannot stand for the lead; trying again", "error", err)
			}
			pause(ctx, retryAfter)
		}
	}
}

// renewed renews a lease three times in each ttl until ctx ends or the lease is lost, or
// must be taken for lost because no renewal came through in time.
func renewed(ctx context.Context, leases orchestrator.Leases, id orchestrator.LeaseID, ttl time.Duration) {
	last := time.Now()
	for pause(ctx, ttl/3) {
		begun := time.Now()
		err := leases.Renew(ctx, id)
		switch {
		case err == nil:
			last = begun
		case errors.Is(err, faas.ErrNotFound), errors.Is(err, faas.ErrClosed), time.Since(last) >= ttl:
			return
		}
	}
}

// revoke gives a lease back, also when ctx has ended.
func revoke(ctx context.Context, leases orchestrator.Leases, id orchestrator.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = leases.Revoke(ctx, id) // else it expires
}

// updateLeader takes note of who leads. Seeing our own name there means that we have
// also seen everything that whoever led before has done.
func (m *Manager) updateLeader(ev orchestrator.Event) {
	switch {
	case ev.Deleted:
		m.follower()
		select {
		case m.vacancy <- struct{}{}:
		default:
		}
	case string(ev.Entry.Value) == m.holder:
		m.leading, m.freed = true, true
		m.log.Debug("leads")
		waiting := make([]*workload, 0, len(m.workloads))
		for _, w := range m.workloads {
			waiting = append(waiting, w)
		}
		slices.SortFunc(waiting, byAge)
		for _, w := range waiting {
			m.mark(w)
		}
	default:
		m.follower()
	}
}

// byAge orders workloads by the moment they were applied.
func byAge(a, b *workload) int {
	at := func(w *workload) (t time.Time) {
		if w.rec != nil {
			t = w.rec.Applied
		}
		return t
	}
	if c := at(a).Compare(at(b)); c != 0 {
		return c
	}
	if a.id < b.id {
		return -1
	}
	return 1
}

// follower forgets all decisions that are not recorded.
func (m *Manager) follower() {
	if !m.leading {
		return
	}
	m.leading = false
	for _, wr := range m.todo {
		wr.w.writing = false
	}
	m.todo, m.pending, m.tried = nil, nil, 0
	for _, w := range m.workloads {
		w.waiting, w.placing = false, nil
		m.mark(w)
	}
}
