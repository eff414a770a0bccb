package faas

import "net/http"

// Request is one event or one HTTP-shaped call on its way to a function. It
// belongs to the caller, who must not change it until Invoke has returned and
// the response's body is closed; the callee reads the body at most once.
type Request struct {
	// Function is the function to call.
	Function Ref
	// ID identifies the request from end to end. Empty: the caller wants none.
	ID string
	// Method is the HTTP method. Empty: POST.
	Method string
	// Path is what follows the function's name in the URL, with its leading slash and
	// percent-encoded as it was sent. Empty: "/".
	Path string
	// Query is the raw query without "?".
	Query string
	// Header is the metadata of the call; nil allowed. The callee does not change it.
	Header http.Header
	// Body is the payload; its zero value is empty.
	Body Body
	// Timing, when not nil, receives the time spent in each phase.
	Timing *Timing
}

// Response is a function's answer. An answer with an error status is still an
// answer: Invoke returns it with a nil error.
type Response struct {
	// Status is an HTTP status code. Zero: 200.
	Status int
	// Header is the metadata of the answer; nil allowed.
	Header http.Header
	// Body is the payload. The receiver closes it: a streamed body holds the
	// instance's slot and connection until then.
	Body Body
}

// StatusCode returns Status with its default applied.
func (r *Response) StatusCode() int {
	if r.Status == 0 {
		return http.StatusOK
	}
	return r.Status
}
