package httpinstance

import (
	"context"
	"net"
	"net/http"

	"github.com/joinery/faas"
)

const (
	// maxInline is the largest request body that the calling goroutine writes itself
	// before it reads. It fits every socket buffer, so that a function that answers
	// before it has read its request cannot lock up with us.
	maxInline = 32 << 10
	// maxInHand is the largest response body of known length that is returned in hand.
	maxInHand = 64 << 10
)

// Invoke sends the request and returns the response; see the package's promises.
// The request's stream is closed once its sending has begun.
func (in *instance) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	if ctx.Err() != nil {
		return nil, faas.ContextError(ctx, component, "invoke", in.key)
	}
	x := newExchange(in, ctx)
	if err := x.send(req); err != nil {
		x.finish(false)
		return nil, err
	}
	resp, err := x.receive(req.Method == http.MethodHead)
	if err != nil {
		err = x.failure(err)
		x.finish(false)
		return nil, err
	}
	return resp, nil
}

// send writes the request, or its head and starts the upload of its body.
func (x *exchange) send(req *faas.Request) error {
	head, err := x.in.appendHead(x.ctx, x.out[:0], req)
	if err != nil {
		return err
	}
	data, inHand := req.Body.InHand()
	inline := inHand && len(data) <= maxInline
	switch {
	case !inline:
		data = nil
	case len(head)+len(data) <= len(x.out):
		head, data = append(head, data...), nil
	}
	for {
		fresh, err := x.acquire()
		if err != nil {
			return err
		}
		n, err := x.write(head, data)
		if err == nil {
			break
		}
		if n > 0 {
			_ = req.Body.Close()
			return nil // the function may have answered without reading on: receive tells
		}
		// The connection was closed before it took a byte: this request was never seen.
		x.release(false)
		if x.ctx.Err() != nil {
			return faas.ContextError(x.ctx, component, "invoke", x.in.key)
		}
		if fresh {
			return x.in.errorf(faas.ErrUnavailable, "the connection was closed at once: %w", err)
		}
	}
	if !inline {
		x.up = startUpload(x.c, req.Body)
	}
	return nil
}

// acquire takes an idle connection that is still usable, or makes one.
func (x *exchange) acquire() (fresh bool, err error) {
	for {
		c, closed := x.in.pool.take()
		if closed {
			return false, x.in.errorf(faas.ErrClosed, "the instance's connections are closed")
		}
		if c == nil {
			break
		}
		if c.quiet() {
			x.hold(c)
			return false, nil
		}
		x.in.pool.discard(c)
	}
	c, err := x.in.dial(x.ctx)
	if err != nil {
		return false, err
	}
	x.hold(c)
	return true, nil
}

// write writes the head and the body with one system call.
func (x *exchange) write(head, body []byte) (int64, error) {
	if len(body) == 0 {
		n, err := x.c.Write(head)
		return int64(n), err
	}
	bufs := net.Buffers{head, body}
	return bufs.WriteTo(x.c.Conn)
}

// receive reads the response. The exchange is finished, or belongs to the
// response's body, when it returns without an error.
func (x *exchange) receive(head bool) (*faas.Response, error) {
	r := new(reply)
	for {
		s, err := x.readHead()
		if err != nil {
			return nil, err
		}
		if err := r.parseHead(s, head); err != nil {
			return nil, err
		}
		if r.Status == http.StatusSwitchingProtocols {
			return nil, errSwitch
		}
		if r.Status >= 200 {
			break
		}
		*r = reply{}
	}
	switch {
	case r.framing == noBody || (r.framing == byLength && r.length == 0):
		x.finish(r.reuse)
	case r.framing == byLength && r.length <= maxInHand:
		data := make([]byte, r.length)
		if err := x.readFull(data); err != nil {
			return nil, err
		}
		r.Body = faas.Bytes(data)
		x.finish(r.reuse)
	default:
		b := &body{x: x, reply: r, left: r.length}
		if r.framing != byLength {
			b.left = 0
		}
		r.Body = faas.Stream(b, r.length)
	}
	return &r.Response, nil
}
