package cluster

import (
	"context"
	"iter"
	"slices"

	"github.com/joinery/faas/orchestrator"
)

// watcher holds which workloads its reader has not seen the last status of, so that
// a slow reader costs a pointer for each workload and never a wait.
type watcher struct {
	queue  []*workload
	queued map[*workload]struct{}
	wake   chan struct{}
}

// publish shows the workload's status to the watchers if it changed.
func (m *Manager) publish(w *workload) {
	s := m.view(w)
	if s == w.shown || s.Phase == orchestrator.PhaseGone && w.shown.Phase == "" {
		w.shown = s
		return
	}
	w.shown = s
	for r := range m.watchers {
		r.add(w)
	}
}

func (r *watcher) add(w *workload) {
	if _, ok := r.queued[w]; ok {
		return
	}
	r.queued[w] = struct{}{}
	r.queue = append(r.queue, w)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// watchBatch bounds how long a watch holds the lock.
const watchBatch = 256

// Watch implements orchestrator.ResourceManager. A reader that has stopped reading costs
// memory for each workload that it has not seen the end of.
func (m *Manager) Watch(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
	return func(yield func(orchestrator.Status, error) bool) {
		if err := m.ready(ctx, "watch", ""); err != nil {
			yield(orchestrator.Status{}, err)
			return
		}
		r := m.watch()
		defer func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.watchers, r)
		}()
		var batch []orchestrator.Status
		for {
			select {
			case <-r.wake:
			case <-ctx.Done():
			case <-m.done:
			}
			batch = m.take(r, batch[:0])
			for _, s := range batch {
				if ctx.Err() != nil {
					break
				}
				if !yield(s, nil) {
					return
				}
			}
			clear(batch)
			if len(batch) < watchBatch || ctx.Err() != nil {
				if err := m.check(ctx, "watch", ""); err != nil {
					yield(orchestrator.Status{}, err)
					return
				}
			}
		}
	}
}

// watch registers a watcher that has everything yet to see.
func (m *Manager) watch() *watcher {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &watcher{queued: make(map[*workload]struct{}, len(m.workloads)), wake: make(chan struct{}, 1)}
	all := make([]*workload, 0, len(m.workloads))
	for _, w := range m.workloads {
		if w.shown.Phase != "" {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, byAge)
	for _, w := range all {
		r.add(w)
	}
	m.watchers[r] = struct{}{}
	return r
}

// take returns the next few statuses that the watcher has not seen.
func (m *Manager) take(r *watcher, batch []orchestrator.Status) []orchestrator.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(r.queue), watchBatch)
	for _, w := range r.queue[:n] {
		delete(r.queued, w)
		batch = append(batch, w.shown)
	}
	clear(r.queue[:n])
	if n == len(r.queue) {
		r.queue = r.queue[:0]
	} else {
		r.queue = r.queue[n:]
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return batch
}
