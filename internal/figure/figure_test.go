package figure

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFigureLine(t *testing.T) {
	require.Equal(t, "figure warm 1.5 x goal <= 2 ok", Figure{Name: "warm", Value: 1.5, Unit: "x", Op: "<=", Bound: 2}.String())
	require.Equal(t, "figure warm 2.5 x goal <= 2 short", Figure{Name: "warm", Value: 2.5, Unit: "x", Op: "<=", Bound: 2}.String())
	require.Equal(t, "figure lost 0 calls goal == 0 ok", Figure{Name: "lost", Unit: "calls", Op: "=="}.String())
	require.Equal(t, "figure size 12 MB", Figure{Name: "size", Value: 12, Unit: "MB"}.String())
}

func TestMainSaysWhatItDid(t *testing.T) {
	all := []Measurement{
		{Name: "good", What: "works", Run: func() ([]Figure, error) { return []Figure{{Name: "a", Value: 3, Unit: "s"}}, nil }},
		{Name: "bad", What: "fails", Run: func() ([]Figure, error) { return nil, errors.New("no disk") }},
	}
	for _, c := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{nil, 0, "bad              fails", ""},
		{[]string{"good"}, 0, "figure a 3 s", ""},
		{[]string{"bad"}, 1, "# bad", "no disk"},
		{[]string{"ugly"}, 2, "", `no measurement "ugly"`},
	} {
		var out, errs strings.Builder
		require.Equal(t, c.code, Main(c.args, all, &out, &errs))
		require.Contains(t, out.String(), c.out)
		require.Contains(t, errs.String(), c.errs)
	}
}
