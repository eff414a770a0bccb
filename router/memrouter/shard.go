package memrouter

import (
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// maxShards bounds the shards of one function: with more, an instance's slots would be
// spread so thin that a shard's view of who is least busy would say little.
const maxShards = 16

// firstBuckets is the least capacity of a shard's buckets, for they fill cache lines of their own.
const firstBuckets = 16

// shardCount is how many shards a function gets: about one for each processor, a power of two.
func shardCount() int {
	n := min(runtime.GOMAXPROCS(0), maxShards)
	return 1 << bits.Len(uint(n-1))
}

// A shard holds a part of the slots of a function's instances, so that processors
// that call the same function do not meet at one lock. It counts what goes through it.
type shard struct {
	mu sync.Mutex
	// avail says, for readers without the lock, that some share here has a free slot.
	avail atomic.Bool
	// buckets[n] is the ring of the shares with n slots in use and at least one
	// free; low is the first that is not empty, or -1.
	buckets []*share
	low     int
	// busy slots, and the requests that came, ended and were answered here.
	busy                         int
	arrived, completed, answered uint64
	_                            [48]byte // no two shards in one pair of cache lines
}

// A share is the part of one instance's slots that lives in one shard. All fields
// that change are guarded by the shard's lock.
type share struct {
	sh         *shard
	in         *instance
	prev, next *share
	n, limit   int32 // slots in use, slots that may be in use
	size       int32 // slots there are
	linked     bool
	probe      bool   // one slot is offered beyond the limit
	streams    int32  // slots held by answers that are still streamed
	taken      uint64 // requests that got a slot
	answered   uint64
	_          [56]byte // shares of different shards do not touch
}

// put links s into the bucket of its n, if it has a free slot.
func (sh *shard) put(s *share) {
	if s.n >= s.limit {
		return
	}
	n := int(s.n)
	for n >= len(sh.buckets) {
		sh.buckets = append(slices.Grow(sh.buckets, firstBuckets), nil)
	}
	if head := sh.buckets[n]; head == nil {
		s.prev, s.next = s, s
		sh.buckets[n] = s
	} else {
		s.prev, s.next = head.prev, head
		head.prev.next, head.prev = s, s
	}
	s.linked = true
	if sh.low < 0 || n < sh.low {
		sh.low = n
	}
}

// cut unlinks s and leaves low to the caller.
func (sh *shard) cut(s *share) {
	if !s.linked {
		return
	}
	s.linked = false
	if s.next == s {
		sh.buckets[s.n] = nil
	} else {
		s.prev.next, s.next.prev = s.next, s.prev
		if sh.buckets[s.n] == s {
			sh.buckets[s.n] = s.next
		}
	}
	s.prev, s.next = nil, nil
}

// settle finds low again after a cut and publishes avail.
func (sh *shard) settle() {
	if sh.low >= 0 && sh.buckets[sh.low] == nil {
		n := sh.low + 1
		for n < len(sh.buckets) && sh.buckets[n] == nil {
			n++
		}
		if n == len(sh.buckets) {
			n = -1
		}
		sh.low = n
	}
	if free := sh.low >= 0; free != sh.avail.Load() {
		sh.avail.Store(free)
	}
}

// take takes a slot of the share with the fewest in use; among equals of the one unused
// the longest. It is nil when no slot is free.
func (sh *shard) take(arrived uint64) *share {
	if sh.low < 0 {
		return nil
	}
	s := sh.buckets[sh.low]
	sh.occupy(s, arrived)
	return s
}

func (sh *shard) occupy(s *share, arrived uint64) {
	sh.cut(s)
	s.n++
	s.taken++
	sh.put(s)
	sh.settle()
	sh.busy++
	sh.arrived += arrived
}

// takeOther is take that passes over one instance.
func (sh *shard) takeOther(avoid *instance, arrived uint64) *share {
	if sh.low < 0 {
		return nil
	}
	for _, head := range sh.buckets[sh.low:] {
		for s := head; s != nil; {
			if s.in != avoid {
				sh.occupy(s, arrived)
				return s
			}
			if s = s.next; s == head {
				break
			}
		}
	}
	return nil
}

// ending is what the end of a call adds to the counters.
type ending struct {
	completed, answered uint64
	streams             int32 // 1: its answer was streamed
}

// release gives the slot back and, when somebody waits for that, says so.
func (s *share) release(e ending) {
	sh, in := s.sh, s.in
	sh.mu.Lock()
	sh.cut(s)
	s.n--
	sh.put(s)
	sh.settle()
	sh.busy--
	sh.completed += e.completed
	sh.answered += e.answered
	s.answered += e.answered
	s.streams -= e.streams
	sh.mu.Unlock()
	if in.marked.Load() || in.f.waiting.Load() != 0 {
		in.f.released(in, e.answered != 0)
	}
}

// stream says that the answer has begun and holds its slot until release.
func (s *share) stream() {
	s.sh.mu.Lock()
	s.sh.answered++
	s.answered++
	s.streams++
	s.sh.mu.Unlock()
	if s.in.marked.Load() {
		s.in.f.released(s.in, true)
	}
}

// resize sets the limits of all of the instance's shares; limit is called with the shard locked.
func (in *instance) resize(limit func(s *share) int32) {
	for i := range in.shares {
		s := &in.shares[i]
		s.sh.mu.Lock()
		s.sh.cut(s)
		s.limit, s.probe = limit(s), false
		s.sh.put(s)
		s.sh.settle()
		s.sh.mu.Unlock()
	}
}

// open offers all slots, shut none; what is in use stays in use.
func (in *instance) open() { in.resize(func(s *share) int32 { return s.size }) }
func (in *instance) shut() { in.resize(func(*share) int32 { return 0 }) }

// offerProbe offers one slot of an instance that is shut to the next request, wherever it comes
// from. It reports false when all of the instance's slots are in use.
func (f *function) offerProbe(in *instance) bool {
	for i := range in.shares {
		s := &in.shares[i]
		s.sh.mu.Lock()
		s.probe = s.n < s.size
		ok := s.probe
		s.sh.mu.Unlock()
		if ok {
			f.probe.Store(s)
			return true
		}
	}
	return false
}

// takeProbe takes the slot that was offered last, if it is still there.
func (f *function) takeProbe(avoid *instance, arrived uint64) *share {
	s := f.probe.Load()
	if s == nil || s.in == avoid || !f.probe.CompareAndSwap(s, nil) {
		return nil
	}
	s.sh.mu.Lock()
	defer s.sh.mu.Unlock()
	if !s.probe {
		return nil // withdrawn meanwhile
	}
	s.probe = false
	s.n++
	s.taken++
	s.sh.busy++
	s.sh.arrived += arrived
	return s
}

// use returns the slots in use and the requests answered so far.
func (in *instance) use() (busy int, answered uint64) {
	for i := range in.shares {
		s := &in.shares[i]
		s.sh.mu.Lock()
		busy += int(s.n)
		answered += s.answered
		s.sh.mu.Unlock()
	}
	return busy, answered
}

// sample returns the requests that wait for an answer, those that were ever given to the instance,
// and those it answered.
func (in *instance) sample() (pending int, taken, answered uint64) {
	for i := range in.shares {
		s := &in.shares[i]
		s.sh.mu.Lock()
		pending += int(s.n - s.streams)
		taken += s.taken
		answered += s.answered
		s.sh.mu.Unlock()
	}
	return pending, taken, answered
}

// newShares divides the slots of a new instance over the shards, starting at the
// at-th so that instances with fewer slots than there are shards spread too.
func newShares(in *instance, shards []shard, slots, at int) []share {
	shares := make([]share, min(slots, len(shards)))
	for i := range shares {
		size := slots / len(shares)
		if i < slots%len(shares) {
			size++
		}
		shares[i] = share{sh: &shards[(at+i)%len(shards)], in: in, size: int32(size)}
	}
	return shares
}

// hint remembers, for each processor (it lives in a sync.Pool), the shard where it found a slot.
type hint struct {
	at int
	_  [120]byte // processors do not share it
}

// take takes a free slot: from the shard this processor used last, else from another one.
// It is nil when there is none, or when others wait already.
func (f *function) take(hints *sync.Pool, arrived uint64) *share {
	set := f.shards.Load()
	if set == nil || f.waiting.Load() != 0 {
		return nil
	}
	if f.probe.Load() != nil {
		if s := f.takeProbe(nil, arrived); s != nil {
			return s
		}
	}
	shards := *set
	h := hints.Get().(*hint)
	s := h.take(shards, arrived)
	hints.Put(h)
	return s
}

// take goes around twice: first it passes over shards that are locked at this moment, so
// that processors drift apart; then it waits for them.
func (h *hint) take(shards []shard, arrived uint64) *share {
	mask := len(shards) - 1
	missed := false
	for i := range shards {
		at := (h.at + i) & mask
		sh := &shards[at]
		if !sh.avail.Load() {
			continue
		}
		if !sh.mu.TryLock() {
			missed = true
			continue
		}
		s := sh.take(arrived)
		sh.mu.Unlock()
		if s != nil {
			if h.at != at {
				h.at = at
			}
			return s
		}
	}
	if !missed {
		return nil
	}
	return takeAny(shards, nil, arrived)
}

// takeAny takes a free slot of any shard, if avoid is not nil of another instance.
func takeAny(shards []shard, avoid *instance, arrived uint64) (s *share) {
	for i := range shards {
		sh := &shards[i]
		if !sh.avail.Load() {
			continue
		}
		sh.mu.Lock()
		if avoid == nil {
			s = sh.take(arrived)
		} else {
			s = sh.takeOther(avoid, arrived)
		}
		sh.mu.Unlock()
		if s != nil {
			return s
		}
	}
	return nil
}

// newShards returns the empty shards of a function.
func newShards() *[]shard {
	shards := make([]shard, shardCount())
	for i := range shards {
		shards[i].low = -1
	}
	return &shards
}

// counts sums what the shards counted.
func (f *function) counts() (busy int, arrived, completed, answered uint64) {
	set := f.shards.Load()
	if set == nil {
		return 0, 0, 0, 0
	}
	for i := range *set {
		sh := &(*set)[i]
		sh.mu.Lock()
		busy += sh.busy
		arrived += sh.arrived
		completed += sh.completed
		answered += sh.answered
		sh.mu.Unlock()
	}
	return busy, arrived, completed, answered
}
