package httpfield

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTokensAndValues(t *testing.T) {
	for _, s := range []string{"X-A", "GET", "a!#$%&'*+-.^_`|~9"} {
		assert.True(t, ValidToken(s), "%q", s)
	}
	for _, s := range []string{"", "a b", "a:", "a\r", "a\n", "a\x00", "é", "(", "a\t", "\x7f"} {
		assert.False(t, ValidToken(s), "%q", s)
	}
	for _, s := range []string{"", "a b\tc", "é", "a,b"} {
		assert.True(t, ValidValue(s), "%q", s)
	}
	for _, s := range []string{"a\r", "a\nb", "a\x00", "\x1b[0m", "\x7f"} {
		assert.False(t, ValidValue(s), "%q", s)
	}
}

func TestHopByHopInAnyCase(t *testing.T) {
	hop := []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade"}
	for _, k := range hop {
		for _, k := range []string{k, strings.ToLower(k), strings.ToUpper(k)} {
			assert.True(t, HopByHop(k), k)
		}
	}
	for _, k := range []string{"Content-Type", "Authorization", "X-Upgrade", "Ta", "Host"} {
		assert.False(t, HopByHop(k), k)
	}
	assert.True(t, Internal("x-joinery-attempt"))
	assert.False(t, Internal("X-Joiner"))
}

func TestConnectionLists(t *testing.T) {
	h := http.Header{"connection": {"close , X-Auth", "x-b"}}
	c := Connection(h)
	assert.True(t, Listed(c, "X-Auth"))
	assert.True(t, Listed(c, "X-B"))
	assert.True(t, Listed(c, "Close"))
	assert.False(t, Listed(c, "X-Au"))
	assert.False(t, Listed(nil, "X-Auth"))
}
