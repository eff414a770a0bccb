package clip

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	exact := strings.Repeat("a", 80)
	require.Equal(t, exact, Text(exact))
	require.Equal(t, exact+"…", Text(exact+"b"))
}
