package concurrency

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/internal/peak"
)

// state is what one decision leaves to the next.
type state struct {
	stable, panic mean
	// panicking since the threshold was last reached; zero: not.
	panicking time.Time
	panicMost int // the most instances in this panic
	delay     peak.Window
	// unneeded since no instance has been needed; zero: some is.
	unneeded time.Time
}

// Decide implements autoscaler.Policy. It holds while there has been no data for a stable window.
func (p *Policy) Decide(now time.Time, s autoscaler.Samples) autoscaler.Decision {
	var st state
	if old, ok := s.State.(*state); ok && old != nil {
		st = *old
		if st.panicking.After(now) { // the clock was set back
			st.panicking = now
		}
	} else if s.Ready > 1 { // the history may be lost: keep what there is until there is a new one
		st.panicking, st.panicMost = now, s.Ready
	}
	stableMean := st.stable.over(p.cfg.StableWindow, now, s.History)
	panicMean := st.panic.over(p.panicWindow, now, s.History)
	if st.stable.empty(p.cfg.StableWindow, now) {
		return autoscaler.Decision{Hold: true, Why: fmt.Sprintf("no data for %v", p.cfg.StableWindow), State: &st}
	}

	target := p.target(&s)
	have := math.Max(1, float64(s.Ready))
	up := math.Ceil(p.cfg.MaxScaleUpRate * have)
	down := 0.
	if !s.Retired {
		down = math.Floor(have / p.cfg.MaxScaleDownRate)
	}
	stableNeed := math.Ceil(stableMean / target)
	panicNeed := math.Ceil(panicMean / target)
	stable := p.activate(stableNeed, whole(math.Min(math.Max(stableNeed, down), up)))
	panicked := p.activate(panicNeed, whole(math.Min(math.Max(panicNeed, down), up)))

	switch over := panicNeed/have >= p.cfg.PanicThreshold/100; {
	case over:
		st.panicking = now
	case !st.panicking.IsZero() && st.panicking.Add(p.cfg.StableWindow).Before(now):
		st.panicking, st.panicMost = time.Time{}, 0
	}

	var why strings.Builder
	fmt.Fprintf(&why, "concurrency %.6g over %v, %.6g over %v, target %.6g: need %.0f, %.0f with %d ready", stableMean,
		p.cfg.StableWindow, panicMean, p.panicWindow, target, stableNeed, panicNeed, s.Ready)
	n := stable
	if !st.panicking.IsZero() {
		n = max(n, panicked)
		st.panicMost = max(st.panicMost, n)
		n = st.panicMost
		fmt.Fprintf(&why, "; panicking, so not below %d", n)
	} else if n != whole(stableNeed) {
		fmt.Fprintf(&why, "; steps from %.0f to %.0f", down, up)
	}
	if p.cfg.ScaleDownDelay > 0 {
		span := int64(math.Ceil(float64(p.cfg.ScaleDownDelay) / float64(delayStep)))
		st.delay = st.delay.Record(now.Unix()/int64(delayStep/time.Second), n, span)
		if most := st.delay.Max(); most != n {
			fmt.Fprintf(&why, "; %d is delayed by %v", n, p.cfg.ScaleDownDelay)
			n = most
		}
	}
	if bounded := s.Bound(n); bounded != n {
		fmt.Fprintf(&why, "; the bounds %d to %d", s.Scale.Min, s.Scale.Max)
		n = bounded
	}
	n = p.scaleToZero(now, &s, &st, n, &why)
	fmt.Fprintf(&why, "; want %d", n)
	return autoscaler.Decision{Instances: n, Why: why.String(), State: &st}
}

// target is what one instance should have in flight.
func (p *Policy) target(s *autoscaler.Samples) float64 {
	total := float64(s.Concurrency)
	if total <= 0 {
		total = p.cfg.Target
	}
	if own := s.Scale.Target; own > 0 {
		if total = own; s.Concurrency > 0 {
			total = math.Min(own, float64(s.Concurrency))
		}
	}
	return math.Max(targetMin, total*p.cfg.Utilization)
}

func (p *Policy) activate(need float64, n int) int {
	if need > 0 {
		return max(n, p.cfg.ActivationScale)
	}
	return n
}

// scaleToZero lets the last instance go when none has been needed for the grace period.
func (p *Policy) scaleToZero(now time.Time, s *autoscaler.Samples, st *state, n int, why *strings.Builder) int {
	if n > 0 {
		st.unneeded = time.Time{}
		return n
	}
	if p.cfg.KeepLast {
		why.WriteString("; the last one is kept")
		return s.Bound(1)
	}
	if st.unneeded.IsZero() || now.Before(st.unneeded) {
		st.unneeded = now
	}
	if idle := now.Sub(st.unneeded); idle < p.zeroAfter && s.Ready+s.Starting > 0 {
		fmt.Fprintf(why, "; the last one stays for another %v", p.zeroAfter-idle)
		return 1
	}
	return 0
}

// whole converts a count that may be beyond any number of instances.
func whole(f float64) int {
	return int(math.Min(f, math.MaxInt32))
}
