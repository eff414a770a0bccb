package ring

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLastValuesAreKeptInOrder(t *testing.T) {
	r := New[int](3)
	require.Empty(t, r.All())
	for v := range 8 {
		r.Add(v)
		want := []int{v - 2, v - 1, v}
		require.Equal(t, want[max(0, 2-v):], r.All())
	}
	r.All()[0] = 99
	require.Equal(t, []int{5, 6, 7}, r.All())
}
