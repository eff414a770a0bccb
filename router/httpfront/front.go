// Package httpfront is the HTTP front of the function router, F5 of the SPEC-RG
// reference architecture: an http.Handler that turns any method on
//
//	/function/{name}[.{namespace}][@{version}][/{path…}][?{query}]
//
// into a faas.Request for any faas.Invoker, and its response into an answer. The
// version is a number or an alias; without one it is the latest.
//
// # Snippet
//
//	srv := httpfront.NewServer(httpfront.New(router, nil))
//	err := srv.Serve(listener)
//	// curl -d hello http://127.0.0.1:8080/function/echo
//
// # Paths
//
// Only the first segment is looked at. A name, namespace or version that breaks
// the naming rule (faas.ValidateName) cannot exist: 404. What follows reaches the
// function as it was sent, still percent-encoded: "//", ";", "%2f", "." and ".." have no
// meaning here, so no form of a path leads to another function. "%00" is refused: 400.
//
// # Requests
//
// Every part of the request goes to the function but: hop-by-hop fields and those
// that Connection lists; X-Joinery-*, which are the platform's own; and, unless
// Options.TrustForwarded, what the client says of Forwarded and X-Forwarded-*. The
// front sets Forwarded, X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto. A
// valid X-Request-Id of the client is kept, otherwise one is made (a UUIDv7).
// X-Request-Deadline, in milliseconds since the Unix epoch, shortens the deadline: a
// function that calls another one passes on its own. A body up to 64 KiB of known
// length is read first, a larger one streams. Upgrade is not offered: 501 (h2c is ignored).
//
// # Responses
//
// X-Request-Id and Server-Timing (queue, lookup, decide, place, start, init, run, in
// milliseconds) are on every response. A stream of unknown length is flushed as it comes; its
// trailers are passed on. A response that breaks off aborts the connection, so that
// it never looks whole.
//
// # Errors
//
// An error of the platform is {"error":{component,class,reason,next,requestId,retryAfter}};
// reasons that would show the platform's own paths and addresses are only logged.
//
//	ErrInvalidArgument 400   ErrDenied 403        ErrNotFound 404     body too large 413
//	ErrConflict 409          ErrExhausted 429 *   client gone 499     ErrUnimplemented 501
//	ErrFunction 502          ErrUnavailable, ErrClosed 503 *          ErrTimeout 504
//	any other 500            (* with Retry-After)
//
// # What net/http lets through
//
// A request with both Content-Length and Transfer-Encoding is taken as chunked, and
// the handler cannot see it. RFC 9112 (6.1) asks to close the connection then, so that a
// request smuggled behind it is never read: the front does so after every chunked
// HTTP/1.1 request.
//
// # Concurrency
//
// A Front is safe for concurrent use and starts no goroutine.
package httpfront

import (
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/httpfield"
)

const (
	defaultTimeout = 60 * time.Second
	defaultMaxBody = 6 << 20
	// maxInHand is the largest request body that is read before the function is called.
	maxInHand = 64 << 10

	component = "http front"
)

// Options of a Front; the zero value is the default.
type Options struct {
	// Timeout bounds every request from its arrival to the end of its response; the
	// function's own Timeout may end it sooner. Zero: 60 s. Negative: none.
	Timeout time.Duration
	// MaxBody is the largest request body in bytes; larger is 413. Zero: 6 MiB. Negative: none.
	MaxBody int64
	// TrustForwarded keeps what the client says of Forwarded and X-Forwarded-* and adds
	// to it: for a front behind a proxy. False: it is dropped.
	TrustForwarded bool
	// Logger receives failures of the platform and of functions with their
	// details. Nil: none.
	Logger *slog.Logger
}

// Front serves functions over HTTP. It implements http.Handler.
type Front struct {
	invoker faas.Invoker
	timeout time.Duration
	maxBody int64
	trust   bool
	log     *slog.Logger
	clock   clock
}

// New returns a Front that sends requests to the invoker; o may be nil. It
// panics when the invoker is nil. It holds nothing and needs no Close.
//
// As faas.Request says, a request is the caller's own again once its response's body
// is closed: the front then uses it, its header and its Timing for another request. An
// Invoker that keeps a request copies it. The bytes of a body in hand are never reused.
func New(invoker faas.Invoker, o *Options) *Front {
	if invoker == nil {
		panic("httpfront: New without an invoker")
	}
	if o == nil {
		o = &Options{}
	}
	f := &Front{invoker: invoker, timeout: o.Timeout, maxBody: o.MaxBody, trust: o.TrustForwarded, log: o.Logger}
	if f.timeout == 0 {
		f.timeout = defaultTimeout
	}
	if f.maxBody == 0 {
		f.maxBody = defaultMaxBody
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	return f
}

// call is the state of one request. It is pooled.
type call struct {
	req    faas.Request
	timing faas.Timing
	header http.Header
	slots  [4]string // values of the header that the front sets
	last   origin    // of the request before, most often the same
}

var calls = sync.Pool{New: func() any { return &call{header: make(http.Header)} }}

func (c *call) free() {
	clear(c.header)
	c.req, c.timing, c.slots = faas.Request{}, faas.Timing{}, [4]string{}
	calls.Put(c)
}

// ServeHTTP serves one request.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := calls.Get().(*call)
	f.serve(c, w, r)
	c.free() // not after a panic: who knows who still holds it
}

func (f *Front) serve(c *call, w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c.req.Timing = &c.timing
	c.req.ID = requestID(r.Header, start)

	if err := f.prepare(c, r); err != nil {
		f.fail(w, r, c, err)
		return
	}
	ctx, err := f.context(r, start)
	if err != nil {
		f.fail(w, r, c, err)
		return
	}
	defer ctx.finish()
	if r.ContentLength != 0 {
		body, err := f.readBody(c, ctx, w, r)
		if err != nil {
			f.fail(w, r, c, err)
			return
		}
		if body != nil {
			defer body.Close()
		}
	}
	resp, err := f.invoker.Invoke(ctx, &c.req)
	if err == nil {
		err = checkResponse(resp)
	}
	if err != nil {
		f.fail(w, r, c, err)
		return
	}
	if c.timing.Get(faas.PhaseRun) == 0 { // no router in between that tells the phases apart
		c.timing.Add(faas.PhaseRun, time.Since(start)-c.timing.Total())
	}
	f.respond(w, r, c, resp, ctx.deadline)
}

// prepare fills in the request but for its body.
func (f *Front) prepare(c *call, r *http.Request) error {
	if r.Method == http.MethodConnect {
		return faas.Errorf(component, "route", "", faas.ErrInvalidArgument, "CONNECT is not for functions")
	}
	ref, path, err := parseRoute(r.URL.EscapedPath())
	if err != nil {
		return err
	}
	if err := checkUpgrade(r.Header); err != nil {
		return err
	}
	c.req.Function, c.req.Method, c.req.Path, c.req.Query = ref, r.Method, path, r.URL.RawQuery
	f.forward(c, r)
	c.req.Header = c.header
	return nil
}

// context returns the request's context, which the caller finishes. Its deadline
// is the front's timeout, or sooner when the client says so.
func (f *Front) context(r *http.Request, start time.Time) (*callContext, error) {
	ctx := &callContext{Context: r.Context()}
	if f.timeout > 0 {
		ctx.deadline = start.Add(f.timeout)
	}
	v, ok := r.Header[httpfield.Deadline]
	if !ok {
		if f.timeout > 0 {
			f.clock.add(ctx)
		}
		return ctx, nil
	}
	ms, err := strconv.ParseInt(v[0], 10, 64)
	if err != nil || len(v) > 1 || ms < 0 {
		return nil, faas.Errorf(component, "read the request", httpfield.Deadline, faas.ErrInvalidArgument,
			"the deadline is not one number of milliseconds since the Unix epoch")
	}
	if asked := time.UnixMilli(ms); ctx.deadline.IsZero() || asked.Before(ctx.deadline) {
		ctx.deadline = asked
	}
	ctx.timer = time.AfterFunc(time.Until(ctx.deadline), ctx.expire)
	return ctx, nil
}

// readBody reads a small body and makes a stream of any other, which the caller closes.
func (f *Front) readBody(c *call, ctx *callContext, w http.ResponseWriter, r *http.Request) (io.Closer, error) {
	size := r.ContentLength
	if f.maxBody > 0 && size > f.maxBody {
		return nil, tooLarge(f.maxBody)
	}
	ctx.read(w) // a client may trickle its body
	if size > 0 && size <= maxInHand {
		data := make([]byte, size)
		if _, err := io.ReadFull(r.Body, data); err != nil {
			return nil, readError(err)
		}
		ctx.read(nil)
		c.req.Body = faas.Bytes(data)
		return nil, nil
	}
	rc := http.NewResponseController(w)
	if r.ProtoMajor == 1 {
		_ = rc.EnableFullDuplex()
		if size < 0 {
			w.Header()["Connection"] = closing
		}
	}
	s := &stream{body: r.Body, unblock: rc, left: f.maxBody, bounded: f.maxBody > 0, limit: f.maxBody}
	c.req.Body = faas.Stream(s, size)
	return s, nil
}

// closing is shared: net/http does not change header values.
var closing = []string{"close"}
