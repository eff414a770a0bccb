package workflow

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/joinery/faas"
)

// Jitter says how a delay is spread.
type Jitter string

// The kinds of jitter (Marc Brooker, "Exponential Backoff And Jitter", 2015).
const (
	// JitterNone: the delay as computed.
	JitterNone Jitter = ""
	// JitterFull: uniform between zero and the delay.
	JitterFull Jitter = "full"
	// JitterEqual: half the delay, and uniform up to another half.
	JitterEqual Jitter = "equal"
)

// AnyFailure in RetryRule.Failures matches every failure but FailureCanceled, FailureTerminated and FailureProgram.
const AnyFailure = "*"

// Retry says which failures are retried, when and how often. Each rule counts on its own;
// the first rule that names the failure applies, and when it is used up the failure is
// final. The zero value retries nothing. The rules are those of the Amazon States Language.
type Retry []RetryRule

// RetryRule is one rule of a Retry.
type RetryRule struct {
	// Failures are names of failures, or AnyFailure.
	Failures []string `json:"failures"`
	// Max is the number of retries. Zero: none (the rule only keeps later rules from matching).
	Max int `json:"max"`
	// Interval is the delay before the first retry. Zero: at once.
	Interval time.Duration `json:"interval,omitempty"`
	// Rate multiplies the delay from retry to retry, at least 1. Zero: 2.
	Rate float64 `json:"rate,omitempty"`
	// MaxInterval caps the delay. Zero: a day.
	MaxInterval time.Duration `json:"maxInterval,omitempty"`
	// Jitter spreads the delay.
	Jitter Jitter `json:"jitter,omitempty"`
}

const (
	defaultRate        = 2
	defaultMaxInterval = 24 * time.Hour
)

// Validate returns ErrInvalidArgument with every fault.
func (r Retry) Validate() error {
	var errs []error
	bad := func(field, rule string) {
		errs = append(errs, faas.Errorf("workflow", "validate", field, faas.ErrInvalidArgument, "%s", rule))
	}
	for _, rule := range r {
		if len(rule.Failures) == 0 || slices.Contains(rule.Failures, "") {
			bad("retry.failures", `names no failure; use "*" for any`)
		}
		if rule.Max < 0 {
			bad("retry.max", "is negative")
		}
		if rule.Interval < 0 || rule.MaxInterval < 0 {
			bad("retry.interval", "is negative")
		}
		if rule.Rate != 0 && !(rule.Rate >= 1 && rule.Rate <= 1000) {
			bad("retry.rate", "is not between 1 and 1000")
		}
		if rule.Jitter != JitterNone && rule.Jitter != JitterFull && rule.Jitter != JitterEqual {
			bad("retry.jitter", `is not "", "full" or "equal"`)
		}
	}
	return errors.Join(errs...)
}

// Rule returns the index of the rule for a failure of that name, or -1.
func (r Retry) Rule(name string) int {
	for i := range r {
		for _, f := range r[i].Failures {
			if f == name || f == AnyFailure && name != FailureCanceled && name != FailureTerminated && name != FailureProgram {
				return i
			}
		}
	}
	return -1
}

// Delay is the time before retry n of the rule, counted from 0:
// min(Interval x Rate^n, MaxInterval), spread by Jitter. random is in [0, 1): drawn once,
// and what comes out is recorded, so that a replay never draws again.
func (r *RetryRule) Delay(n int, random float64) time.Duration {
	rate, most := r.Rate, r.MaxInterval
	if rate == 0 {
		rate = defaultRate
	}
	if most == 0 {
		most = defaultMaxInterval
	}
	d := min(float64(r.Interval)*math.Pow(rate, float64(n)), float64(most))
	switch r.Jitter {
	case JitterFull:
		d *= random
	case JitterEqual:
		d = d/2 + d/2*random
	}
	return time.Duration(d)
}
