package criticalpath

import (
	"container/list"
	"math"
	"time"
)

// sketch is a streaming histogram of durations, after DDSketch (Masson, Rim and Lee, VLDB 2019): the
// bounds of its buckets grow by a constant factor, so that a quantile is at most 5 % off whatever its
// size. It remembers about the last thousand values: when it is full every bucket is
// halved, so that it follows a function that changes.
type sketch struct {
	total  int
	counts [buckets]uint16
	median time.Duration
	stale  int // values since the median was computed
}

const (
	buckets = 304 // 1 microsecond to 42 days
	growth  = 1.1
	full    = 1024
)

var logGrowth = math.Log(growth)

func (s *sketch) add(d time.Duration) {
	i := 0
	if d > time.Microsecond {
		i = min(int(math.Ceil(math.Log(float64(d)/float64(time.Microsecond))/logGrowth)), buckets-1)
	}
	s.counts[i]++
	s.total++
	s.stale++
	if s.total < full {
		return
	}
	s.total = 0
	carry := uint16(0)
	for i, n := range s.counts { // halves the sum, not each count, so that the rare ones stay
		carry += n
		s.counts[i] = carry / 2
		carry %= 2
		s.total += int(s.counts[i])
	}
}

// quantile returns the value that a part q of the values does not exceed, at most 5 % off; unknown if there are none.
func (s *sketch) quantile(q float64) time.Duration {
	low, high := s.bounds(q)
	return time.Duration(2 * float64(low) * float64(high) / float64(low+high))
}

// bounds are those of the bucket that the quantile lies in: the value is not more than a tenth above low.
func (s *sketch) bounds(q float64) (low, high time.Duration) {
	if s.total == 0 {
		return unknown, unknown
	}
	rank, seen := max(int(math.Ceil(q*float64(s.total))), 1), 0
	for i, n := range s.counts {
		if seen += int(n); seen >= rank {
			high := math.Pow(growth, float64(i)) * float64(time.Microsecond)
			return time.Duration(high / growth), time.Duration(high)
		}
	}
	return unknown, unknown
}

// p50 is the median, computed again when there are a sixteenth more values.
func (s *sketch) p50() time.Duration {
	if s.stale*16 >= s.total {
		s.median, s.stale = s.quantile(0.5), 0
	}
	return s.median
}

// recent is a map that forgets what was used least recently when it is full.
type recent[K comparable, V any] struct {
	most  int
	byKey map[K]*list.Element
	order list.List // of *kept[K, V], the most recent first
}

type kept[K comparable, V any] struct {
	key   K
	value *V
}

// get returns what is kept under the key, or nil.
func (r *recent[K, V]) get(key K) *V {
	e := r.byKey[key]
	if e == nil {
		return nil
	}
	r.order.MoveToFront(e)
	return e.Value.(*kept[K, V]).value
}

// add keeps a value under a key that has none.
func (r *recent[K, V]) add(key K, value *V) *V {
	if r.byKey == nil {
		r.byKey = map[K]*list.Element{}
	}
	if len(r.byKey) >= r.most {
		last := r.order.Back()
		delete(r.byKey, last.Value.(*kept[K, V]).key)
		r.order.Remove(last)
	}
	r.byKey[key] = r.order.PushFront(&kept[K, V]{key, value})
	return value
}
