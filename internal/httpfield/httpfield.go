// Package httpfield holds the rules about HTTP fields that both sides of the
// data path, router/httpfront and deployer/httpinstance, share: what a field
// name and a value may contain (RFC 9110, 5.1 and 5.5), and which fields end at
// each hop (RFC 9110, 7.6.1).
package httpfield

import (
	"net/http"
	"strings"
)

// Names of the platform's own fields.
const (
	// RequestID carries faas.Request.ID.
	RequestID = "X-Request-Id"
	// Deadline carries the moment the call's deadline passes, in milliseconds since the Unix epoch.
	Deadline = "X-Request-Deadline"
	// internalPrefix begins every field that only the platform's own parts may set.
	internalPrefix = "X-Joinery-"
)

// token marks the bytes of a token (RFC 9110, 5.6.2).
var token = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// ValidToken reports whether s may be a field name or a method.
func ValidToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !token[s[i]] {
			return false
		}
	}
	return s != ""
}

// ValidValue reports whether s may be a field's value: no control byte but the tab.
func ValidValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}

// HopByHop reports whether the field of that name, in any case, concerns one
// connection alone and is never forwarded.
func HopByHop(name string) bool {
	switch len(name) {
	case 2:
		return strings.EqualFold(name, "Te")
	case 7:
		return strings.EqualFold(name, "Trailer") || strings.EqualFold(name, "Upgrade")
	case 10:
		return strings.EqualFold(name, "Connection") || strings.EqualFold(name, "Keep-Alive")
	case 16:
		return strings.EqualFold(name, "Proxy-Connection")
	case 17:
		return strings.EqualFold(name, "Transfer-Encoding")
	case 18:
		return strings.EqualFold(name, "Proxy-Authenticate")
	case 19:
		return strings.EqualFold(name, "Proxy-Authorization")
	}
	return false
}

// Internal reports whether only the platform's own parts may set the field.
func Internal(name string) bool {
	return len(name) >= len(internalPrefix) && strings.EqualFold(name[:len(internalPrefix)], internalPrefix)
}

// Listed reports whether one of the Connection fields names the field: such a
// field is as hop-by-hop as those that HopByHop knows.
func Listed(connection []string, name string) bool {
	for _, v := range connection {
		if HasToken(v, name) {
			return true
		}
	}
	return false
}

// HasToken reports whether the comma-separated list holds the token, in any case.
func HasToken(list, tok string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(item, " \t"), tok) {
			return true
		}
	}
	return false
}

// Connection returns h's Connection fields whatever the case of their key.
func Connection(h http.Header) []string {
	if v, ok := h["Connection"]; ok {
		return v
	}
	for k, v := range h {
		if len(k) == len("Connection") && strings.EqualFold(k, "Connection") {
			return v
		}
	}
	return nil
}
