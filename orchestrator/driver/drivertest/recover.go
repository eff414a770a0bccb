package drivertest

import (
	"bytes"
	"errors"
	"slices"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func recoverClauses() []clause {
	return []clause{
		{"declared", recoverDeclared},
		{"handle", recoverHandle},
		{"refuses", recoverRefuses},
		{"adopts", recoverAdopts},
		{"strays", recoverRemovesStrays},
	}
}

// recoverDeclared: the power is there exactly when Info says so.
func recoverDeclared(f *fixture) {
	declared := f.info().Recover
	rec, found := driver.Find[driver.Recoverer](f.d)
	switch {
	case declared && !found:
		f.Error("Info declares recovery, and driver.Find finds no Recoverer")
	case !declared && found: // a wrapper may have the methods for drivers that do
		_, err := rec.Recover(f.ctx, f.run, nil)
		f.wantClass("Recover of a driver that does not declare it", err, faas.ErrUnimplemented)
		_, err = rec.Handle(f.ctx, f.serve().ID)
		f.wantClass("Handle of a driver that does not declare it", err, faas.ErrUnimplemented)
	}
}

func (f *fixture) recoverer() driver.Recoverer {
	f.Helper()
	rec, _ := driver.Find[driver.Recoverer](f.d)
	if rec == nil || !f.info().Recover {
		f.Skip("the driver does not declare recovery")
	}
	return rec
}

func (f *fixture) recover(known ...driver.Handle) driver.Recovery {
	f.Helper()
	found, err := f.recoverer().Recover(f.ctx, f.run, known)
	if err != nil {
		f.Fatalf("Recover: %v", err)
	}
	return found
}

func (f *fixture) handle(id string) driver.Handle {
	f.Helper()
	h, err := f.recoverer().Handle(f.ctx, id)
	if err != nil {
		f.Fatalf("Handle of %s: %v", id, err)
	}
	return h
}

// recoverHandle: it names the task and the driver, keeps its bounds, and does not change.
func recoverHandle(f *fixture) {
	f.recover()
	st := f.serve()
	h := f.handle(st.ID)
	if h.ID != st.ID {
		f.Errorf("the handle of %s has the id %q", st.ID, h.ID)
	}
	if err := h.Validate(f.info().Name); err != nil {
		f.Errorf("the handle of %s: %v", st.ID, err)
	}
	f.serves(st)
	if again := f.handle(st.ID); again.Format != h.Format || !bytes.Equal(again.State, h.State) {
		f.Errorf("the handle of %s has changed: %+v, before %+v", st.ID, again, h)
	}
	f.stop(st.ID, 0)
	_, err := f.recoverer().Handle(f.ctx, st.ID)
	f.wantClass("Handle of a stopped task", err, faas.ErrNotFound)
}

// recoverRefuses: once, with a valid owner, and before the first Start.
func recoverRefuses(f *fixture) {
	rec := f.recoverer()
	_, err := rec.Recover(f.ctx, "Not A Name", nil)
	f.wantClass("Recover for an invalid owner", err, faas.ErrInvalidArgument)
	twice := driver.Handle{ID: "a", Driver: f.info().Name}
	_, err = rec.Recover(f.ctx, f.run, []driver.Handle{twice, twice})
	f.wantClass("Recover with two handles of one id", err, faas.ErrInvalidArgument)
	f.recover()
	_, err = rec.Recover(f.ctx, f.run, nil)
	f.wantClass("a second Recover", err, faas.ErrConflict)
	f.close()
	_, err = rec.Recover(f.ctx, f.run, nil)
	f.wantClass("Recover after Close", err, faas.ErrClosed)
	_, err = rec.Handle(f.ctx, "a")
	f.wantClass("Handle after Close", err, faas.ErrClosed)
}

// crash ends the driver as kill -9 does, and goes on with its successor.
func (f *fixture) crash() {
	f.Helper()
	f.recoverer()
	if f.h.Crash == nil {
		f.Skip("the harness cannot crash a driver")
	}
	f.d = f.h.Crash(f.TB, f.d)
}

// recoverAdopts: instances serve on without their driver, and its successor has them as they were.
func recoverAdopts(f *fixture) {
	if f.h.Crash == nil {
		f.crash() // says why not
	}
	f.recover()
	t := f.task(Serve)
	t.Labels = map[string]string{"kit": "label"}
	kept := f.start(t)
	h := f.handle(kept.ID)
	damaged, newer := h, h
	damaged.ID, damaged.State = "kit-damaged", []byte{0xff}
	newer.ID, newer.Format = "kit-newer", h.Format+1000
	f.crash()
	f.serves(kept)
	found := f.recover(h, damaged, newer)
	if !slices.Equal(found.Adopted, []string{kept.ID}) {
		f.Fatalf("Recover adopted %q (lost: %v), want %q", found.Adopted, found.Lost, kept.ID)
	}
	why := map[string]error{}
	for _, l := range found.Lost {
		why[l.ID] = l.Err
	}
	if len(why) != 2 || !errors.Is(why[damaged.ID], faas.ErrCorrupt) || !errors.Is(why[newer.ID], faas.ErrUnimplemented) {
		f.Errorf("Recover lost %v, want a damaged handle as corrupt and one of an unknown format as unimplemented", why)
	}
	if now, ok := f.listed(kept.ID); !ok || !sameStatus(now, kept) {
		f.Errorf("List after Recover: %+v (listed: %v), before it %+v", now, ok, kept)
	}
	f.serves(kept)
	w := f.watch()
	f.refused(t, faas.ErrAlreadyExists, "the id of a task that was adopted")
	f.stop(kept.ID, patience)
	w.waitState(kept.ID, driver.StateGone)
	f.serves(f.serve())
}

// recoverRemovesStrays: what carries the owner's mark and has no handle.
func recoverRemovesStrays(f *fixture) {
	if f.h.Crash == nil {
		f.crash()
	}
	f.recover()
	stray := f.serve()
	f.crash()
	if found := f.recover(); len(found.Strays) == 0 {
		f.Error("Recover tells of no stray, and there was one")
	}
	if _, err := f.call(stray.Endpoint, "/echo", "", ""); err == nil {
		f.Error("a stray still answers")
	}
	f.nothingLeft("after Recover without handles")
}
