package concurrency

import (
	"math"
	"time"

	"github.com/joinery/faas/autoscaler"
)

// mean is what has to be remembered of a window of one-second buckets: which bucket was
// written first and which last. The buckets themselves are in the history.
type mean struct {
	first, last int64
	written     bool
}

// over takes note of the points that are new and returns the mean over the window.
//
// A point adds to the bucket of its time. The sum is divided by the buckets of the
// window, or only by those since the first write while that is less than a window ago;
// buckets after the last write do not count; and a gap as long as the window begins anew.
// The mean has six digits after the point.
func (m *mean) over(window time.Duration, now time.Time, history []autoscaler.Point) float64 {
	size := buckets(window)
	if m.written && m.last-index(now) >= size { // the clock was set back
		*m = mean{}
	}
	for _, p := range history {
		if b := index(p.Time); b-index(now) < size {
			m.write(b, size)
		}
	}
	if !m.written {
		return 0
	}
	at := max(index(now), m.last)
	if at-m.last >= size {
		return 0
	}
	sum := 0.
	for i := len(history) - 1; i >= 0; i-- {
		if b := index(history[i].Time); b > at-size && b <= m.last {
			sum += sane(history[i].Concurrency)
		}
	}
	const digits = 1e6
	return math.Round(sum/float64(min(m.last-m.first+1, size-(at-m.last)))*digits) / digits
}

func (m *mean) write(b, size int64) {
	switch {
	case !m.written || b-m.last >= size:
		*m = mean{first: b, last: b, written: true}
	case b > m.last:
		m.last = b
	case b < m.first && b > m.last-size:
		m.first = b
	}
}

// empty reports whether nothing was written for more than a window.
func (m *mean) empty(window time.Duration, now time.Time) bool {
	return !m.written || index(now)-m.last > buckets(window)
}

func index(t time.Time) int64 { return t.Unix() }

func buckets(window time.Duration) int64 {
	return int64(math.Ceil(float64(window) / float64(bucket)))
}

// sane keeps one broken sample from breaking every decision after it.
func sane(f float64) float64 {
	const most = 1e12
	if !(f > 0) { // NaN too
		return 0
	}
	return math.Min(f, most)
}
