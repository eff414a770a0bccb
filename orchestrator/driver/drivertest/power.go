package drivertest

import (
	"context"
	"errors"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func imageClauses() []clause {
	return []clause{
		{"runs", imageRuns},
		{"missing", imageMissing},
	}
}

// imageRuns: an image where Info declares them, else a refusal.
func imageRuns(f *fixture) {
	if !f.info().Images {
		t := f.task(Serve)
		t.Image = "kit/image:1"
		f.refused(t, faas.ErrUnimplemented, "an image, which Info does not declare")
		return
	}
	t := f.task(Image)
	if t.Image == "" || len(t.Command) > 0 {
		f.Fatalf("the harness's task for %q has the image %q and the command %q", Image, t.Image, t.Command)
	}
	f.serves(f.start(t))
	f.stop(t.ID, patience)
	bad := f.task(Image)
	bad.Image = "not an image"
	f.refused(bad, faas.ErrInvalidArgument, "an image that is no reference")
}

func imageMissing(f *fixture) {
	if !f.info().Images {
		f.Skip("the driver does not declare images")
	}
	f.refused(f.task(MissingImage), faas.ErrNotFound, "an image that does not exist")
	f.nothingLeft("after it")
}

func pauseClauses() []clause {
	return []clause{
		{"declared", pauseDeclared},
		{"freezes", pauseFreezes},
		{"errors", pauseErrors},
		{"ends", pauseEnds},
	}
}

// pauseDeclared: the power is there exactly when Info says so.
func pauseDeclared(f *fixture) {
	declared := f.info().Pause
	p, found := driver.Find[driver.Pauser](f.d)
	switch {
	case declared && !found:
		f.Error("Info declares pause, and driver.Find finds no Pauser")
	case !declared && found:
		f.wantClass("Pause of a driver that does not declare it", p.Pause(f.ctx, f.serve().ID), faas.ErrUnimplemented)
	}
}

func (f *fixture) pauser() driver.Pauser {
	f.Helper()
	p, _ := driver.Find[driver.Pauser](f.d)
	if p == nil || !f.info().Pause {
		f.Skip("the driver does not declare pause")
	}
	return p
}

func (f *fixture) pause(p driver.Pauser, id string) {
	f.Helper()
	f.within("Pause", func() {
		if err := p.Pause(f.ctx, id); err != nil {
			f.Fatalf("Pause %q: %v", id, err)
		}
	})
}

// pauseFreezes: a paused instance does not answer, and answers what waited once it is resumed.
func pauseFreezes(f *fixture) {
	p := f.pauser()
	st, other := f.serve(), f.serve()
	f.pause(p, st.ID)
	f.pause(p, st.ID)
	answered := make(chan error, 1)
	go func() {
		resp, err := f.call(st.Endpoint, "/echo", "", "waits")
		if err == nil {
			_, err = resp.Body.Text()
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		f.Errorf("a paused instance answered (error %v)", err)
		answered <- nil
	case <-time.After(100 * time.Millisecond):
	}
	f.serves(other)
	if got, ok := f.listed(st.ID); !ok || got.State != driver.StateRunning {
		f.Errorf("List has a paused task as %+v (listed: %v), want it running", got, ok)
	}
	for range 2 {
		f.within("Resume", func() {
			if err := p.Resume(f.ctx, st.ID); err != nil {
				f.Fatalf("Resume %q: %v", st.ID, err)
			}
		})
	}
	f.within("the call that waited", func() {
		if err := <-answered; err != nil {
			f.Errorf("a call that waited for a paused instance: %v", err)
		}
	})
	f.serves(st)
}

func pauseErrors(f *fixture) {
	p := f.pauser()
	ended := f.start(f.task(Exit))
	w := f.watch()
	f.provoke(ended.Endpoint, "/exit", "code=1")
	w.waitState(ended.ID, driver.StateEnded)
	st := f.serve()
	for name, do := range map[string]func(context.Context, string) error{"Pause": p.Pause, "Resume": p.Resume} {
		f.wantClass(name+" of an unknown task", do(f.ctx, "no-such-task"), faas.ErrNotFound)
		f.wantClass(name+" of a task that has ended", do(f.ctx, ended.ID), faas.ErrConflict)
	}
	if err := f.d.Close(); err != nil {
		f.Errorf("Close: %v", err)
	}
	f.wantClass("Pause after Close", p.Pause(f.ctx, st.ID), faas.ErrClosed)
	f.wantClass("Resume after Close", p.Resume(f.ctx, st.ID), faas.ErrClosed)
}

// pauseEnds: a paused instance can be stopped, and Close ends it.
func pauseEnds(f *fixture) {
	p := f.pauser()
	for _, grace := range []time.Duration{0, 200 * time.Millisecond} {
		st := f.serve()
		f.pause(p, st.ID)
		f.stop(st.ID, grace)
		f.nothingLeft("after Stop of a paused instance")
	}
	f.pause(p, f.serve().ID) // fixture closes the driver
}

func statsClauses() []clause {
	return []clause{
		{"declared", statsDeclared},
		{"measures", statsMeasures},
	}
}

func statsDeclared(f *fixture) {
	declared := f.info().Stats
	src, found := driver.Find[driver.StatsSource](f.d)
	switch {
	case declared && !found:
		f.Error("Info declares stats, and driver.Find finds no StatsSource")
	case !declared && found:
		_, err := src.Stats(f.ctx, f.serve().ID)
		f.wantClass("Stats of a driver that does not declare them", err, faas.ErrUnimplemented)
	}
}

// statsMeasures: plausible values of a task that runs, and the classes of errors.
func statsMeasures(f *fixture) {
	src, _ := driver.Find[driver.StatsSource](f.d)
	if src == nil || !f.info().Stats {
		f.Skip("the driver does not declare stats")
	}
	st := f.serve()
	first, err := src.Stats(f.ctx, st.ID)
	if err != nil {
		f.Fatalf("Stats: %v", err)
	}
	if first.CPU <= 0 || first.Memory <= 0 || first.Pids <= 0 {
		f.Errorf("Stats of a task that runs: %+v, want all of it positive", first)
	}
	for range 20 {
		f.serves(st)
	}
	if second, err := src.Stats(f.ctx, st.ID); err != nil || second.CPU < first.CPU {
		f.Errorf("Stats after 20 calls: %+v (%v), before %+v: the processor time cannot shrink", second, err, first)
	}
	_, err = src.Stats(f.ctx, "no-such-task")
	f.wantClass("Stats of an unknown task", err, faas.ErrNotFound)
	f.stop(st.ID, 0)
	if _, err = src.Stats(f.ctx, st.ID); !errors.Is(err, faas.ErrNotFound) {
		f.Errorf("Stats of a stopped task: got %v, want %v", err, faas.ErrNotFound)
	}
}
