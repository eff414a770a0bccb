package httpfront

import (
	"net/http"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/httpfield"
)

const prefix = "/function/"

// parseRoute splits an escaped path into the function and the path it sees.
func parseRoute(escaped string) (ref faas.Ref, path string, err error) {
	rest, ok := strings.CutPrefix(escaped, prefix)
	if !ok {
		return ref, "", &faas.Error{Component: component, Op: "route", Class: faas.ErrNotFound,
			Err: errNoRoute, Next: "functions are at /function/{name}[.{namespace}][@{version}]/{path}"}
	}
	name, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		name, path = rest[:i], rest[i:]
	}
	if i := strings.IndexByte(name, '@'); i >= 0 {
		name, ref.Version = name[:i], name[i+1:]
		if ref.Version == "" {
			ref.Version = "@" // which no version can be
		}
	}
	ref.Name, ref.Namespace = name, faas.DefaultNamespace
	if i := strings.IndexByte(name, '.'); i >= 0 {
		ref.Name, ref.Namespace = name[:i], name[i+1:]
		if ref.Namespace == "" {
			ref.Namespace = "."
		}
	}
	if err := ref.Validate(); err != nil {
		return ref, "", &faas.Error{Component: component, Op: "route", Class: faas.ErrNotFound,
			Err: nameError{err}, Next: "use 1 to 63 characters of a-z, 0-9 and '-' for each of {name}[.{namespace}][@{version}]"}
	}
	if strings.Contains(path, "%00") {
		return ref, "", faas.Errorf(component, "route", "", faas.ErrInvalidArgument, "the path has an encoded NUL byte")
	}
	return ref, path, nil
}

// checkUpgrade refuses another protocol on the connection. The offer of HTTP/2 in
// clear text is ignored, as RFC 9110 (7.8) allows: such a client goes on with HTTP/1.1.
func checkUpgrade(h http.Header) error {
	up, ok := h["Upgrade"]
	if !ok || !httpfield.Listed(h["Connection"], "upgrade") || (len(up) == 1 && strings.EqualFold(up[0], "h2c")) {
		return nil
	}
	return &faas.Error{Component: component, Op: "route", Class: faas.ErrUnimplemented, Err: errUpgrade,
		Next: "stream the request and the response bodies instead"}
}
