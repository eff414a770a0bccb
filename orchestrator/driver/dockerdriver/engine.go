package dockerdriver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/joinery/faas"
)

// The range of the Docker Engine API (https://docs.docker.com/reference/api/engine) that this
// driver speaks. Engines from 29 on refuse versions below 1.44; Debian's 20.10 speaks up to 1.41.
const (
	oldestAPI = 41
	newestAPI = 47
)

// engine is a client of the Docker Engine API over its unix socket.
type engine struct {
	http   *http.Client
	prefix string // "/v1.41" once negotiated
}

func newEngine(socket string) *engine {
	var dialer net.Dialer
	return &engine{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}}}
}

// negotiate finds the newest version of the API that both sides speak.
func (e *engine) negotiate(ctx context.Context) error {
	var v struct {
		ApiVersion, MinAPIVersion, Version string
	}
	if err := e.call(ctx, http.MethodGet, "/version", nil, nil, &v); err != nil {
		return err
	}
	newest, oldest := minor(v.ApiVersion), minor(v.MinAPIVersion)
	use := min(newest, newestAPI)
	if use < oldestAPI || use < oldest {
		side := "upgrade the engine to 20.10 or later"
		if use >= oldestAPI {
			side = "upgrade the driver"
		}
		err := faas.Errorf(component, "configure", "Host", faas.ErrUnimplemented,
			"the Docker Engine %s speaks API %s to %s, this driver 1.%d to 1.%d", v.Version, v.MinAPIVersion, v.ApiVersion, oldestAPI, newestAPI)
		err.Next = side
		return err
	}
	e.prefix = "/v1." + strconv.Itoa(use)
	return nil
}

// minor is n of the version "1.n"; -1 if it has another form.
func minor(version string) int {
	digits, ok := strings.CutPrefix(version, "1.")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return -1
	}
	return n
}

// refusal is an answer of the engine that is not a success.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return fmt.Sprintf("engine: %s (%d)", r.message, r.status) }

// status is the engine's status in err; 0 if the engine did not answer.
func status(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// refusalText is what the engine said in err, in lower case; "" if it did not answer.
func refusalText(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return strings.ToLower(r.message)
	}
	return ""
}

// call sends in (an io.Reader, or a value as JSON, or nil) and decodes the answer into out (nil: is
// not read). The error is a *refusal or of the transport.
func (e *engine) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	body, err := e.open(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(body, 1<<20)) // the connection can be used again
		return err
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("the engine's answer to %s %s: %w", method, path, err)
	}
	return nil
}

// open is call for an answer that is a stream. The caller closes it.
func (e *engine) open(ctx context.Context, method, path string, query url.Values, in any) (io.ReadCloser, error) {
	var body io.Reader
	kind := "application/x-tar"
	switch v := in.(type) {
	case nil:
	case io.Reader:
		body = v
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		body, kind = bytes.NewReader(text), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+e.prefix+path, body)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 || resp.StatusCode == http.StatusNotModified {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	r := &refusal{status: resp.StatusCode}
	var said struct{ Message string }
	if json.Unmarshal(text, &said) == nil {
		r.message = said.Message
	} else {
		r.message = strings.TrimSpace(string(text))
	}
	return nil, r
}

func (e *engine) close() { e.http.CloseIdleConnections() }

// engineError classes an error of a call to the engine. ctx is the caller's, whose end goes before.
func engineError(ctx context.Context, op, key string, err error) error {
	var own *faas.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return err
	case ctx.Err() != nil:
		return faas.ContextError(ctx, component, op, key)
	}
	e := faas.Errorf(component, op, key, faas.ErrInternal, "%w", err)
	text := refusalText(err)
	switch s := status(err); {
	case strings.Contains(text, "no space left"), strings.Contains(text, "disk quota"):
		e.Class, e.Next = faas.ErrExhausted, "free some of the disk that the engine keeps its data on"
	case strings.Contains(text, "cannot allocate memory"), strings.Contains(text, "resource temporarily unavailable"),
		strings.Contains(text, "too many open files"):
		e.Class = faas.ErrExhausted
	case strings.Contains(text, "address already in use"), strings.Contains(text, "port is already allocated"):
		e.Class = faas.ErrUnavailable
	case s == http.StatusNotFound:
		e.Class = faas.ErrNotFound
	case s == http.StatusConflict:
		e.Class = faas.ErrConflict
	case s == http.StatusBadRequest:
		e.Class = faas.ErrInvalidArgument
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		e.Class = faas.ErrDenied
	case s == http.StatusServiceUnavailable, strings.Contains(text, "shutting down"), strings.Contains(text, "context canceled"),
		strings.Contains(text, "containerd.sock"), strings.Contains(text, "transport is closing"):
		e.Class, e.RetryAfter = faas.ErrUnavailable, time.Second
	case s != 0:
	case errors.Is(err, syscall.EACCES):
		e.Class, e.Next = faas.ErrDenied, "let this user use the engine's socket (group docker)"
	case errors.Is(err, context.DeadlineExceeded):
		e.Class, e.Next = faas.ErrTimeout, "the Docker Engine does not answer; look at its log"
	default: // it does not listen, or went away while it was to answer
		e.Class, e.RetryAfter = faas.ErrUnavailable, time.Second
		e.Next = "start the Docker Engine, or wait until it has restarted"
	}
	return e
}
