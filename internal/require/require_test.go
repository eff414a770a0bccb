package require_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas/internal/recordtb"
	"github.com/joinery/faas/internal/require"
)

func TestEngine(t *testing.T) {
	for _, c := range []struct {
		env             string
		available       bool
		failed, skipped bool
	}{
		{"", true, false, false},
		{"python", true, false, false},
		{"", false, false, true},
		{"docker,pythons", false, false, true},
		{"docker, python", false, true, false},
	} {
		t.Setenv(require.Env, c.env)
		r := recordtb.Run(t, func(tb testing.TB) { require.Engine(tb, "python", c.available, "none here") })
		assert.Equal(t, c.failed, r.Failed(), "%+v", c)
		assert.Equal(t, c.skipped, r.Skipped(), "%+v", c)
		if !c.available {
			assert.Contains(t, r.Recorded(), "none here")
		}
	}
}
