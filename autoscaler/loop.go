package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/ring"
	"github.com/joinery/faas/router"
)

const component = "autoscaler"

// Defaults of LoopConfig.
const (
	DefaultTick           = 2 * time.Second
	DefaultSampleInterval = 100 * time.Millisecond
	DefaultKeptDecisions  = 1000
)

// LoopConfig configures a Loop.
type LoopConfig struct {
	// Source says what the demand and supply are. Required.
	Source router.Observer
	// Target carries decisions out. Required.
	Target router.Scaler
	// Policy returns the policy of a function version; it is asked once, when the version is
	// first seen. Nil for a version that is not to be scaled. Required.
	Policy func(fn faas.Function) Policy
	// Functions makes the loop keep the Scale.Min instances of functions that nobody
	// calls, and no longer those of versions that are not current. Nil: Scale.Min holds for
	// every version that Source knows, and for no other.
	Functions Functions
	// Tick is the time between two decisions. Zero: DefaultTick.
	Tick time.Duration
	// SampleInterval is the time between two samples of the requests in flight, which are
	// averaged into points of one second. At most PointInterval. Zero: DefaultSampleInterval.
	SampleInterval time.Duration
	// KeptDecisions bounds the decision log. Zero: DefaultKeptDecisions.
	KeptDecisions int
	// Logger receives kept decisions at debug level, and failures as warnings. Nil: discard.
	Logger *slog.Logger
}

// Loop runs policies (F6): it samples the demand of every version that Source knows,
// asks the version's policy on each tick, and has Target scale it. An idle registered
// function costs nothing.
//
// Beyond what the policy decides, the loop
//
//   - applies Scale.Min, Scale.Max and Scale.Initial (for one window after a version is first seen);
//   - takes no instance away that was in use since the last decision: the router starts
//     instances for waiting requests by itself, so that supply may be ahead of a policy's average.
type Loop struct {
	cfg      LoopConfig
	standing standing
	log      *ring.Ring[Record]
	running  atomic.Bool

	// Owned by Run.
	tracked map[faas.Ref]*tracked
	round   uint64 // of sampling
	samples int    // in the present point
}

// NewLoop returns a loop. Errors: ErrInvalidArgument, naming every field that is wrong.
func NewLoop(cfg LoopConfig) (*Loop, error) {
	var errs []error
	bad := func(field, why string) {
		errs = append(errs, faas.Errorf(component, "new loop", field, faas.ErrInvalidArgument, "%s", why))
	}
	if cfg.Source == nil {
		bad("Source", "is required")
	}
	if cfg.Target == nil {
		bad("Target", "is required")
	}
	if cfg.Policy == nil {
		bad("Policy", "is required")
	}
	if cfg.Tick == 0 {
		cfg.Tick = DefaultTick
	}
	if cfg.SampleInterval == 0 {
		cfg.SampleInterval = DefaultSampleInterval
	}
	if cfg.KeptDecisions == 0 {
		cfg.KeptDecisions = DefaultKeptDecisions
	}
	if cfg.SampleInterval < 0 || cfg.SampleInterval > PointInterval {
		bad("SampleInterval", "is negative or more than one second")
	}
	if cfg.Tick < cfg.SampleInterval {
		bad("Tick", "is less than SampleInterval")
	}
	if cfg.KeptDecisions < 0 {
		bad("KeptDecisions", "is negative")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Loop{cfg: cfg, standing: standing{source: cfg.Functions}, log: ring.New[Record](cfg.KeptDecisions),
		tracked: map[faas.Ref]*tracked{}}, nil
}

// Run samples and decides until ctx ends, and then returns nil. It starts no goroutine.
// It runs once: a second Run is ErrConflict.
func (l *Loop) Run(ctx context.Context) error {
	if !l.running.CompareAndSwap(false, true) {
		return faas.Errorf(component, "run", "", faas.ErrConflict, "the loop runs or has run")
	}
	ticker := time.NewTicker(l.cfg.SampleInterval)
	defer ticker.Stop()
	now := time.Now()
	point, decide := now.Truncate(PointInterval), now
	for {
		l.sample(now)
		if end := now.Truncate(PointInterval); !end.Equal(point) {
			l.endPoint(end)
			point = end
		}
		if !now.Before(decide) {
			l.decideAll(ctx, now)
			decide = now.Add(l.cfg.Tick - l.cfg.SampleInterval/2)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			now = time.Now()
		}
	}
}

// sample reads the demand of every version that the source knows. One without demand and
// instances is not taken note of, and so forgotten a window after it had some.
func (l *Loop) sample(now time.Time) {
	l.round++
	l.samples++
	for load := range l.cfg.Source.Loads() {
		t := l.tracked[load.Function.Ref]
		demand := load.InFlight + load.Queued
		exists := demand+load.Ready+load.Starting > 0
		if t == nil {
			if !exists {
				continue
			}
			t = l.track(load.Function, now)
			came := demand // what came before is not known
			if l.round > 1 {
				came = max(came, 1)
			}
			t.arrived = load.Arrived - min(load.Arrived, uint64(came))
		}
		if exists {
			t.seen = now
		}
		t.sum += float64(demand)
		t.peak = max(t.peak, demand)
		t.load, t.round = load, l.round
	}
}

func (l *Loop) track(fn faas.Function, now time.Time) *tracked {
	t := &tracked{fn: fn, policy: l.cfg.Policy(fn), first: now, seen: now, load: router.Load{Function: fn, Wanted: -1}}
	if t.policy != nil {
		t.window = max(t.policy.Window(), PointInterval)
	}
	l.tracked[fn.Ref] = t
	return t
}

// endPoint makes a point of the samples since the last one.
func (l *Loop) endPoint(end time.Time) {
	for _, t := range l.tracked {
		if t.policy != nil {
			t.endPoint(end, l.samples)
		}
	}
	l.samples = 0
}

// decideAll asks every policy and forgets versions that the source no longer knows.
func (l *Loop) decideAll(ctx context.Context, now time.Time) {
	if err := l.standing.refresh(ctx); err != nil && ctx.Err() == nil {
		l.cfg.Logger.Warn("cannot read the functions that want standing instances", "error", err)
	}
	for ref, fn := range l.standing.versions {
		if l.tracked[ref] == nil {
			l.track(fn, now)
		}
	}
	for ref, t := range l.tracked {
		if t.round != l.round { // not in the last sample: nothing of it exists
			t.load = router.Load{Function: t.fn, Wanted: t.load.Wanted, Arrived: t.load.Arrived}
		}
		if _, ok := l.standing.versions[ref]; !ok && now.Sub(t.seen) > t.window {
			delete(l.tracked, ref)
			continue
		}
		if t.policy != nil && ctx.Err() == nil {
			l.decide(ctx, now, t)
		}
	}
}

// decide asks one policy and carries its decision out.
func (l *Loop) decide(ctx context.Context, now time.Time, t *tracked) {
	s := t.samples()
	s.Retired = l.standing.retired(&t.fn)
	d := t.policy.Decide(now, s)
	t.state = d.State
	have := t.load.Ready + t.load.Starting
	r := Record{Time: now, Function: t.fn.Ref, From: have, Instances: have, Hold: d.Hold, Why: d.Why}
	if !d.Hold {
		r.Instances = s.Bound(d.Instances)
		if r.Instances != d.Instances {
			r.Why += fmt.Sprintf("; the bounds %d to %d make it %d", s.Scale.Min, s.Scale.Max, r.Instances)
		}
	}
	if least := t.standing(now, &s); r.Instances < least {
		r.Instances, r.Hold = least, false
		r.Why += fmt.Sprintf("; at least %d without any demand", least)
	}
	per := t.fn.Spec.MaxPerInstance()
	if busy := min(s.Bound((t.peak+per-1)/per), have); r.Instances < busy {
		r.Instances = busy
		r.Why += fmt.Sprintf("; %d in use", busy)
	}
	t.peak = 0
	if r.Instances != have || !r.Hold && r.Instances != max(t.load.Wanted, 0) {
		r.Err = l.cfg.Target.Scale(ctx, t.fn.Ref, r.Instances, r.Why)
		if r.Err == nil {
			t.load.Wanted = r.Instances
		}
	}
	if r.Instances != t.last.Instances || r.Hold != t.last.Hold || r.Err != nil && t.last.Err == nil {
		l.keep(r)
	}
	t.last = r
}

func (l *Loop) keep(r Record) {
	l.log.Add(r)
	l.cfg.Logger.Debug("decision", "function", r.Function, "from", r.From, "instances", r.Instances, "hold", r.Hold, "why", r.Why)
	if r.Err != nil {
		l.cfg.Logger.Warn("cannot scale", "function", r.Function, "instances", r.Instances, "error", r.Err)
	}
}
