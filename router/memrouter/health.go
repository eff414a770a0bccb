package memrouter

import (
	"fmt"
	"log/slog"
	"time"
)

// health is what is known against an instance. It is all zero for a healthy one.
type health struct {
	failures int       // in a row, without an answer between
	strikes  int       // ejections in a row
	until    time.Time // ejected until then
	probing  bool      // after that: one request at a time is let in
	broken   bool      // given up

	base uint64 // answers of the function when the failures began

	silent   time.Time // since then it has answered nothing
	answered uint64    // until then, it
	others   uint64    // and the whole function
	given    uint64    // requests it had been given and done with by then
	crowd    int       // the most requests that were with the others since
}

// failed books a request that the instance failed: it could not be reached (ErrUnavailable) or it crashed or broke its contract
// (ErrFunction). Only when others have answered meanwhile is the instance to blame.
func (f *function) failed(in *instance, err error) {
	f.mu.Lock()
	why := f.blame(in, err)
	f.settle()
	f.mu.Unlock()
	f.logEjected(in, why, err)
}

func (f *function) logEjected(in *instance, why string, err error) {
	if why != "" {
		f.r.log.Warn("instance ejected", slog.String("function", f.key), slog.String("instance", in.id), slog.String("why", why), slog.Any("error", err))
	}
}

// blame is failed with the lock held; it says why it ejected the instance, if it did.
func (f *function) blame(in *instance, err error) string {
	select {
	case <-in.inst.Done():
		if in.state < stopping { // no more requests, before its goroutine has seen it
			f.leave(in)
			in.state, in.dead = stopping, true
			in.shut()
		}
		return ""
	default:
	}
	_, _, _, answered := f.counts()
	if in.failures == 0 {
		in.base = answered
	}
	in.failures++
	in.marked.Store(true)
	switch {
	case in.state == ejected && in.probing:
		return f.eject(in, "the probe failed", err)
	case in.state == ready && in.failures >= f.r.cfg.EjectAfter && answered > in.base:
		return f.eject(in, fmt.Sprintf("%d failures in a row while others answered", in.failures), err)
	}
	return ""
}

// healthy clears everything: the instance answered.
func (f *function) healthy(in *instance) {
	if in.state > ejected {
		return
	}
	if in.state == ejected {
		f.leave(in)
		in.state = ready
		f.ready++
		in.open()
		f.record(Event{Kind: Recovered, Instance: in.id, Why: "it answered"})
	}
	in.health = health{}
	in.marked.Store(false)
}

// eject takes an instance away from picking for a time that doubles each time in a row, and
// gives it up after maxStrikes. The last one is never ejected. It returns why, or "" when it did nothing.
func (f *function) eject(in *instance, why string, err error) string {
	if in.state == ready && f.ready < 2 {
		return ""
	}
	f.leave(in)
	in.state = ejected
	f.ejected++
	in.marked.Store(true)
	in.shut()
	in.strikes++
	in.probing = false
	if in.strikes >= maxStrikes && f.ready > 0 {
		in.broken = true
		f.drainWithin(in, f.grace(), "given up: "+why)
		return why
	}
	pause := min(f.r.cfg.EjectFor<<min(in.strikes-1, maxDoublings), maxEject)
	in.until = time.Now().Add(pause)
	f.record(Event{Kind: Ejected, Instance: in.id, Why: fmt.Sprintf("%s; for %v", why, pause), Err: err})
	return why
}

// check looks after a function's instances from time to time: it finds those that hang and
// lets a probe through to those that were ejected.
func (f *function) check(now time.Time) {
	f.mu.Lock()
	hung := f.look(now)
	f.mu.Unlock()
	for in, why := range hung {
		f.logEjected(in, why, nil)
	}
}

// look is check with the lock held; it returns whom it ejected and why.
func (f *function) look(now time.Time) (gone map[*instance]string) {
	if f.ready+f.ejected == 0 || f.ready < 2 && f.ejected == 0 {
		return nil
	}
	eject := func(in *instance, why string) {
		if f.eject(in, why, nil) != "" {
			if gone == nil {
				gone = map[*instance]string{}
			}
			gone[in] = why
		}
	}
	busy, _, _, all := f.counts()
	for _, in := range f.instances {
		if in.state > ejected {
			continue
		}
		pending, taken, answered := in.sample()
		offered := in.probing && f.offers(in)
		if answered != in.answered || offered || in.silent.IsZero() {
			in.silent, in.answered, in.others, in.given, in.crowd = now, answered, all, taken-uint64(pending), 0
		}
		if in.state == ready && taken-in.given < 2 { // one request may just be a long one: the clock starts with the second
			in.silent, in.others, in.crowd = now, all, 0
		}
		in.crowd = max(in.crowd, busy-pending)
		silence := now.Sub(in.silent)
		hung := hangs(silence, f.r.cfg.EjectSilent, all-in.others, in.crowd)
		switch {
		case in.state == ready && hung:
			why := fmt.Sprintf("no answer for %v to %d requests, while others answered %d", silence.Round(time.Millisecond), taken-in.given, all-in.others)
			eject(in, why)
			in.until = now // ask it at once: it may have got long requests only
		case in.state == ejected && in.probing && !offered && (hung || pending == 0):
			eject(in, "the probe was not answered")
		case in.state == ejected && !in.probing && f.probe.Load() == nil && (f.ready == 0 || !now.Before(in.until)) && f.offerProbe(in):
			in.probing = true
			in.silent, in.answered, in.others, in.given, in.crowd = now, answered, all, taken-uint64(pending), busy-pending
		}
	}
	f.settle()
	return gone
}

// offers says whether the instance's probe has not been taken yet.
func (f *function) offers(in *instance) bool {
	s := f.probe.Load()
	return s != nil && s.in == in
}

// hangs tells a hung instance from one with long calls: it has answered nothing for longer than the limit, and
// meanwhile the others have answered many times as many requests as they had in flight at
// most. By Little's law that is many times as long as a call takes there.
func hangs(silence, limit time.Duration, answers uint64, crowd int) bool {
	return silence >= limit && answers >= uint64(turnovers*max(crowd, 1))
}
