package fission

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func BenchmarkMachine(b *testing.B) {
	prelude, err := compilePrelude()
	require.NoError(b, err)
	code, err := compileExpression("{ 1 + 1 }")
	require.NoError(b, err)
	b.ReportAllocs()
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			m, err := newMachine(prelude)
			if err != nil {
				b.Fatal(err)
			}
			m.begin(time.Time{}, 1, 2)
			if _, err := m.run(code.program); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("used", func(b *testing.B) {
		m, err := newMachine(prelude)
		require.NoError(b, err)
		require.NoError(b, m.seal())
		for b.Loop() {
			m.begin(time.Time{}, 1, 2)
			if _, err := m.run(code.program); err != nil {
				b.Fatal(err)
			}
		}
	})
}
