package taskgraph

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrderAndReach(t *testing.T) {
	g := New([][]int32{{1, 2}, {3}, {3}, {}})
	require.Equal(t, []int32{3, 1, 2, 0}, g.Order())
	require.Empty(t, g.Cycles(10))
	require.Equal(t, []int32{1, 2}, g.Next(3))
	up, down := g.Ancestors(), g.Descendants()
	require.True(t, up.Has(0, 3))
	require.False(t, up.Has(3, 0))
	require.False(t, up.Has(1, 2))
	require.True(t, down.Has(3, 0))
	require.False(t, down.Has(0, 3))
}

func TestCyclesAreNamed(t *testing.T) {
	g := New([][]int32{{0}, {2}, {3}, {1}, {1}, {}})
	require.ElementsMatch(t, [][]int32{{0}, {1, 2, 3}}, g.Cycles(10))
	require.Len(t, g.Cycles(1), 1)
}

func TestTenThousandTasks(t *testing.T) {
	needs := make([][]int32, 10_000)
	for i := range needs {
		for j := max(0, i-5); j < i; j++ {
			needs[i] = append(needs[i], int32(j))
		}
	}
	g := New(needs)
	require.Len(t, g.Order(), len(needs))
	require.True(t, g.Ancestors().Has(9_999, 0))
	needs[0] = []int32{9_999}
	require.NotEmpty(t, New(needs).Cycles(3))
}
