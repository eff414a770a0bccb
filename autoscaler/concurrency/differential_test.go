package concurrency_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
)

// ring restates Knative's window the way it is kept there: incrementally, in a ring of
// buckets with a running total.
type ring struct {
	buckets     []float64
	total       float64
	first, last int64
}

func (r *ring) record(at int64, v float64) {
	n := int64(len(r.buckets))
	if at != r.last {
		if at+n <= r.last {
			return
		}
		if r.first == 0 || r.first > at {
			r.first = at
		}
		if at > r.last {
			if at-r.last >= n {
				r.first = at
				clear(r.buckets)
				r.total = 0
			} else {
				for i := r.last + 1; i <= at; i++ {
					r.total -= r.buckets[i%n]
					r.buckets[i%n] = 0
				}
			}
			r.last = at
		}
	}
	r.buckets[at%n] += v
	r.total += v
}

func (r *ring) average(now int64) float64 {
	n := int64(len(r.buckets))
	sum, over := r.total, n
	switch d := now - r.last; {
	case d >= n:
		return 0
	case d > 0:
		for i := r.last + 1; i <= now; i++ {
			sum -= r.buckets[i%n]
		}
		over = n - d
	}
	return math.Round(sum/float64(min(r.last-r.first+1, over))*1e6) / 1e6
}

// restated is Knative's autoscaler as its formulas read, with its state in itself.
type restated struct {
	stable, panic          ring
	target, up, down, over float64
	stableWindow           int64
	panicTime, panicPods   int64
	activation             float64
	delay                  int64 // in steps of 2 s; 0: none
	wanted                 map[int64]float64
	begun                  bool
}

func (r *restated) decide(now int64, ready int, reachable bool) (n float64, valid bool) {
	if !r.begun {
		r.begun = true
		if ready > 1 {
			r.panicTime, r.panicPods = now, int64(ready)
		}
	}
	if r.stable.last == 0 || now-r.stable.last > r.stableWindow {
		return 0, false
	}
	p := math.Max(1, float64(ready))
	most, least := math.Ceil(r.up*p), 0.
	if reachable {
		least = math.Floor(p / r.down)
	}
	ds, dp := math.Ceil(r.stable.average(now)/r.target), math.Ceil(r.panic.average(now)/r.target)
	s, q := math.Min(math.Max(ds, least), most), math.Min(math.Max(dp, least), most)
	if ds > 0 {
		s = math.Max(s, r.activation)
	}
	if dp > 0 {
		q = math.Max(q, r.activation)
	}
	if dp/p >= r.over {
		r.panicTime = now
	} else if r.panicTime != 0 && r.panicTime+r.stableWindow < now {
		r.panicTime, r.panicPods = 0, 0
	}
	n = s
	if r.panicTime != 0 {
		r.panicPods = max(r.panicPods, int64(math.Max(s, q)))
		n = float64(r.panicPods)
	}
	if r.delay > 0 {
		at := now / 2
		r.wanted[at] = math.Max(r.wanted[at], n)
		for i, w := range r.wanted {
			if at-i >= r.delay {
				delete(r.wanted, i)
			} else {
				n = math.Max(n, w)
			}
		}
	}
	return n, true
}

// TestDifferential: 100,000 decisions on wandering demand with bursts, pauses, gaps in
// the data, lost instances and several configurations agree with the restatement.
func TestDifferential(t *testing.T) {
	const worlds, steps = 50, 2000
	held, panics := 0, 0
	for seed := range uint64(worlds) {
		r := rand.New(rand.NewPCG(seed, 7))
		cfg := concurrency.Config{
			Target:           []float64{1, 10, 100, 3.7}[r.IntN(4)],
			Utilization:      []float64{0.7, 1, 0.33}[r.IntN(3)],
			StableWindow:     []time.Duration{60, 10, 30, 20}[r.IntN(4)] * time.Second,
			PanicWindow:      []float64{10, 50, 100, 25}[r.IntN(4)],
			PanicThreshold:   []float64{200, 110, 1000}[r.IntN(3)],
			MaxScaleUpRate:   []float64{1000, 1.1, 2}[r.IntN(3)],
			MaxScaleDownRate: []float64{2, 1.2, 100}[r.IntN(3)],
			ScaleDownDelay:   []time.Duration{0, 0, 15, 60}[r.IntN(4)] * time.Second,
			ActivationScale:  []int{1, 1, 5}[r.IntN(3)],
			ScaleToZeroGrace: 1, // restated are the formulas up to the bounds
		}
		p := policy(t, cfg)
		panicBuckets := int(math.Ceil(cfg.StableWindow.Seconds() * cfg.PanicWindow / 100))
		want := restated{
			stable: ring{buckets: make([]float64, int(cfg.StableWindow.Seconds()))}, panic: ring{buckets: make([]float64, panicBuckets)},
			target: math.Max(0.01, cfg.Target*cfg.Utilization), up: cfg.MaxScaleUpRate, down: cfg.MaxScaleDownRate,
			over: cfg.PanicThreshold / 100, stableWindow: int64(cfg.StableWindow.Seconds()), activation: float64(cfg.ActivationScale),
			delay: int64(math.Ceil(cfg.ScaleDownDelay.Seconds() / 2)), wanted: map[int64]float64{},
		}
		s := autoscaler.Samples{Ready: r.IntN(4), Scale: faas.Scale{}}
		now, level := noon, 0.
		for step := range steps {
			level = wander(r, level)
			for range 1 + r.IntN(3) {
				now = now.Add(time.Second)
				if r.IntN(20) == 0 {
					continue // a sample is missing
				}
				s.History = append(s.History, autoscaler.Point{Time: now, Concurrency: level})
				want.stable.record(now.Unix(), level)
				want.panic.record(now.Unix(), level)
			}
			if r.IntN(200) == 0 {
				now = now.Add(time.Duration(r.Int64N(2*want.stableWindow)) * time.Second)
			}
			for len(s.History) > 0 && now.Sub(s.History[0].Time) > cfg.StableWindow {
				s.History = s.History[1:]
			}
			s.Retired = r.IntN(50) == 0
			d := p.Decide(now, s)
			n, valid := want.decide(now.Unix(), s.Ready, !s.Retired)
			require.Equal(t, !valid, d.Hold, "seed %d step %d: %s", seed, step, d.Why)
			s.State = d.State
			if !valid {
				held++
				continue
			}
			// The last instance may outlive a 0, which is not part of the formulas.
			if n > 0 || d.Instances > 1 {
				require.Equal(t, int(n), d.Instances, "seed %d step %d: %s", seed, step, d.Why)
			}
			if want.panicTime != 0 {
				panics++
			}
			if s.Ready = d.Instances; r.IntN(30) == 0 && s.Ready > 0 {
				s.Ready = r.IntN(s.Ready) // some are not ready, or lost
			}
		}
	}
	require.Greater(t, held, worlds)
	require.Greater(t, panics, worlds*steps/20, "the run has to see panics")
	require.Less(t, panics, worlds*steps*19/20, "and calm")
}

func wander(r *rand.Rand, level float64) float64 {
	switch r.IntN(40) {
	case 0:
		return 0
	case 1:
		return r.Float64() * 500
	case 2, 3:
		return math.Min(level*3, 1e5)
	case 4, 5, 6:
		return level / 2
	}
	return math.Max(0, math.Min(level+r.Float64()-0.4, 1e5))
}
