package httpinstance

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
	"github.com/joinery/faas/internal/httpfield"
)

// framing is how the end of a response's body is found (RFC 9112, 6.3).
type framing int

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// reply is a parsed head. The response and the slots of its values share one allocation.
type reply struct {
	faas.Response
	slots [8]string

	framing framing
	length  int64 // of byLength
	reuse   bool  // the connection may carry another request
	strip   bool  // some fields end here
}

// parseHead parses a whole head, from the status line to the empty line, as
// strictly as RFC 9112 allows: what two readers could understand differently is
// refused. head tells that the request's method was HEAD.
func (r *reply) parseHead(s string, head bool) error {
	line, rest, err := cutLine(s)
	if err != nil {
		return err
	}
	minor, err := r.parseStatus(line)
	if err != nil {
		return err
	}
	h, err := r.parseFields(rest)
	if err != nil {
		return err
	}
	if err := r.frame(h, minor, head); err != nil {
		return err
	}
	connection := h["Connection"]
	r.reuse = r.framing != byClose && minor > 0 && !httpfield.Listed(connection, "close")
	if r.strip {
		for k := range h {
			if endsHere(k) || (connection != nil && httpfield.Listed(connection, k)) {
				delete(h, k)
			}
		}
	}
	r.Header = h
	return nil
}

// endsHere reports whether a response's field is not for the caller.
func endsHere(name string) bool { return httpfield.HopByHop(name) || httpfield.Internal(name) }

// cutLine cuts s after its first CRLF. A bare CR or LF is an error.
func cutLine(s string) (line, rest string, err error) {
	i := strings.IndexByte(s, '\n')
	if i < 1 || s[i-1] != '\r' {
		return "", "", fmt.Errorf("a line of the head does not end with CR LF: %q", clip.Text(s))
	}
	line = s[:i-1]
	if strings.IndexByte(line, '\r') >= 0 {
		return "", "", fmt.Errorf("a line of the head has a bare CR: %q", clip.Text(line))
	}
	return line, s[i+1:], nil
}

// parseStatus parses "HTTP/1.1 200 OK"; the reason may be missing.
func (r *reply) parseStatus(line string) (minor int, err error) {
	const form = len("HTTP/1.1 200")
	ok := len(line) >= form && line[:7] == "HTTP/1." && (line[7] == '0' || line[7] == '1') && line[8] == ' ' &&
		(len(line) == form || line[form] == ' ') && httpfield.ValidValue(line)
	if ok {
		for _, c := range []byte(line[9:form]) {
			ok = ok && c >= '0' && c <= '9'
			r.Status = r.Status*10 + int(c-'0')
		}
	}
	if !ok || r.Status < 100 || r.Status > 599 {
		return 0, fmt.Errorf("status line %q is not HTTP/1.x with a status of 100 to 599", clip.Text(line))
	}
	return int(line[7] - '0'), nil
}

// parseFields parses the fields up to the empty line.
func (r *reply) parseFields(s string) (http.Header, error) {
	n := strings.Count(s, "\n") - 1
	h := make(http.Header, max(n, 0))
	slots := r.slots[:0]
	if n > len(r.slots) {
		slots = make([]string, 0, n)
	}
	for {
		line, rest, err := cutLine(s)
		if err != nil {
			return nil, err
		}
		if line == "" {
			return h, nil
		}
		s = rest
		k, v, err := parseField(line)
		if err != nil {
			return nil, err
		}
		r.strip = r.strip || endsHere(k)
		if old, ok := h[k]; ok {
			h[k] = append(old, v)
			continue
		}
		slots = append(slots, v)
		h[k] = slots[len(slots)-1 : len(slots) : len(slots)]
	}
}

// parseField parses "Name: value" and returns the name in its canonical form.
func parseField(line string) (k, v string, err error) {
	k, v, ok := strings.Cut(line, ":")
	if !ok || !httpfield.ValidToken(k) {
		return "", "", fmt.Errorf("header line %q has no valid name", clip.Text(line))
	}
	v = strings.Trim(v, " \t")
	if !httpfield.ValidValue(v) {
		return "", "", fmt.Errorf("header %s has a control byte in its value", clip.Text(k))
	}
	return textproto.CanonicalMIMEHeaderKey(k), v, nil
}

// frame decides where the body ends, and takes the framing fields away.
func (r *reply) frame(h http.Header, minor int, head bool) error {
	te, hasTE := h["Transfer-Encoding"]
	cl, hasCL := h["Content-Length"]
	if hasTE {
		switch {
		case hasCL:
			return fmt.Errorf("both Content-Length and Transfer-Encoding are set")
		case minor == 0:
			return fmt.Errorf("an HTTP/1.0 response has a Transfer-Encoding")
		case len(te) != 1 || !strings.EqualFold(te[0], "chunked"):
			return fmt.Errorf("transfer encoding %q is not chunked", clip.Text(strings.Join(te, ", ")))
		}
	}
	r.length = -1
	if hasCL {
		n, err := parseLength(cl)
		if err != nil {
			return err
		}
		r.length = n
	}
	switch {
	case r.Status < 200 || r.Status == http.StatusNoContent:
		if hasTE || r.length > 0 {
			return fmt.Errorf("a response of status %d has a body", r.Status)
		}
		delete(h, "Content-Length")
		r.framing = noBody
	case head || r.Status == http.StatusNotModified:
		r.framing = noBody
	case hasTE:
		r.framing = byChunks
	case hasCL:
		delete(h, "Content-Length")
		r.framing = byLength
	default:
		r.framing = byClose
	}
	return nil
}

// parseLength parses a Content-Length: one, digits alone.
func parseLength(cl []string) (int64, error) {
	if len(cl) != 1 {
		return 0, fmt.Errorf("%d Content-Length fields", len(cl))
	}
	for i := 0; i < len(cl[0]); i++ {
		if c := cl[0][i]; c < '0' || c > '9' {
			return 0, fmt.Errorf("Content-Length %q is not a number", clip.Text(cl[0]))
		}
	}
	n, err := strconv.ParseInt(cl[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("Content-Length %q is not a number of bytes", clip.Text(cl[0]))
	}
	return n, nil
}
