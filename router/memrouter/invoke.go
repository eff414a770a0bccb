package memrouter

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/joinery/faas"
)

// Invoke routes the request to an instance, waiting for one in the function's queue if need be,
// and returns its answer. The function's Timeout and ctx bound it as a whole, the earlier wins. An
// answer with a streamed body holds its slot until the body is closed or read to its end.
//
// Errors: see package router. Only a request that certainly never reached an instance is tried
// again, at most three times, if its body is in hand.
func (r *Router) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	if f := r.routes.get(req.Function); f != nil && f.timeout == 0 && req.Timing == nil {
		if s := f.take(&r.hints, 1); s != nil {
			resp, err := s.invoke(ctx, req)
			if err == nil && resp != nil {
				if _, inHand := resp.Body.InHand(); inHand {
					s.release(ending{completed: 1, answered: 1})
					return resp, nil
				}
			}
			resp, err, again := f.conclude(ctx, req, s, resp, err, 1, nil)
			if !again {
				return resp, err
			}
			return f.serve(ctx, req, 0, s.in, 2, nil)
		}
	}
	return r.invoke(ctx, req)
}

// invoke is Invoke for everything but the plain warm call.
func (r *Router) invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	for {
		began := r.clock(req)
		f := r.routes.get(req.Function)
		if f == nil {
			var err error
			if f, err = r.resolve(ctx, req.Function); err != nil {
				return nil, err
			}
			now := r.clock(req)
			req.Timing.Add(faas.PhaseLookup, now-began)
			began = now
		}
		bounded, own := ctx, f.bound(ctx)
		if own != nil {
			bounded = own
		}
		resp, err := f.serve(bounded, req, began, nil, 1, own)
		if !errors.Is(err, errGone) {
			return resp, err
		}
	}
}

// clock is the time since New; it is read only for those who ask for their timing.
func (r *Router) clock(req *faas.Request) time.Duration {
	if req.Timing == nil {
		return 0
	}
	return time.Since(r.made)
}

// bound applies the function's own timeout, where it comes before ctx's deadline; else nil.
func (f *function) bound(ctx context.Context) *deadline {
	if f.timeout == 0 {
		return nil
	}
	at := time.Now().Add(f.timeout)
	if earlier, ok := ctx.Deadline(); ok && !earlier.After(at) {
		return nil
	}
	return &deadline{Context: ctx, at: at}
}

// serve waits for a slot and calls the instance, from the given try on.
func (f *function) serve(ctx context.Context, req *faas.Request, began time.Duration, avoid *instance, try int, own *deadline) (*faas.Response, error) {
	for {
		var s *share
		if avoid == nil {
			s = f.take(&f.r.hints, 1)
		}
		if s == nil {
			var cold *faas.Timing
			var err error
			if s, cold, err = f.park(ctx, req, avoid); err != nil {
				return nil, f.unserved(err, try, own)
			}
			now := f.r.clock(req)
			credit(req.Timing, now-began, cold)
			began = now
		}
		run := req.Timing.Get(faas.PhaseRun)
		resp, err := s.invoke(ctx, req)
		now := f.r.clock(req)
		if req.Timing.Get(faas.PhaseRun) == run { // unless the instance knew better
			req.Timing.Add(faas.PhaseRun, now-began)
		}
		began = now
		resp, err, again := f.conclude(ctx, req, s, resp, err, try, own)
		if !again {
			return resp, err
		}
		avoid = s.in
		try++
	}
}

// unserved ends a request that got no slot.
func (f *function) unserved(err error, try int, own *deadline) error {
	own.close()
	if try > 1 && errors.Is(err, errGone) { // between two tries only a deletion is that quick
		return f.notFound()
	}
	return err
}

// credit divides the time a request waited: what the start it waited for took in each phase,
// from the end backwards as far as the request saw it, and the rest to the queue.
func credit(t *faas.Timing, wait time.Duration, cold *faas.Timing) {
	if t == nil {
		return
	}
	for _, p := range [...]faas.Phase{faas.PhaseInit, faas.PhaseStart, faas.PhasePlace, faas.PhaseDecide} {
		d := min(cold.Get(p), wait)
		t.Add(p, d)
		wait -= d
	}
	t.Add(faas.PhaseQueue, wait)
}

// invoke calls the instance; a panic of an in-process function does not keep the slot.
func (s *share) invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	returned := false
	defer func() {
		if !returned {
			s.release(ending{completed: 1})
		}
	}()
	resp, err := s.in.inst.Invoke(ctx, req)
	returned = true
	return resp, err
}

// conclude accounts for a call that came back and gives its slot back, now or when a streamed answer ends;
// again says that the request never reached the instance and may be tried on another one.
func (f *function) conclude(ctx context.Context, req *faas.Request, s *share, resp *faas.Response, err error, try int, own *deadline) (_ *faas.Response, _ error, again bool) {
	if err == nil && resp == nil {
		err = faas.Errorf("router", "invoke", f.key, faas.ErrFunction, "instance %q returned neither an answer nor an error", s.in.id)
	}
	end := ending{completed: 1}
	if err == nil {
		if _, inHand := resp.Body.InHand(); !inHand {
			return hold(resp, s, own), nil, false
		}
		end.answered = 1
	} else {
		resp = nil
		switch class := faas.Class(err); {
		case errors.Is(class, faas.ErrUnavailable):
			_, inHand := req.Body.InHand()
			if again = inHand && try < maxTries && ctx.Err() == nil; again {
				end.completed = 0
			}
			f.failed(s.in, err)
		case errors.Is(class, faas.ErrFunction), errors.Is(class, faas.ErrOutOfMemory):
			f.failed(s.in, err)
		}
	}
	s.release(end)
	if !again {
		own.close()
	}
	return resp, err, again
}

// hold returns the response with a body that gives the slot back at its end.
func hold(resp *faas.Response, s *share, own *deadline) *faas.Response {
	s.stream()
	held := *resp // the instance's own value is not ours to change
	held.Body = faas.Stream(&heldBody{body: resp.Body.Reader(), s: s, own: own}, resp.Body.Size())
	return &held
}

// heldBody is a streamed answer that occupies a slot until it is closed or read to its end.
type heldBody struct {
	body io.ReadCloser
	s    *share
	own  *deadline
	over atomic.Bool
}

func (h *heldBody) end() {
	if h.over.Swap(true) {
		return
	}
	h.s.release(ending{completed: 1, streams: 1})
	h.own.close()
}

func (h *heldBody) Read(p []byte) (int, error) {
	n, err := h.body.Read(p)
	if err != nil {
		h.end()
	}
	return n, err
}

// WriteTo keeps a cheaper way to copy that the instance's body may have.
func (h *heldBody) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, h.body)
	h.end()
	return n, err
}

func (h *heldBody) Close() error {
	err := h.body.Close()
	h.end()
	return err
}
