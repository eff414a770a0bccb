//go:build linux

package procdriver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

func TestContracts(t *testing.T) {
	d := open(t, nil)
	for _, c := range []faas.Contract{faas.ContractHTTP, faas.ContractSocket, faas.ContractInherit} {
		t.Run(string(c), func(t *testing.T) {
			st := start(t, d, task(t, "i1", c))
			assert.NotEmpty(t, mustGet(t, st.Endpoint, "/pid"))
			require.NoError(t, d.Stop(ctx(t), "i1", 10*time.Second))
		})
	}
	t.Run("stdio", func(t *testing.T) {
		st := start(t, d, task(t, "i1", faas.ContractStdio, "stdio"))
		assert.Equal(t, "", mustGet(t, st.Endpoint, "/pid"))
		require.NoError(t, d.Stop(ctx(t), "i1", 10*time.Second))
	})
}
