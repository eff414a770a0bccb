package httpfront

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/httpfield"
)

const (
	serverTiming = "Server-Timing"
	// shortBody is the size from which net/http no longer finds the length by itself.
	shortBody = 2048
	// longBody is the size from which a client may keep us waiting by not reading.
	longBody = 16 << 10
)

// checkResponse refuses what net/http could not send.
func checkResponse(resp *faas.Response) error {
	if resp == nil {
		return faas.Errorf(component, "answer", "", faas.ErrFunction, "there is neither a response nor an error")
	}
	if s := resp.StatusCode(); s < 200 || s > 599 {
		_ = resp.Body.Close()
		return faas.Errorf(component, "answer", "", faas.ErrFunction, "status %d is not from 200 to 599", s)
	}
	return nil
}

// respond sends the function's answer. When it breaks off, so does the connection.
func (f *Front) respond(w http.ResponseWriter, r *http.Request, c *call, resp *faas.Response, deadline time.Time) {
	h := w.Header()
	copyHeader(h, resp.Header)
	values := make([]string, 3) // net/http reads them after the handler: they are not pooled
	f.sign(h, c, values)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // it is the function's to say: no guessing
	}
	size := resp.Body.Size()
	status := resp.StatusCode()
	data, inHand := resp.Body.InHand()
	bodyless := r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
	if !bodyless || (size > 0 && status != http.StatusNoContent) {
		delete(h, "Content-Length")
		if size >= 0 && (size >= shortBody || bodyless || !inHand) { // otherwise net/http sets it
			values[2] = strconv.FormatInt(size, 10)
			h["Content-Length"] = values[2:3:3]
		}
	}
	w.WriteHeader(status)
	switch {
	case bodyless:
		_ = resp.Body.Close()
	case inHand:
		if len(data) > longBody {
			defer limitWrites(w, deadline)()
		}
		if len(data) > 0 {
			_, _ = w.Write(data) // an error means that the client is gone
		}
	default:
		f.copyStream(w, r, c, resp, deadline)
	}
}

// sign puts the request's id and its timing on the response.
func (f *Front) sign(h http.Header, c *call, values []string) {
	var buf [192]byte
	values[0], values[1] = c.req.ID, string(c.timing.AppendServerTiming(buf[:0]))
	h[httpfield.RequestID] = values[0:1:1]
	if own := h[serverTiming]; len(own) > 0 {
		h[serverTiming] = append(values[1:2:2], own...)
	} else {
		h[serverTiming] = values[1:2:2]
	}
}

// copyHeader copies what goes end to end. net/http itself leaves out names and
// replaces bytes of values that cannot be sent.
func copyHeader(to, from http.Header) {
	connection := httpfield.Connection(from)
	for k, v := range from {
		if httpfield.HopByHop(k) || httpfield.Internal(k) || (connection != nil && httpfield.Listed(connection, k)) ||
			strings.HasPrefix(k, http.TrailerPrefix) {
			continue
		}
		to[k] = v
	}
}

// limitWrites makes writes fail after the deadline, until done is called.
func limitWrites(w http.ResponseWriter, deadline time.Time) (done func()) {
	rc := http.NewResponseController(w)
	if deadline.IsZero() || rc.SetWriteDeadline(deadline) != nil {
		return func() {}
	}
	return func() {
		if rc.Flush() == nil {
			_ = rc.SetWriteDeadline(time.Time{})
		}
	}
}

var copyBufs = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyStream sends a streamed body. One of unknown length is flushed as it comes.
func (f *Front) copyStream(w http.ResponseWriter, r *http.Request, c *call, resp *faas.Response, deadline time.Time) {
	body := resp.Body.Reader()
	defer body.Close()
	defer limitWrites(w, deadline)() // a client that does not read holds the instance's slot
	rc := http.NewResponseController(w)
	live := resp.Body.Size() < 0
	if live {
		_ = rc.Flush() // the head need not wait for the first event
	}
	buf := copyBufs.Get().(*[32 << 10]byte)
	defer copyBufs.Put(buf)
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return // the client is gone
			}
			if live {
				_ = rc.Flush()
			}
		}
		if err == io.EOF { // a wrapped one is a failure
			break
		}
		if err != nil {
			if r.Context().Err() == nil {
				f.log.Warn("the response broke off", "function", c.req.Function.String(), "request", c.req.ID, "error", err)
			}
			panic(http.ErrAbortHandler)
		}
	}
	for k, v := range resp.Header {
		if strings.HasPrefix(k, http.TrailerPrefix) {
			w.Header()[k] = v
		}
	}
}
