// Package memstore is a workflow execution storage (W4) in memory: for express
// workflows, whose logs need not outlive the process, and for tests. An append is the copy of a few
// events to the end of a slice, under a lock that executions share by chance alone.
//
// # Snippet
//
//	eng, err := engine.New(engine.Config{Express: memstore.New(nil), …})
//
// # Errors
//
// Those of [workflow.Store]. Nothing here can be corrupt, run out of space or be poisoned.
//
// # Concurrency
//
// All methods are safe for concurrent use. There are no goroutines.
package memstore

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// Options of New; nil means the defaults.
type Options struct {
	// MaxClosed bounds the closed executions that are kept: with more, the ones that closed first are dropped
	// as Delete does. It is shared out evenly among 64 parts of the store, so one may go a
	// little before the bound is reached. Zero or less: closed executions stay until Delete.
	MaxClosed int
}

const shards = 64

// The methods of a Store are those of the contract, and documented there.
var _ workflow.Store = (*Store)(nil)

// Store is a [workflow.Store] in memory. What it holds ends with the process.
type Store struct {
	seed      maphash.Seed
	maxClosed int // of a shard; 0: no bound
	closed    atomic.Bool
	shards    [shards]shard
}

// New returns an empty store.
func New(o *Options) *Store {
	s := &Store{seed: maphash.MakeSeed()}
	if o != nil && o.MaxClosed > 0 {
		s.maxClosed = (o.MaxClosed + shards - 1) / shards
	}
	for i := range s.shards {
		s.shards[i].latest = make(map[name]*history)
	}
	return s
}

// name is what the runs of an execution share.
type name struct{ namespace, id string }

func nameOf(ref workflow.ExecutionRef) name { return name{ref.Namespace, ref.ID} }

// shard holds the executions of some names.
type shard struct {
	mu     sync.Mutex
	latest map[name]*history
	index  index
	// done are the closed executions in the order of closing, while their number is bounded.
	done []*history
	_    [64]byte // shards lie on different cache lines
}

// lock locks the shard of the execution. Unless it returns nil and ErrClosed.
func (s *Store) lock(op string, ref workflow.ExecutionRef) (*shard, error) {
	sh := &s.shards[maphash.String(s.seed, ref.ID)%shards]
	sh.mu.Lock()
	if s.closed.Load() {
		sh.mu.Unlock()
		return nil, errClosed(op, ref.String())
	}
	return sh, nil
}

// find returns the run, the latest for run 0, or nil.
func (sh *shard) find(ref workflow.ExecutionRef) *history {
	h := sh.latest[nameOf(ref)]
	for h != nil && ref.Run != 0 && h.record.Ref.Run != ref.Run {
		h = h.older
	}
	return h
}

// insert adds a run that is not there.
func (sh *shard) insert(h *history) {
	n := nameOf(h.record.Ref)
	newer := (*history)(nil)
	older := sh.latest[n]
	for older != nil && older.record.Ref.Run > h.record.Ref.Run {
		newer, older = older, older.older
	}
	h.older = older
	if newer == nil {
		sh.latest[n] = h
	} else {
		newer.older = h
	}
	sh.index.insert(h)
}

// remove takes a run away.
func (sh *shard) remove(h *history) {
	n := nameOf(h.record.Ref)
	switch latest := sh.latest[n]; {
	case latest != h:
		for latest.older != h {
			latest = latest.older
		}
		latest.older = h.older
	case h.older != nil:
		sh.latest[n] = h.older
	default:
		delete(sh.latest, n)
	}
	*h = history{gone: true, record: workflow.Execution{Ref: h.record.Ref, Started: h.record.Started}}
	sh.index.removed()
}

// bound drops the executions that closed first while there are more than most.
func (sh *shard) bound(h *history, most int) {
	sh.done = append(sh.done, h)
	for len(sh.done) > most {
		if first := sh.done[0]; !first.gone && !first.record.Status.Open() { // it may be redriven
			sh.remove(first)
		}
		sh.done[0] = nil
		sh.done = sh.done[1:]
	}
}

// Close drops everything.
func (s *Store) Close() error {
	s.closed.Store(true)
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.latest, sh.index, sh.done = nil, index{}, nil
		sh.mu.Unlock()
	}
	return nil
}

func errClosed(op, key string) error {
	return faas.Errorf("workflow store", op, key, faas.ErrClosed, "the store was closed")
}

func errNotFound(op string, ref workflow.ExecutionRef) error {
	return faas.Errorf("workflow store", op, ref.String(), faas.ErrNotFound, "there is no such execution")
}
