// Package peak is the maximum over a sliding window, as a value that can be the
// state of a pure policy.
package peak

import "slices"

// Window holds what can still become the maximum: values at ascending positions, each
// less than the one before (the ascending-minima algorithm, upside down). The zero value
// is empty. It is never changed, so it may be shared.
type Window []Value

// Value is a value at a position.
type Value struct {
	At int64
	N  int
}

// Record returns the window with a value at a position, without those at least span
// before it. A position before the last one (a clock that was set back) makes everything
// before count as of now: nothing is lost, and nothing stays until that time comes again.
func (w Window) Record(at int64, n int, span int64) Window {
	if len(w) > 0 && at < w[len(w)-1].At {
		return Window{{at, max(n, w.Max())}}
	}
	from, to := 0, len(w)
	for from < to && at-w[from].At >= span {
		from++
	}
	for to > from && w[to-1].N <= n {
		to--
	}
	if to > from && w[to-1].At == at { // the larger of two at one position
		return w[from:to:to]
	}
	return append(slices.Clone(w[from:to]), Value{at, n})
}

// Max is the largest value; 0 when there is none.
func (w Window) Max() int {
	if len(w) == 0 {
		return 0
	}
	return w[0].N
}
