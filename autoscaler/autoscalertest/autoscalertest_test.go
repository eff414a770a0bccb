package autoscalertest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/keepalive"
	"github.com/joinery/faas/internal/recordtb"
)

const keep = time.Minute

// double is a correct policy with one thing changed: before the decision or after it.
type double struct {
	autoscaler.Policy
	before func(now time.Time, s *autoscaler.Samples)
	after  func(now time.Time, s autoscaler.Samples, d *autoscaler.Decision)
}

func (p double) Decide(now time.Time, s autoscaler.Samples) autoscaler.Decision {
	given := s
	if p.before != nil {
		p.before(now, &s)
	}
	d := p.Policy.Decide(now, s)
	if p.after != nil {
		p.after(now, given, &d)
	}
	return d
}

// decide makes n the decision, and the explanation fit it.
func decide(d *autoscaler.Decision, n int) {
	d.Instances, d.Why = n, fmt.Sprintf("want %d", n)
}

type shrinking struct {
	autoscaler.Policy
	asked *int
}

func (p shrinking) Window() time.Duration {
	*p.asked++
	return time.Hour / time.Duration(*p.asked)
}

type windowless struct{ autoscaler.Policy }

func (windowless) Window() time.Duration { return 0 }

// counting is a policy whose state is changed after it was returned.
type counting struct{ autoscaler.Policy }

type count struct {
	inner any
	n     int
}

func (p counting) Decide(now time.Time, s autoscaler.Samples) autoscaler.Decision {
	st, ok := s.State.(*count)
	if !ok || st == nil {
		st = &count{}
	}
	s.State = st.inner
	d := p.Policy.Decide(now, s)
	st.n++
	st.inner = d.State
	d.State = st
	return d
}

func last(s autoscaler.Samples) (p autoscaler.Point) {
	if n := len(s.History); n > 0 {
		p = s.History[n-1]
	}
	return p
}

// flaws has, for each clause, policies that it must not pass.
var flaws = map[string]func(base autoscaler.Policy) []autoscaler.Policy{
	"window": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{shrinking{base, new(int)}, windowless{base}}
	},
	"pure": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{
			double{Policy: base, after: func(_ time.Time, _ autoscaler.Samples, d *autoscaler.Decision) {
				d.Why += time.Now().String()
			}},
			double{Policy: base, before: func(_ time.Time, s *autoscaler.Samples) {
				for i := range s.History {
					if s.History[i].Arrivals != 0 {
						s.History[i].Arrivals = 0
					}
				}
			}},
		}
	},
	"state-unchanged": func(base autoscaler.Policy) []autoscaler.Policy { return []autoscaler.Policy{counting{base}} },
	"explains": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{
			double{Policy: base, after: func(_ time.Time, _ autoscaler.Samples, d *autoscaler.Decision) { d.Why = "" }},
			double{Policy: base, after: func(_ time.Time, _ autoscaler.Samples, d *autoscaler.Decision) { d.Why = "because of 123456" }},
		}
	},
	"bounds": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{
			double{Policy: base, before: func(_ time.Time, s *autoscaler.Samples) { s.Scale.Max = 0 }},
			double{Policy: base, before: func(_ time.Time, s *autoscaler.Samples) { s.Scale.Min = 0 }},
			double{Policy: base, after: func(_ time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				if s.Scale.Max == 0 {
					decide(d, s.Bound(max(d.Instances, 1)))
				}
			}},
		}
	},
	"retired": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{
			double{Policy: base, before: func(_ time.Time, s *autoscaler.Samples) { s.Retired = false }},
			double{Policy: base, after: func(_ time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				if s.Retired {
					decide(d, 0)
				}
			}},
		}
	},
	"enough": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{
			double{Policy: base, after: func(_ time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				decide(d, s.Bound((d.Instances+1)/2))
			}},
			double{Policy: base, after: func(now time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				if now.Second() == 31 {
					decide(d, s.Bound(0))
				}
			}},
		}
	},
	"monotonic": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{double{Policy: base, after: func(_ time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
			if d.Instances == 5 {
				decide(d, s.Bound(50))
			}
		}}}
	},
	"zero-when-idle": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{
			double{Policy: base, after: func(_ time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				if s.Ready > 0 {
					decide(d, s.Bound(max(d.Instances, 1)))
				}
			}},
			double{Policy: base, after: func(now time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				if now.Second() == 31 {
					decide(d, s.Bound(max(d.Instances, 1)))
				}
			}},
		}
	},
	"from-zero": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{double{Policy: base, after: func(_ time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
			d.Hold = s.Ready == 0
		}}}
	},
	"flapping": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{
			double{Policy: base, after: func(now time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				decide(d, s.Bound(d.Instances-int(now.Unix()/2%2)))
			}},
			double{Policy: base, after: func(_ time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				decide(d, s.Bound(int(last(s).Concurrency)))
			}},
		}
	},
	"hostile-samples": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{
			double{Policy: base, before: func(_ time.Time, s *autoscaler.Samples) {
				if math.IsNaN(last(*s).Arrivals) || math.IsNaN(last(*s).Concurrency) {
					panic("not a number")
				}
			}},
			double{Policy: base, after: func(_ time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
				if s.Ready > math.MaxInt32 {
					d.Instances = -1
				}
			}},
		}
	},
	"foreign-state": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{double{Policy: base, before: func(_ time.Time, s *autoscaler.Samples) {
			if n, ok := s.State.(int); ok {
				s.Ready = n + 10
			}
			if _, ok := s.State.(string); ok {
				panic("a string")
			}
		}}}
	},
	"clock-set": func(base autoscaler.Policy) []autoscaler.Policy {
		latest := time.Time{}
		return []autoscaler.Policy{double{Policy: base, before: func(now time.Time, s *autoscaler.Samples) {
			if now.After(latest) || latest.Sub(now) > 48*time.Hour {
				latest = now
			} else {
				s.History, s.State = nil, nil // it waits for a time it has seen already
				s.Ready = 0
			}
		}}}
	},
	"time-shift": func(base autoscaler.Policy) []autoscaler.Policy {
		return []autoscaler.Policy{double{Policy: base, after: func(now time.Time, s autoscaler.Samples, d *autoscaler.Decision) {
			if now.Weekday() == time.Sunday {
				decide(d, s.Bound(d.Instances+1))
			}
		}}}
	},
}

func harness(tb testing.TB, p autoscaler.Policy) Harness {
	return Harness{Policy: func(testing.TB) autoscaler.Policy { return p }, Settle: 10 * time.Second, Idle: keep}
}

// TestKitNotices runs every clause against a correct policy and against its broken ones.
func TestKitNotices(t *testing.T) {
	base, err := keepalive.New(keepalive.Config{KeepAlive: keep})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clauses() {
		t.Run(c.name, func(t *testing.T) {
			if r := recordtb.Run(t, func(tb testing.TB) { c.run(tb, harness(tb, base)) }); r.Failed() || r.Skipped() {
				t.Errorf("a correct policy fails:\n%s", r.Recorded())
			}
			if flaws[c.name] == nil {
				t.Fatal("there is no policy that it must not pass")
			}
			for i, p := range flaws[c.name](base) {
				r := recordtb.Run(t, func(tb testing.TB) { c.run(tb, harness(tb, p)) })
				if !r.Failed() {
					t.Errorf("broken policy %d passes", i)
				}
				t.Logf("noticed of policy %d: %s", i, r.Recorded())
			}
		})
	}
}

func TestHarnessIsChecked(t *testing.T) {
	if !recordtb.Run(t, func(tb testing.TB) { clauses()[0].run(tb, Harness{}) }).Failed() {
		t.Error("an empty harness passes")
	}
}
