// Package keepalive is the oldest policy of function platforms as an
// autoscaler.Policy (F6 of the SPEC-RG reference architecture): an instance is kept for a
// fixed time after it was last needed.
//
// It thinks of the pool and not of the function: with a keep-alive of 10 minutes, the
// number wanted is the most that was needed at any time in the last 10 minutes, where
//
//	needed = ceil(concurrency / hard limit per instance)
//
// and at least one while requests arrive. So after a burst the extra instances go
// 10 minutes later, although others are still in use, and the last one 10 minutes after the
// last request.
//
// # Snippet
//
//	p, err := keepalive.New(keepalive.Config{KeepAlive: time.Minute})
//	d := p.Decide(now, autoscaler.Samples{History: points, Concurrency: 1})
//
// # Errors
//
// New: ErrInvalidArgument. Decide has none.
//
// # Concurrency
//
// A Policy has no state and is safe for concurrent use; one serves every function.
package keepalive

import (
	"fmt"
	"math"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/internal/peak"
)

// DefaultKeepAlive is that of OpenWhisk and of the literature.
const DefaultKeepAlive = 10 * time.Minute

// Config is the configuration of the policy.
type Config struct {
	// KeepAlive is for functions without a Scale.KeepAlive of their own. Zero: DefaultKeepAlive.
	KeepAlive time.Duration
}

// Policy is an autoscaler.Policy.
type Policy struct{ keepAlive time.Duration }

// New returns a policy. Errors: ErrInvalidArgument (a negative keep-alive).
func New(cfg Config) (*Policy, error) {
	if cfg.KeepAlive < 0 {
		return nil, faas.Errorf("keepalive", "new policy", "KeepAlive", faas.ErrInvalidArgument, "%v is negative", cfg.KeepAlive)
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = DefaultKeepAlive
	}
	return &Policy{keepAlive: cfg.KeepAlive}, nil
}

// Window implements autoscaler.Policy. It is short, for what was needed before is in the
// state: it has to hold the points between two decisions only.
func (p *Policy) Window() time.Duration { return time.Minute }

type state struct {
	needed peak.Window // positions are seconds
	last   time.Time   // of the points that were seen
}

// Decide implements autoscaler.Policy.
func (p *Policy) Decide(now time.Time, s autoscaler.Samples) autoscaler.Decision {
	keep := p.keepAlive
	if s.Scale.KeepAlive > 0 {
		keep = s.Scale.KeepAlive
	}
	var st state
	if old, ok := s.State.(*state); ok && old != nil {
		st = *old
		if st.last.After(now) { // the clock was set back
			st.last = now
		}
	} else {
		// What runs at first was needed a moment ago.
		st.needed = st.needed.Record(now.Unix(), max(s.Ready+s.Starting, 0), seconds(keep))
	}
	for _, point := range s.History {
		if point.Time.After(st.last) && !point.Time.After(now) {
			st.last = point.Time
			if at := point.Time.Unix(); at > now.Unix()-seconds(keep) {
				st.needed = st.needed.Record(at, need(point, s.Concurrency), seconds(keep))
			}
		}
	}
	needs := 0
	if n := len(s.History); n > 0 {
		needs = need(s.History[n-1], s.Concurrency)
	}
	// Nothing was needed now: that makes what is too old go.
	st.needed = st.needed.Record(now.Unix(), 0, seconds(keep))
	most := st.needed.Max()
	n := s.Bound(most)
	why := fmt.Sprintf("needs %d, and at most %d in the last %v; want %d", needs, most, keep, n)
	return autoscaler.Decision{Instances: n, Why: why, State: &st}
}

func seconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }

// need is how many instances the demand of one point keeps busy.
func need(p autoscaler.Point, limit int) int {
	c := p.Concurrency
	switch {
	case !(c > 0): // NaN too
		if p.Arrivals > 0 {
			return 1
		}
		return 0
	case limit <= 0:
		return 1
	}
	return int(math.Min(math.Ceil(c/float64(limit)), math.MaxInt32))
}
