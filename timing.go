package faas

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Phase is a part of an invocation's time, named after the function-execution
// pattern of the paper: event, route, [cold start: look up, decide, place, start], run.
type Phase int

const (
	// PhaseQueue: waiting in the router (F5) for a free slot, without the phases below.
	PhaseQueue Phase = iota
	// PhaseLookup: the registry (F1) finds the function's record.
	PhaseLookup
	// PhaseDecide: the deployer (F3) decides how to deploy.
	PhaseDecide
	// PhasePlace: resource manager and scheduler (R2, R3) find a node.
	PhasePlace
	// PhaseStart: node agent and driver (R4) fetch the code and start the instance.
	PhaseStart
	// PhaseInit: the instance (F4) becomes ready and is connected to.
	PhaseInit
	// PhaseRun: the function runs, until the first byte of its answer.
	PhaseRun

	// NumPhases is the number of phases.
	NumPhases = int(PhaseRun) + 1
)

var phaseNames = [NumPhases]string{"queue", "lookup", "decide", "place", "start", "init", "run"}

// String is the phase's name as in a Server-Timing header.
func (p Phase) String() string {
	if p < 0 || int(p) >= NumPhases {
		return fmt.Sprintf("phase(%d)", int(p))
	}
	return phaseNames[p]
}

// Timing is a per-phase account of one invocation or one start. A nil *Timing
// accepts everything and records nothing. One goroutine at a time may use it.
type Timing struct {
	phases [NumPhases]time.Duration
}

// Add adds d to the phase. Negative durations count as zero.
func (t *Timing) Add(p Phase, d time.Duration) {
	if t != nil && d > 0 {
		t.phases[p] += d
	}
}

// Get returns the time recorded for the phase.
func (t *Timing) Get(p Phase) time.Duration {
	if t == nil {
		return 0
	}
	return t.phases[p]
}

// Merge adds every phase of o.
func (t *Timing) Merge(o *Timing) {
	if t == nil || o == nil {
		return
	}
	for p, d := range o.phases {
		t.phases[p] += d
	}
}

// Cold reports whether a cold start is part of the time: any of decide, place, start or init.
func (t *Timing) Cold() bool {
	return t.Get(PhaseDecide)+t.Get(PhasePlace)+t.Get(PhaseStart)+t.Get(PhaseInit) > 0
}

// Total is the sum of all phases.
func (t *Timing) Total() (sum time.Duration) {
	if t != nil {
		for _, d := range t.phases {
			sum += d
		}
	}
	return sum
}

// AppendServerTiming appends the value of a Server-Timing header (W3C Server
// Timing): every phase in order, durations in milliseconds.
func (t *Timing) AppendServerTiming(b []byte) []byte {
	for p, name := range phaseNames {
		if p > 0 {
			b = append(b, ", "...)
		}
		b = append(b, name...)
		b = append(b, ";dur="...)
		us := t.Get(Phase(p)).Microseconds()
		b = strconv.AppendInt(b, us/1000, 10)
		if frac := us % 1000; frac != 0 {
			b = append(b, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
		}
	}
	return b
}

type timingKey struct{}

// WithTiming returns a context that carries t to the components of a cold start.
func WithTiming(ctx context.Context, t *Timing) context.Context {
	return context.WithValue(ctx, timingKey{}, t)
}

// TimingFrom returns the Timing that ctx carries, or nil (which may be used).
func TimingFrom(ctx context.Context) *Timing {
	t, _ := ctx.Value(timingKey{}).(*Timing)
	return t
}
