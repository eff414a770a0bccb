package table

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/joinery/faas"
)

// queue groups the writes that wait for one commit: the first caller to get the turn
// commits for all who wait (group commit), so that many writers share one fsync.
type queue struct {
	mu      sync.Mutex
	waiting []*write
	turn    sync.Mutex
}

type write struct {
	op   string
	ref  faas.Ref
	do   func(*batch) error
	done bool
	err  error
}

// write runs do against the newest state; when it succeeds, its changes are durable
// and visible before write returns. do either fails or records its changes.
func (t *Table) write(ctx context.Context, op string, ref faas.Ref, do func(*batch) error) error {
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "registry", op, ref.String())
	}
	w := &write{op: op, ref: ref, do: do}
	q := &t.queue
	q.mu.Lock()
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()

	q.turn.Lock()
	defer q.turn.Unlock()
	if !w.done {
		q.mu.Lock()
		group := q.waiting
		q.waiting = nil
		q.mu.Unlock()
		t.commit(group)
	}
	return w.err
}

func (t *Table) commit(group []*write) {
	b := &batch{table: t, revision: t.revision, dirty: make(map[key]*function)}
	for _, w := range group {
		w.done = true
		if t.closed.Load() {
			w.err = errClosed(w.op)
		} else {
			w.err = w.do(b)
		}
	}
	if len(b.changes) == 0 {
		return
	}
	if t.cfg.Commit != nil {
		if err := t.cfg.Commit(b.changes); err != nil {
			for _, w := range group {
				if w.err == nil {
					w.err = fail(w.op, w.ref, faas.Class(err), "", "%w", err)
				}
			}
			return
		}
	}
	t.install(b)
}

// install makes a committed batch visible.
func (t *Table) install(b *batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, f := range b.dirty {
		v, ok := t.index.Load(k)
		if !ok {
			v = &entry{key: k}
		}
		e := v.(*entry)
		e.current.Store(f)
		if !ok {
			t.index.Store(k, e)
		}
		i, listed := slices.BinarySearchFunc(t.order, k, func(e *entry, k key) int { return compareKeys(e.key, k) })
		switch {
		case len(f.versions) > 0 && !listed:
			t.order = slices.Insert(t.order, i, e)
		case len(f.versions) == 0 && listed:
			t.order = slices.Delete(t.order, i, i+1)
		}
	}
	for _, c := range b.changes {
		t.events = append(t.events, c.Event)
	}
	t.trim()
	t.revision = b.revision
	t.wake()
}

func (t *Table) trim() {
	if n := len(t.events) - t.cfg.History; n > 0 {
		t.events = t.events[n:]
	}
}

func (t *Table) wake() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// Close implements io.Closer. It waits for the commit that is under way.
func (t *Table) Close() error {
	t.queue.turn.Lock()
	defer t.queue.turn.Unlock()
	if t.closed.Swap(true) {
		return nil
	}
	t.mu.Lock()
	t.wake()
	t.mu.Unlock()
	if t.cfg.Close != nil {
		return t.cfg.Close()
	}
	return nil
}

// batch is the state as a group of writes sees and changes it.
type batch struct {
	table    *Table
	revision faas.Revision
	dirty    map[key]*function
	changes  []Change
}

// function returns the newest state of a function; the zero one if it was never published.
func (b *batch) function(k key) *function {
	if f := b.dirty[k]; f != nil {
		return f
	}
	if f := b.table.find(k); f != nil {
		return f
	}
	return &function{}
}

// record gives c the next revision.
func (b *batch) record(c Change) faas.Revision {
	b.revision++
	c.Revision = b.revision
	b.changes = append(b.changes, c)
	return b.revision
}

// with returns a copy of f whose aliases may be changed.
func (f *function) with() *function {
	c := *f
	c.aliases = maps.Clone(f.aliases)
	return &c
}
