package concurrency_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/autoscaler"
	"github.com/joinery/faas/autoscaler/concurrency"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// points has one point for each second up to the end, each with the next of the values.
func points(end time.Time, values ...float64) []autoscaler.Point {
	all := make([]autoscaler.Point, len(values))
	for i, v := range values {
		all[i] = autoscaler.Point{Time: end.Add(time.Duration(i-len(values)+1) * time.Second), Concurrency: v}
	}
	return all
}

func repeat(v float64, n int) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// TestFormulas: one decision each, worked out by hand from the formulas.
func TestFormulas(t *testing.T) {
	minute := func(v float64) []autoscaler.Point { return points(noon, repeat(v, 60)...) }
	for name, c := range map[string]struct {
		cfg  concurrency.Config
		s    autoscaler.Samples
		want int
	}{
		// target 100*0.7 = 70; ceil(140/70) = 2
		"default target":            {s: autoscaler.Samples{History: minute(140), Ready: 2}, want: 2},
		"just over":                 {s: autoscaler.Samples{History: minute(140.1), Ready: 2}, want: 3},
		"hard limit is the total":   {s: autoscaler.Samples{History: minute(7), Ready: 1, Concurrency: 10}, want: 1},
		"annotation":                {s: autoscaler.Samples{History: minute(7), Ready: 2, Scale: faas.Scale{Target: 5}}, want: 2},
		"annotation over limit":     {s: autoscaler.Samples{History: minute(21), Ready: 3, Concurrency: 10, Scale: faas.Scale{Target: 500}}, want: 3},
		"annotation under limit":    {s: autoscaler.Samples{History: minute(21), Ready: 6, Concurrency: 10, Scale: faas.Scale{Target: 5}}, want: 6},
		"utilization":               {cfg: concurrency.Config{Target: 10, Utilization: 1}, s: autoscaler.Samples{History: minute(20), Ready: 2}, want: 2},
		"least target is 0.01":      {s: autoscaler.Samples{History: minute(0.05), Ready: 5, Scale: faas.Scale{Target: 0.001}}, want: 5},
		"no instance counts as one": {cfg: concurrency.Config{MaxScaleUpRate: 3, Target: 1, Utilization: 1}, s: autoscaler.Samples{History: minute(50)}, want: 3},
		// up = ceil(1.1*2) = 3 for ceil(3/1) = 3 (Knative's own remark on being stuck)
		"slow up gets through": {cfg: concurrency.Config{MaxScaleUpRate: 1.1, Target: 1, Utilization: 1}, s: autoscaler.Samples{History: minute(3), Ready: 2, State: calm()}, want: 3},
		// down = floor(9/2) = 4
		"down by half":              {s: autoscaler.Samples{History: minute(0.001), Ready: 9, State: calm()}, want: 4},
		"down by a third":           {cfg: concurrency.Config{MaxScaleDownRate: 3}, s: autoscaler.Samples{History: minute(0.001), Ready: 9, State: calm()}, want: 3},
		"retired goes at once":      {s: autoscaler.Samples{History: minute(0.001), Ready: 9, State: calm(), Retired: true}, want: 1},
		"seen first with many":      {s: autoscaler.Samples{History: minute(0.001), Ready: 9}, want: 9},
		"activation scale":          {cfg: concurrency.Config{ActivationScale: 4}, s: autoscaler.Samples{History: minute(1)}, want: 4},
		"no activation of nothing":  {cfg: concurrency.Config{ActivationScale: 4}, s: autoscaler.Samples{History: minute(0)}, want: 0},
		"max":                       {s: autoscaler.Samples{History: minute(1400), Scale: faas.Scale{Max: 7}}, want: 7},
		"min":                       {s: autoscaler.Samples{History: minute(0), Scale: faas.Scale{Min: 3}}, want: 3},
		"the last one for a while":  {s: autoscaler.Samples{History: minute(0), Ready: 1}, want: 1},
		"the last one for ever":     {cfg: concurrency.Config{KeepLast: true}, s: autoscaler.Samples{History: minute(0)}, want: 1},
		"nothing stays nothing":     {s: autoscaler.Samples{History: minute(0)}, want: 0},
		"six digits: 70.0000004/70": {s: autoscaler.Samples{History: minute(70.0000004), Ready: 1}, want: 1},
		"six digits: 70.0000006/70": {s: autoscaler.Samples{History: minute(70.0000006), Ready: 1}, want: 2},
		// 10 s of 70 in a new window: divided by 10, not by 60
		"partial window": {s: autoscaler.Samples{History: points(noon, repeat(70, 10)...), Ready: 1}, want: 1},
		// 30 points end 20 s ago: sum of the last 30 of 60 s / min(30, 60-20) = 70
		"late data": {s: autoscaler.Samples{History: points(noon.Add(-20*time.Second), repeat(70, 30)...), Ready: 1}, want: 1},
		// the points of one second add up: (35+35)/1
		"one bucket": {s: autoscaler.Samples{History: []autoscaler.Point{{Time: noon, Concurrency: 70}, {Time: noon.Add(900 * time.Millisecond), Concurrency: 70}}, Ready: 2}, want: 2},
	} {
		d := policy(t, c.cfg).Decide(noon, c.s)
		assert.False(t, d.Hold, name)
		assert.Equal(t, c.want, d.Instances, "%s: %s", name, d.Why)
	}
}

// calm is the state after one quiet decision.
func calm() any {
	p, _ := concurrency.New(concurrency.Config{})
	return p.Decide(noon.Add(-2*time.Minute), autoscaler.Samples{History: points(noon.Add(-2*time.Minute), 0), Ready: 1}).State
}

func TestHoldsWithoutData(t *testing.T) {
	p := policy(t, concurrency.Config{})
	assert.True(t, p.Decide(noon, autoscaler.Samples{}).Hold)
	s := autoscaler.Samples{History: points(noon, 70), Ready: 1}
	assert.False(t, p.Decide(noon.Add(60*time.Second), s).Hold)
	assert.True(t, p.Decide(noon.Add(61*time.Second), s).Hold)
}

// step is one decision of a story.
type step struct {
	at    int       // seconds after noon
	add   []float64 // points up to then
	ready int
	want  int
}

func tell(t *testing.T, cfg concurrency.Config, s autoscaler.Samples, steps []step) {
	t.Helper()
	p := policy(t, cfg)
	for i, st := range steps {
		now := noon.Add(time.Duration(st.at) * time.Second)
		s.History = append(s.History, points(now, st.add...)...)
		s.Ready = st.ready
		d := p.Decide(now, s)
		require.Equal(t, st.want, d.Instances, "step %d, %d s: %s", i, st.at, d.Why)
		s.State = d.State
	}
}

// TestPanic: target 10. A minute of 10 with one instance; then a burst.
func TestPanic(t *testing.T) {
	tell(t, concurrency.Config{Target: 10, Utilization: 1}, autoscaler.Samples{}, []step{
		{at: 0, add: repeat(10, 60), ready: 1, want: 1},
		// stable (58*10+2*40)/60 = 11 -> 2; panic (4*10+2*40)/6 = 20 -> 2; 2/1 >= 2: panic
		{at: 2, add: repeat(40, 2), ready: 1, want: 2},
		// panic 6*40/6 = 40 -> 4, 4/2 >= 2 extends the panic to 66+60
		{at: 6, add: repeat(40, 4), ready: 2, want: 4},
		// the burst is over: panic falls to 10 -> 1, but a panic never scales down
		{at: 20, add: repeat(10, 14), ready: 4, want: 4},
		{at: 66, add: repeat(10, 46), ready: 4, want: 4}, // exactly a stable window after: not yet
		{at: 67, add: repeat(10, 1), ready: 4, want: 2},  // then by half a step
		{at: 69, add: repeat(10, 2), ready: 2, want: 1},
	})
}

// TestPanicTakesTheLarger: in a panic the stable need counts too when it is the larger one.
func TestPanicTakesTheLarger(t *testing.T) {
	tell(t, concurrency.Config{Target: 10, Utilization: 1}, autoscaler.Samples{}, []step{
		// stable (50*100+10*40)/60 = 90 -> 9; panic 40 -> 4; 4/2 >= 2: panic, and 9 is wanted
		{at: 0, add: append(repeat(100, 50), repeat(40, 10)...), ready: 2, want: 9},
	})
}

func TestScaleDownDelay(t *testing.T) {
	cfg := concurrency.Config{Target: 10, Utilization: 1, ScaleDownDelay: 10 * time.Second, StableWindow: 10 * time.Second, MaxScaleDownRate: 1000}
	tell(t, cfg, autoscaler.Samples{}, []step{
		{at: 0, add: repeat(30, 10), ready: 3, want: 3},
		// 3 was wanted last at 0 s, when 3 ready began a panic, which ends after 10 s
		{at: 10, add: repeat(10, 10), ready: 3, want: 3},
		{at: 12, add: repeat(10, 2), ready: 3, want: 3}, // 1 is wanted from here on
		{at: 18, add: repeat(10, 6), ready: 3, want: 3},
		{at: 20, add: repeat(10, 2), ready: 3, want: 1}, // 5 buckets of 2 s after 10 s
		{at: 22, add: repeat(20, 2), ready: 1, want: 2}, // up at once: panic (5 s before) and stable
	})
}

func TestScaleToZero(t *testing.T) {
	cfg := concurrency.Config{StableWindow: 10 * time.Second, LastInstanceRetention: 40 * time.Second}
	tell(t, cfg, autoscaler.Samples{}, []step{
		{at: 0, add: repeat(1, 10), ready: 1, want: 1},
		{at: 9, add: repeat(0, 9), ready: 1, want: 1}, // one busy second is in the window
		{at: 10, add: repeat(0, 1), ready: 1, want: 1},
		{at: 48, add: repeat(0, 38), ready: 1, want: 1},
		{at: 49, add: []float64{5}, ready: 1, want: 1}, // needed again: the retention begins anew
		{at: 59, add: repeat(0, 10), ready: 1, want: 1},
		{at: 98, add: repeat(0, 39), ready: 1, want: 1},
		{at: 99, add: repeat(0, 1), ready: 1, want: 0},
		{at: 101, add: repeat(0, 2), ready: 0, want: 0},
		{at: 103, add: []float64{0, 0.5}, ready: 0, want: 1},
	})
}

func TestConfigIsCheckedWhole(t *testing.T) {
	_, err := concurrency.New(concurrency.Config{Target: -1, Utilization: 1.1, StableWindow: 5 * time.Second, PanicWindow: 101,
		PanicThreshold: 100, MaxScaleUpRate: 1, MaxScaleDownRate: 1, ScaleDownDelay: -1, ActivationScale: -1,
		ScaleToZeroGrace: -1, LastInstanceRetention: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"Target", "Utilization", "StableWindow", "PanicWindow", "PanicThreshold", "MaxScaleUpRate",
		"MaxScaleDownRate", "ScaleDownDelay", "ActivationScale", "ScaleToZeroGrace", "LastInstanceRetention"} {
		assert.ErrorContains(t, err, `"`+field+`"`)
	}
	_, err = concurrency.New(concurrency.Config{StableWindow: 6 * time.Second, PanicWindow: 10})
	assert.ErrorContains(t, err, "less than one second")
	assert.Contains(t, policy(t, concurrency.Config{}).String(), "StableWindow:1m0s")
	assert.Equal(t, time.Minute, policy(t, concurrency.Config{}).Window())
}
