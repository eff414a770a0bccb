package pebblestore

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/order"
)

const shards = 64

var seed = maphash.MakeSeed()

type shard struct {
	mu    sync.Mutex
	tails map[workflow.ExecutionRef]*tail
	_     [64]byte // shards lie on different cache lines
}

// tail is the end of an execution's log. Its lock serialises what is done to the execution, and makes
// readers wait for what is on its way to the disk. Those of open executions stay in memory.
type tail struct {
	mu    sync.Mutex
	users int // guarded by the shard

	loaded     bool
	exists     bool
	open       bool
	started    int64
	last       uint64
	snapshotAt uint64
}

func (t *tail) position(ref workflow.ExecutionRef) order.Position {
	return order.Position{Started: t.started, Ref: ref}
}

func (s *Store) shard(ref workflow.ExecutionRef) *shard {
	return &s.tails[maphash.String(seed, ref.ID)%shards]
}

// acquire locks an execution, whose run is set, until release.
func (s *Store) acquire(ref workflow.ExecutionRef) *tail {
	sh := s.shard(ref)
	sh.mu.Lock()
	t := sh.tails[ref]
	if t == nil {
		t = new(tail)
		sh.tails[ref] = t
	}
	t.users++
	sh.mu.Unlock()
	t.mu.Lock()
	return t
}

func (s *Store) release(ref workflow.ExecutionRef, t *tail) {
	keep := t.loaded && (t.open || s.recovering.Load() > 0)
	t.mu.Unlock()
	sh := s.shard(ref)
	sh.mu.Lock()
	if t.users--; t.users == 0 && !keep {
		delete(sh.tails, ref)
	}
	sh.mu.Unlock()
}

// forgetClosed drops the tails that stayed for a loop over Recover.
func (s *Store) forgetClosed() {
	for i := range s.tails {
		sh := &s.tails[i]
		sh.mu.Lock()
		for ref, t := range sh.tails {
			if t.users == 0 && !t.open { // without users nobody changes it
				delete(sh.tails, ref)
			}
		}
		sh.mu.Unlock()
	}
}

// load reads what is not in memory.
func (s *Store) load(ref workflow.ExecutionRef, t *tail) error {
	if t.loaded {
		return nil
	}
	if err := s.loadHead(ref, t); err != nil {
		return err
	}
	if t.exists {
		l, err := s.openLog(ref)
		if err != nil {
			return err
		}
		defer l.close()
		if t.snapshotAt, _, err = l.snapshot(); err != nil {
			return err
		}
		if t.last, err = l.last(); err != nil {
			return err
		}
		t.last = max(t.last, t.snapshotAt) // all events may have been trimmed
	}
	t.loaded = true
	return nil
}

// loadHead reads all but where the log ends.
func (s *Store) loadHead(ref workflow.ExecutionRef, t *tail) error {
	started, ok, err := s.get(existsKey(nil, ref))
	if err != nil {
		return err
	}
	t.exists, t.open, t.started, t.last, t.snapshotAt = ok, false, 0, 0, 0
	if !ok {
		return nil
	}
	if t.started, err = decodeStarted(started); err != nil {
		return s.valueError("read", ref.String(), existsKey(nil, ref), err)
	}
	_, t.open, err = s.get(recordKey(nil, true, t.position(ref)))
	return err
}

// get reads one value into a copy; ok is false if there is none.
func (s *Store) get(key []byte) (value []byte, ok bool, err error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value = append([]byte{}, v...)
	return value, true, closer.Close()
}

// latest returns the ref with its run set: the latest one for run 0; 0 if there is none.
func (s *Store) latest(ref workflow.ExecutionRef) (workflow.ExecutionRef, error) {
	if ref.Run != 0 {
		return ref, nil
	}
	prefix := appendName([]byte{kindExists}, ref)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return ref, err
	}
	if it.Last() {
		k := it.Key()
		ref.Run = binary.BigEndian.Uint64(k[len(k)-8:])
	}
	return ref, it.Close()
}
