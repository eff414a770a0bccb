// Package concurrency is Knative's pod autoscaler (KPA) as an autoscaler.Policy (F6 of
// the SPEC-RG reference architecture): enough instances that each has a target number of
// requests at a time, from the mean of a long (stable) and a short (panic) window.
//
// Formulas and defaults are those of Knative Serving (pkg/autoscaler), with these words:
// pods are instances, containerConcurrency is Samples.Concurrency, the target annotation is
// Scale.Target, the scale bounds are Scale.Min and Scale.Max, a revision that is not
// reachable is Samples.Retired. With P = max(1, ready):
//
//	total  = Scale.Target, at most the hard limit; else the hard limit; else Config.Target
//	target = max(0.01, total * Config.Utilization)
//	up     = ceil(MaxScaleUpRate * P)
//	down   = floor(P / MaxScaleDownRate), 0 when retired
//	stable = min(max(ceil(mean over the stable window / target), down), up)
//	panic  = the same over the panic window
//
// It panics when ceil(mean over the panic window / target) / P reaches the panic
// threshold, until that was not so for a whole stable window; meanwhile it takes the larger of
// both and never scales down. A scale-down waits for ScaleDownDelay, and the last
// instance for the grace period. Excess burst capacity has no part in it: here the router
// always queues.
//
// # Snippet
//
//	kpa, err := concurrency.New(concurrency.Config{Target: 10})
//	d := kpa.Decide(now, autoscaler.Samples{History: points, Ready: 2})
//
// # Errors
//
// New: ErrInvalidArgument. Decide has none: without data it holds.
//
// # Concurrency
//
// A Policy has no state and is safe for concurrent use; one serves every function.
package concurrency

import (
	"errors"
	"fmt"
	"time"

	"github.com/joinery/faas"
)

// Config is the configuration of the policy. The zero value of a field is Knative's default.
type Config struct {
	// Target is the total concurrency of one instance when the function has neither a
	// Scale.Target nor a hard limit. Zero: 100.
	Target float64
	// Utilization is the share of the total to aim at, above 0 and at most 1. Zero: 0.7.
	Utilization float64
	// StableWindow is the long window, 6 s to 1 h in whole seconds. Zero: 60 s.
	StableWindow time.Duration
	// PanicWindow is the short window as a percentage of the long one, 1 to 100; it must come to at
	// least one second. Zero: 10.
	PanicWindow float64
	// PanicThreshold is the percentage of the present instances whose need begins a panic,
	// 110 to 1000. Zero: 200.
	PanicThreshold float64
	// MaxScaleUpRate bounds one step up as a factor, above 1. Zero: 1000.
	MaxScaleUpRate float64
	// MaxScaleDownRate bounds one step down as a divisor, above 1. Zero: 2.
	MaxScaleDownRate float64
	// ScaleDownDelay is how long a smaller need must last before it is followed, 0 to 1 h. Zero: none.
	ScaleDownDelay time.Duration
	// ActivationScale is the least number of instances whenever any is needed. Zero: 1.
	ActivationScale int
	// ScaleToZeroGrace is how long the last instance outlives the need for it. Zero: 30 s.
	ScaleToZeroGrace time.Duration
	// LastInstanceRetention is the least such time, over the grace. Zero: none.
	LastInstanceRetention time.Duration
	// KeepLast keeps the last instance for ever: no scale to zero.
	KeepLast bool
}

// The granularity of Knative's windows: of the means, and of the scale-down delay.
const (
	bucket    = time.Second
	delayStep = 2 * time.Second
	targetMin = 0.01
)

// Policy is an autoscaler.Policy.
type Policy struct {
	cfg         Config
	panicWindow time.Duration
	zeroAfter   time.Duration
}

// New returns a policy. Errors: ErrInvalidArgument, naming every field that is out of its range.
func New(cfg Config) (*Policy, error) {
	setDefault(&cfg.Target, 100)
	setDefault(&cfg.Utilization, 0.7)
	setDefault(&cfg.StableWindow, 60*time.Second)
	setDefault(&cfg.PanicWindow, 10)
	setDefault(&cfg.PanicThreshold, 200)
	setDefault(&cfg.MaxScaleUpRate, 1000)
	setDefault(&cfg.MaxScaleDownRate, 2)
	setDefault(&cfg.ActivationScale, 1)
	setDefault(&cfg.ScaleToZeroGrace, 30*time.Second)

	var errs []error
	check := func(ok bool, field, rule string, v any) {
		if !ok {
			errs = append(errs, faas.Errorf("concurrency", "new policy", field, faas.ErrInvalidArgument, "%v: %s", v, rule))
		}
	}
	const hour = time.Hour
	panicWindow := time.Duration(float64(cfg.StableWindow) * cfg.PanicWindow / 100)
	check(cfg.Target >= targetMin && cfg.Target <= 1e9, "Target", "is not from 0.01 to 1e9", cfg.Target)
	check(cfg.Utilization > 0 && cfg.Utilization <= 1, "Utilization", "is not above 0 and at most 1", cfg.Utilization)
	check(cfg.StableWindow >= 6*time.Second && cfg.StableWindow <= hour && cfg.StableWindow%time.Second == 0,
		"StableWindow", "is not 6 s to 1 h in whole seconds", cfg.StableWindow)
	check(cfg.PanicWindow >= 1 && cfg.PanicWindow <= 100, "PanicWindow", "is not 1 to 100 percent", cfg.PanicWindow)
	check(panicWindow >= bucket, "PanicWindow", "comes to less than one second", panicWindow)
	check(cfg.PanicThreshold >= 110 && cfg.PanicThreshold <= 1000, "PanicThreshold", "is not 110 to 1000 percent", cfg.PanicThreshold)
	check(cfg.MaxScaleUpRate > 1 && cfg.MaxScaleUpRate <= 1e9, "MaxScaleUpRate", "is not above 1 and at most 1e9", cfg.MaxScaleUpRate)
	check(cfg.MaxScaleDownRate > 1 && cfg.MaxScaleDownRate <= 1e9, "MaxScaleDownRate", "is not above 1 and at most 1e9", cfg.MaxScaleDownRate)
	check(cfg.ScaleDownDelay >= 0 && cfg.ScaleDownDelay <= hour, "ScaleDownDelay", "is not 0 to 1 h", cfg.ScaleDownDelay)
	check(cfg.ActivationScale >= 1, "ActivationScale", "is not positive", cfg.ActivationScale)
	check(cfg.ScaleToZeroGrace >= 0, "ScaleToZeroGrace", "is negative", cfg.ScaleToZeroGrace)
	check(cfg.LastInstanceRetention >= 0, "LastInstanceRetention", "is negative", cfg.LastInstanceRetention)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Policy{cfg: cfg, panicWindow: panicWindow, zeroAfter: max(cfg.ScaleToZeroGrace, cfg.LastInstanceRetention)}, nil
}

func setDefault[T comparable](field *T, v T) {
	var zero T
	if *field == zero {
		*field = v
	}
}

// Window implements autoscaler.Policy: the stable window.
func (p *Policy) Window() time.Duration { return p.cfg.StableWindow }

// String is the configuration in one line, with its defaults.
func (p *Policy) String() string { return fmt.Sprintf("concurrency%+v", p.cfg) }
