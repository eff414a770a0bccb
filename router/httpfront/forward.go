package httpfront

import (
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/joinery/faas/internal/httpfield"
)

// forward copies the fields that go on to the function and adds the forwarding
// ones (RFC 7239 and its X- forerunners; the Knative runtime contract asks for both).
func (f *Front) forward(c *call, r *http.Request) {
	connection := r.Header["Connection"]
	for k, v := range r.Header {
		if httpfield.HopByHop(k) || httpfield.Internal(k) || (connection != nil && httpfield.Listed(connection, k)) {
			continue
		}
		switch k {
		case "Content-Length", "Expect", httpfield.RequestID, httpfield.Deadline:
			continue
		}
		if !f.trust && (k == "Forwarded" || strings.HasPrefix(k, "X-Forwarded-")) {
			continue
		}
		c.header[k] = v
	}
	client := r.RemoteAddr
	if host, _, err := net.SplitHostPort(client); err == nil {
		client = host
	} else {
		client = "" // a unix socket has no address to tell
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	if last := &c.last; last.value == "" || last.client != client || last.host != r.Host || last.proto != proto {
		*last = origin{client, r.Host, proto, forwarded(client, r.Host, proto)}
	}
	c.slots = [4]string{c.last.value, client, r.Host, proto}
	c.add("Forwarded", 0)
	if client != "" {
		c.add("X-Forwarded-For", 1)
	}
	if f.trust && c.header["X-Forwarded-Proto"] != nil && c.header["X-Forwarded-Host"] != nil {
		return // the first proxy knows them best
	}
	c.header["X-Forwarded-Host"] = c.slots[2:3:3]
	c.header["X-Forwarded-Proto"] = c.slots[3:4:4]
}

// origin is a client as one element of a Forwarded field says it.
type origin struct{ client, host, proto, value string }

// add joins the slot's value to the list that the field is.
func (c *call) add(name string, slot int) {
	if old := c.header[name]; len(old) > 0 {
		c.slots[slot] = strings.Join(old, ", ") + ", " + c.slots[slot]
	}
	c.header[name] = c.slots[slot : slot+1 : slot+1]
}

// forwarded is one element of a Forwarded field. Values that are no tokens are quoted.
func forwarded(client, host, proto string) string {
	b := make([]byte, 0, 128)
	b = append(b, "for="...)
	switch {
	case client == "":
		b = append(b, "unknown"...)
	case strings.IndexByte(client, ':') >= 0:
		b = append(b, `"[`...)
		b = append(b, client...)
		b = append(b, `]"`...)
	default:
		b = append(b, client...)
	}
	if host != "" {
		b = append(b, `;host="`...)
		for i := 0; i < len(host); i++ {
			if c := host[i]; c == '"' || c == '\\' {
				b = append(b, '\\')
			}
			b = append(b, host[i])
		}
		b = append(b, '"')
	}
	b = append(b, ";proto="...)
	return string(append(b, proto...))
}

// maxID is the longest request id that is taken from a client.
const maxID = 128

// requestID returns the client's id for the request, or a new one.
func requestID(h http.Header, now time.Time) string {
	if v := h[httpfield.RequestID]; len(v) == 1 && validID(v[0]) {
		return v[0]
	}
	return newID(now)
}

// validID keeps ids harmless wherever they are printed.
func validID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_.:/+=@", c) < 0 {
			return false
		}
	}
	return true
}

// newID returns a UUIDv7 (RFC 9562, 5.7). Its random part comes from the runtime's
// ChaCha8 generators: no system call and no lock.
func newID(now time.Time) string {
	var u [16]byte
	ms := uint64(now.UnixMilli())
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6], u[7] = 0x70|byte(hi>>8)&0x0f, byte(hi)
	for i := range 8 {
		u[8+i] = byte(lo >> (8 * i))
	}
	u[8] = 0x80 | u[8]&0x3f
	var s [36]byte
	hex.Encode(s[0:8], u[0:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:36], u[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
