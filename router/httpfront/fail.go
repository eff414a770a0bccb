package httpfront

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas"
)

var (
	errNoRoute = errors.New("no function is at this path")
	errUpgrade = errors.New("another protocol than HTTP is not offered")
)

// nameError hides the class of a broken name: a name that cannot exist was not found.
type nameError struct{ err error }

func (e nameError) Error() string { return detail(e.err) }

// statusClientGone is what nobody receives, for those that count answers (nginx's 499).
const statusClientGone = 499

// retryAfter is told with a refusal for which nobody knows better.
const retryAfter = time.Second

// status maps an error to a status. retry tells that Retry-After belongs to it.
func status(err error, clientGone bool) (code int, retry bool) {
	switch faas.Class(err) {
	case faas.ErrInvalidArgument:
		return http.StatusBadRequest, false
	case faas.ErrNotFound:
		return http.StatusNotFound, false
	case faas.ErrDenied:
		return http.StatusForbidden, false
	case faas.ErrAlreadyExists, faas.ErrConflict:
		return http.StatusConflict, false
	case faas.ErrExhausted:
		if errors.Is(err, errTooLarge) {
			return http.StatusRequestEntityTooLarge, false
		}
		return http.StatusTooManyRequests, true
	case faas.ErrUnimplemented:
		return http.StatusNotImplemented, false
	case faas.ErrUnavailable, faas.ErrClosed:
		return http.StatusServiceUnavailable, true
	case faas.ErrTimeout:
		return http.StatusGatewayTimeout, false
	case faas.ErrFunction, faas.ErrOutOfMemory:
		return http.StatusBadGateway, false
	case faas.ErrCanceled:
		if clientGone {
			return statusClientGone, false
		}
		return http.StatusServiceUnavailable, true
	}
	return http.StatusInternalServerError, false
}

// failure is the body of an error response.
type failure struct {
	Component string `json:"component"`
	Class     string `json:"class"`
	Reason    string `json:"reason"`
	Next      string `json:"next,omitempty"`
	RequestID string `json:"requestId"`
	// RetryAfter is in seconds.
	RetryAfter int64 `json:"retryAfter,omitempty"`
}

// fail answers with an error of the platform.
func (f *Front) fail(w http.ResponseWriter, r *http.Request, c *call, err error) {
	gone := r.Context().Err() != nil
	code, retry := status(err, gone)
	out := failure{Component: component, Class: faas.Class(err).Error(), Reason: detail(err), RequestID: c.req.ID}
	var e *faas.Error
	var wait time.Duration
	if errors.As(err, &e) {
		if e.Component != "" {
			out.Component = e.Component
		}
		out.Next, wait = e.Next, e.RetryAfter
	}
	if showsPlace(err, out.Reason) {
		out.Reason = faas.Class(err).Error() + "; the platform's log has the details under the request id"
	}
	if showsPlace(nil, out.Next) {
		out.Next = ""
	}
	if code >= http.StatusInternalServerError {
		f.log.Warn("request failed", "function", c.req.Function.String(), "request", c.req.ID, "status", code, "error", err)
	}
	h := w.Header()
	if retry {
		if wait <= 0 {
			wait = retryAfter
		}
		out.RetryAfter = int64((wait + time.Second - 1) / time.Second)
		h.Set("Retry-After", strconv.FormatInt(out.RetryAfter, 10))
	}
	f.sign(h, c, make([]string, 2))
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(map[string]failure{"error": out})
	}
}

// detail is the reason alone, without the parts that a failure has fields for.
func detail(err error) string {
	var e *faas.Error
	switch {
	case !errors.As(err, &e):
		return err.Error()
	case e.Err != nil:
		return e.Err.Error()
	}
	return faas.Class(err).Error()
}

// showsPlace reports whether the text may name a path or an address of the platform.
func showsPlace(err error, text string) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return true
	}
	for i := 0; i < len(text); i++ {
		if text[i] == '/' && (i == 0 || strings.IndexByte(" \"'`@>=(:", text[i-1]) >= 0) && !strings.HasPrefix(text[i:], prefix) {
			return true
		}
	}
	return false
}
