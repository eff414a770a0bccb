// Package loop drives a call in a closed loop and says what came out.
package loop

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Load is what a load generator saw.
type Load struct {
	Rate     float64 // calls that ended, per second
	P50, P99 time.Duration
}

// Of is the load of calls that took so long, in any order, within the elapsed time.
func Of(took []time.Duration, elapsed time.Duration) Load {
	if len(took) == 0 {
		return Load{}
	}
	slices.Sort(took)
	return Load{
		Rate: float64(len(took)) / elapsed.Seconds(),
		P50:  took[len(took)/2],
		P99:  took[len(took)*99/100],
	}
}

// Repeat runs call from n goroutines, each of them again and again, for the duration.
// The last calls are waited for: none is cut off.
func Repeat(call func() error, n int, d time.Duration) (Load, error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		all  []time.Duration
		errs error
	)
	begin := time.Now()
	for range n {
		wg.Go(func() {
			var took []time.Duration
			var err error
			for last := begin; err == nil && last.Sub(begin) < d; {
				err = call()
				now := time.Now()
				took = append(took, now.Sub(last))
				last = now
			}
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, took...), errors.Join(errs, err)
		})
	}
	wg.Wait()
	return Of(all, time.Since(begin)), errs
}

// Median of the values; 0 of none.
func Median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}
