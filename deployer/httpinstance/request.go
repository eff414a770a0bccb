package httpinstance

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
	"github.com/joinery/faas/internal/httpfield"
)

// maxHead is the largest head, that of a request or of a response, in bytes.
const maxHead = 64 << 10

// appendHead appends the head of req as HTTP/1.1 (RFC 9112, 3 and 5).
func (in *instance) appendHead(ctx context.Context, b []byte, req *faas.Request) ([]byte, error) {
	method := req.Method
	if method == "" {
		method = http.MethodPost
	}
	if !httpfield.ValidToken(method) || method == http.MethodConnect {
		return nil, in.errorf(faas.ErrInvalidArgument, "method %q cannot be forwarded", clip.Text(method))
	}
	path := req.Path
	if path == "" {
		path = "/"
	}
	if path[0] != '/' || !validTarget(path, true) {
		return nil, in.errorf(faas.ErrInvalidArgument, "path %q does not start with '/' or has a byte that must be percent-encoded", clip.Text(path))
	}
	if !validTarget(req.Query, false) {
		return nil, in.errorf(faas.ErrInvalidArgument, "query %q has a byte that must be percent-encoded", clip.Text(req.Query))
	}
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, path...)
	if req.Query != "" {
		b = append(b, '?')
		b = append(b, req.Query...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, in.host...)
	b = append(b, "\r\n"...)

	b, err := in.appendFields(b, req.Header)
	if err != nil {
		return nil, err
	}
	if req.ID != "" {
		if !httpfield.ValidValue(req.ID) {
			return nil, in.errorf(faas.ErrInvalidArgument, "request id %q has a control byte", clip.Text(req.ID))
		}
		b = append(b, httpfield.RequestID+": "...)
		b = append(b, req.ID...)
		b = append(b, "\r\n"...)
	}
	if deadline, ok := ctx.Deadline(); ok {
		b = append(b, httpfield.Deadline+": "...)
		b = strconv.AppendInt(b, deadline.UnixMilli(), 10)
		b = append(b, "\r\n"...)
	}
	switch size := req.Body.Size(); {
	case size < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case size > 0 || (method != http.MethodGet && method != http.MethodHead):
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, size, 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	if len(b) > maxHead {
		return nil, in.errorf(faas.ErrInvalidArgument, "the request's head has %d bytes, more than %d", len(b), maxHead)
	}
	return b, nil
}

// appendFields appends what of the header goes end to end.
func (in *instance) appendFields(b []byte, h http.Header) ([]byte, error) {
	connection := httpfield.Connection(h)
	for k, values := range h {
		if ours(k) || httpfield.HopByHop(k) || (connection != nil && httpfield.Listed(connection, k)) {
			continue
		}
		if !httpfield.ValidToken(k) {
			return nil, in.errorf(faas.ErrInvalidArgument, "header name %q is not a token", clip.Text(k))
		}
		for _, v := range values {
			if !httpfield.ValidValue(v) {
				return nil, in.errorf(faas.ErrInvalidArgument, "header %s has a value with a control byte", k)
			}
			b = append(b, k...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	return b, nil
}

// ours reports whether this package alone says what the request field holds:
// framing, identity and deadline. Expect is between the caller and the front.
func ours(name string) bool {
	switch len(name) {
	case 4:
		return strings.EqualFold(name, "Host")
	case 6:
		return strings.EqualFold(name, "Expect")
	case 12:
		return strings.EqualFold(name, httpfield.RequestID)
	case 14:
		return strings.EqualFold(name, "Content-Length")
	case 18:
		return strings.EqualFold(name, httpfield.Deadline)
	}
	return false
}

// validTarget reports whether s can stand in a request line: visible ASCII
// without '#', and for a path without '?'.
func validTarget(s string, path bool) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '#' || (c == '?' && path) {
			return false
		}
	}
	return true
}
