package engine

import (
	"hash/maphash"
	"sync"

	"github.com/joinery/faas/workflow"
)

// table has the runs that this engine holds: the open executions. It is sharded, so that executions do not
// wait for one another. The latest run of an ID is also found with run 0.
type table struct {
	seed   maphash.Seed
	shards [64]tableShard
}

type tableShard struct {
	mu   sync.Mutex
	runs map[workflow.ExecutionRef]*run
	_    [40]byte // a cache line of its own
}

func (t *table) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.shards {
		t.shards[i].runs = make(map[workflow.ExecutionRef]*run)
	}
}

func (t *table) shard(ref workflow.ExecutionRef) *tableShard {
	return &t.shards[maphash.String(t.seed, ref.ID)%uint64(len(t.shards))]
}

// get returns the run, or nil.
func (t *table) get(ref workflow.ExecutionRef) *run {
	s := t.shard(ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[ref]
}

// add adds a run unless another with its ID is there, which it returns instead.
func (t *table) add(x *run) (other *run) {
	latest := x.ref
	latest.Run = 0
	s := t.shard(x.ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.runs[latest]; other != nil {
		return other
	}
	s.runs[latest], s.runs[x.ref] = x, x
	return nil
}

func (t *table) remove(x *run) {
	latest := x.ref
	latest.Run = 0
	s := t.shard(x.ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[x.ref] == x {
		delete(s.runs, x.ref)
	}
	if s.runs[latest] == x {
		delete(s.runs, latest)
	}
}

// each calls f with every run, without a lock held.
func (t *table) each(f func(*run)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		runs := make([]*run, 0, len(s.runs)/2)
		for ref, x := range s.runs {
			if ref.Run != 0 {
				runs = append(runs, x)
			}
		}
		s.mu.Unlock()
		for _, x := range runs {
			f(x)
		}
	}
}
