package memrouter

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// watcher is what a Resolver needs for its changes to be followed; registry.Functions has it.
type watcher interface {
	List(ctx context.Context, q registry.Query) (registry.Page, error)
	Watch(ctx context.Context, after faas.Revision) iter.Seq2[registry.Event, error]
}

// resolve returns the function that ref stands for, from the cache or the registry.
func (r *Router) resolve(ctx context.Context, ref faas.Ref) (*function, error) {
	if f := r.routes.get(ref); f != nil {
		return f, nil
	}
	f, gen := r.routes.getSlow(ref)
	if f != nil {
		return f, nil
	}
	r.mu.Lock()
	serving := r.running && !r.closed
	r.mu.Unlock()
	if !serving {
		return nil, errClosed("look up", ref.String())
	}
	fn, err := r.cfg.Resolver.Get(ctx, ref.WithDefaults())
	if err != nil {
		return nil, &faas.Error{Component: "router", Op: "look up", Key: ref.String(), Class: faas.Class(err), Err: err}
	}
	if fn.Ref.Unversioned() != ref.WithDefaults().Unversioned() || fn.Ref.Version == "" {
		return nil, faas.Errorf("router", "look up", ref.String(), faas.ErrInternal, "the registry answered with %q", fn.Ref)
	}
	if f, err = r.function(fn); err != nil {
		return nil, err
	}
	r.routes.put(ref, f, gen)
	return f, nil
}

// follow keeps the resolutions in line with the registry until the router ends. While the
// registry does not answer, what is known stays in use.
func (r *Router) follow(reg watcher) {
	ctx := r.ctx // it ends after the last function
	pause := time.NewTimer(0)
	defer pause.Stop()
	wait, again := minWatchPause, 0
	for {
		began := time.Now()
		err := r.followOnce(ctx, reg)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, faas.ErrClosed):
			r.log.Warn("the registry is closed; its changes are not followed any more", slog.Any("error", err))
			return
		case errors.Is(err, faas.ErrExhausted) && again < 3: // we fell behind: begin again at once
			again++
			continue
		case time.Since(began) > maxBackoff:
			wait = minWatchPause
		}
		r.log.Warn("following the registry was interrupted", slog.Any("error", err), slog.Duration("again in", wait))
		pause.Reset(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		wait, again = min(2*wait, maxBackoff), 0
	}
}

// followOnce takes the registry's present state, then its changes, until the watch breaks.
func (r *Router) followOnce(ctx context.Context, reg watcher) error {
	page, err := reg.List(ctx, registry.Query{Limit: 1})
	if err != nil {
		return err
	}
	r.routes.clear() // whatever was missed is asked again
	for _, f := range r.functions() {
		if _, err := r.cfg.Resolver.Get(ctx, f.fn.Ref); errors.Is(err, faas.ErrNotFound) {
			f.remove()
			r.release(f)
		}
	}
	for ev, err := range reg.Watch(ctx, page.Revision) {
		if err != nil {
			return err
		}
		r.routes.invalidate(ev.Ref)
		if ev.Kind == registry.Deleted {
			r.mu.Lock()
			f := r.fns[ev.Ref.WithDefaults()]
			r.mu.Unlock()
			if f != nil {
				f.remove()
				r.release(f)
			}
		}
	}
	return faas.Errorf("router", "follow", "", faas.ErrUnavailable, "the registry's watch ended without an error")
}
