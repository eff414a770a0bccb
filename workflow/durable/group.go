package durable

import "slices"

// Group runs coroutines and waits for them, like golang.org/x/sync/errgroup: the first error cancels the
// Context of the others.
type Group struct {
	ctx     Context
	cancel  func()
	limit   int
	running int
	err     error
	waiters []*coroutine
}

// Group returns a group that runs up to limit coroutines at a time; zero means any number.
func (c Context) Group(limit int) *Group {
	ctx, cancel := c.WithCancel()
	return &Group{ctx: ctx, cancel: cancel, limit: limit}
}

// Go starts fn as soon as the limit allows, with the group's Context. It waits till then.
func (g *Group) Go(fn func(Context) error) {
	x := g.ctx.x
	x.enter()
	for g.limit > 0 && g.running >= g.limit {
		g.wait("a place in the group")
	}
	g.running++
	x.spawn(func() {
		err := fn(g.ctx)
		if err != nil && g.err == nil {
			g.err = err
			g.cancel()
		}
		g.running--
		for _, co := range g.waiters {
			x.wake(co)
		}
		g.waiters = g.waiters[:0]
	})
}

// Wait waits for all of them and returns the first error. The group's Context is cancelled then.
func (g *Group) Wait() error {
	g.ctx.x.enter()
	for g.running > 0 {
		g.wait("its group")
	}
	g.cancel()
	return g.err
}

func (g *Group) wait(what string) {
	g.waiters = append(g.waiters, g.ctx.x.current)
	g.ctx.x.park(nil, what)
}

// Map calls fn for each item, in a coroutine each, up to limit of them at a time (zero: all), and
// returns the results in the order of the items. The first error cancels the others and is returned.
func Map[In, Out any](ctx Context, items []In, limit int, fn func(ctx Context, i int, item In) (Out, error)) ([]Out, error) {
	out := make([]Out, len(items))
	g := ctx.Group(limit)
	for i, item := range items {
		if g.err != nil {
			break
		}
		g.Go(func(ctx Context) (err error) {
			out[i], err = fn(ctx, i, item)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// Mutex keeps the coroutines of one execution out of a section while another one is in it, also while
// that one waits for steps. They enter in the order they came. The zero Mutex is free.
type Mutex struct {
	held    bool
	waiters []*coroutine
}

// Lock waits until the mutex is free and takes it.
func (m *Mutex) Lock(ctx Context) {
	x := ctx.x
	x.enter()
	if !m.held {
		m.held = true
		return
	}
	co := x.current
	m.waiters = append(m.waiters, co)
	for slices.Contains(m.waiters, co) {
		x.park(nil, "a mutex")
	}
}

// Unlock frees the mutex, or hands it to who waited longest. It panics if the mutex is free.
func (m *Mutex) Unlock(ctx Context) {
	x := ctx.x
	x.enter()
	switch {
	case !m.held:
		panic("durable: unlock of a mutex that is free")
	case len(m.waiters) == 0:
		m.held = false
	default:
		co := m.waiters[0]
		m.waiters = m.waiters[1:]
		x.wake(co)
	}
}
