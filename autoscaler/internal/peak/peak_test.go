package peak_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/autoscaler/internal/peak"
)

func TestMaxIsThatOfTheWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		span := r.Int64N(20) + 1
		var w peak.Window
		var all []peak.Value
		at := int64(0)
		for range 200 {
			at += r.Int64N(4)
			v := peak.Value{At: at, N: r.IntN(10)}
			all = append(all, v)
			before := slices.Clone(w)
			next := w.Record(v.At, v.N, span)
			require.Equal(t, before, slices.Clone(w), "recording changes nothing")
			w = next
			want := 0
			for _, v := range all {
				if at-v.At < span {
					want = max(want, v.N)
				}
			}
			require.Equal(t, want, w.Max())
			require.LessOrEqual(t, len(w), int(span))
		}
	}
	require.Zero(t, peak.Window(nil).Max())
}

func TestClockSetBack(t *testing.T) {
	w := peak.Window(nil).Record(100, 5, 10).Record(101, 3, 10).Record(50, 1, 10)
	require.Equal(t, 5, w.Max())
	require.Equal(t, 2, w.Record(60, 2, 10).Max())
}
