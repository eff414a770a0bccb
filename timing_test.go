package faas_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas"
)

func TestTiming(t *testing.T) {
	var a, b faas.Timing
	a.Add(faas.PhaseQueue, time.Second)
	a.Add(faas.PhaseQueue, time.Second)
	a.Add(faas.PhaseRun, -time.Hour)
	assert.Equal(t, 2*time.Second, a.Get(faas.PhaseQueue))
	assert.Zero(t, a.Get(faas.PhaseRun), "negative counts as zero")
	b.Add(faas.PhaseQueue, time.Millisecond)
	b.Add(faas.PhaseLookup, time.Microsecond)
	a.Merge(&b)
	assert.Equal(t, 2*time.Second+time.Millisecond+time.Microsecond, a.Total())
	assert.Equal(t, time.Millisecond+time.Microsecond, b.Total())
}

func TestTimingIsColdWithAnyPhaseOfAStart(t *testing.T) {
	cold := map[faas.Phase]bool{faas.PhaseDecide: true, faas.PhasePlace: true, faas.PhaseStart: true, faas.PhaseInit: true}
	for p := range faas.Phase(faas.NumPhases) {
		var tm faas.Timing
		tm.Add(p, 1)
		assert.Equal(t, cold[p], tm.Cold(), p)
	}
	assert.Equal(t, "start phase(7) phase(-1)", fmt.Sprint(faas.PhaseStart, " ", faas.Phase(faas.NumPhases), " ", faas.Phase(-1)))
}

func TestNilTimingRecordsNothing(t *testing.T) {
	var none *faas.Timing
	none.Add(faas.PhaseRun, time.Second)
	none.Merge(&faas.Timing{})
	(&faas.Timing{}).Merge(none)
	assert.Zero(t, none.Get(faas.PhaseRun))
	assert.Zero(t, none.Total())
	assert.False(t, none.Cold())
	assert.Equal(t, "queue;dur=0, lookup;dur=0, decide;dur=0, place;dur=0, start;dur=0, init;dur=0, run;dur=0", string(none.AppendServerTiming(nil)))
	assert.Nil(t, faas.TimingFrom(t.Context()))
}

func TestServerTiming(t *testing.T) {
	var tm faas.Timing
	for p, d := range []time.Duration{time.Second, 999 * time.Nanosecond, time.Microsecond, 50 * time.Microsecond, 1500 * time.Microsecond, 10 * time.Millisecond, 12345678 * time.Microsecond} {
		tm.Add(faas.Phase(p), d)
	}
	assert.Equal(t, "x queue;dur=1000, lookup;dur=0, decide;dur=0.001, place;dur=0.050, start;dur=1.500, init;dur=10, run;dur=12345.678",
		string(tm.AppendServerTiming([]byte("x "))))
	buf := make([]byte, 0, 256)
	assert.Zero(t, testing.AllocsPerRun(100, func() { buf = tm.AppendServerTiming(buf[:0]) }))
}

func TestTimingTravelsWithTheContext(t *testing.T) {
	tm := new(faas.Timing)
	ctx, cancel := context.WithCancel(faas.WithTiming(t.Context(), tm))
	defer cancel()
	assert.Same(t, tm, faas.TimingFrom(ctx))
}
