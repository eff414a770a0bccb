package drivertest

import (
	"errors"
	"reflect"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func exitClauses() []clause {
	return []clause{
		{"code", exitCode},
		{"signal", exitSignal},
		{"out-of-memory", exitOutOfMemory},
		{"takes-its-descendants", exitTakesDescendants},
	}
}

// ends provokes the end of an instance and returns how it ended, as Watch and List
// tell it; other tasks are not touched, and Stop forgets it.
func (f *fixture) ends(t driver.Task, path, query string) *driver.Exit {
	f.Helper()
	other := f.serve()
	st := f.start(t)
	w := f.watch()
	f.provoke(st.Endpoint, path, query)
	ended := w.waitState(t.ID, driver.StateEnded)
	if ended.Exit == nil {
		f.Fatalf("Watch: %+v ended without an exit", ended)
	}
	if listed, ok := f.listed(t.ID); !ok || listed.State != driver.StateEnded || !reflect.DeepEqual(listed.Exit, ended.Exit) {
		f.Errorf("List: %+v (listed: %v), Watch said %+v", listed, ok, ended)
	}
	f.wantClass("the exit's error", ended.Exit.Err(t.ID), faas.ErrFunction)
	f.refused(t, faas.ErrAlreadyExists, "the id of a task that ended but was not stopped")
	f.serves(other)
	f.stop(t.ID, patience)
	w.waitState(t.ID, driver.StateGone)
	w.inOrder()
	f.stop(other.ID, patience)
	f.nothingLeft("after Stop of an instance that had ended")
	return ended.Exit
}

func exitCode(f *fixture) {
	for _, c := range []struct {
		query string
		code  int
	}{{"code=7", 7}, {"code=0", 0}} {
		e := f.ends(f.task(Exit), "/exit", c.query)
		if e.Reason != driver.ExitExited || e.Code != c.code || e.Signal != "" {
			f.Errorf("the exit of an instance that exited with %d: %+v", c.code, e)
		}
	}
}

func exitSignal(f *fixture) {
	e := f.ends(f.task(Crash), "/crash", "")
	if e.Reason != driver.ExitSignaled || e.Signal != "SIGKILL" || e.Code != -1 {
		f.Errorf("the exit of an instance that was killed by SIGKILL: %+v", e)
	}
	if err := e.Err("i"); errors.Is(err, faas.ErrOutOfMemory) {
		f.Errorf("a crash is told as out of memory: %v", err)
	}
}

func exitOutOfMemory(f *fixture) {
	info := f.info()
	if !info.Limits.Memory {
		f.Skip("the driver does not declare a memory limit")
	}
	e := f.ends(f.task(OutOfMemory), "/alloc", "mb=1024")
	if e.Reason != driver.ExitOutOfMemory || e.Code != -1 {
		f.Errorf("the exit of an instance that went over its memory limit: %+v", e)
	}
	f.wantClass("its error", e.Err("i"), faas.ErrOutOfMemory)
}

// exitTakesDescendants: what an instance started does not outlive the task.
func exitTakesDescendants(f *fixture) {
	t := f.task(Descend)
	st := f.start(t)
	f.text(st.Endpoint, "/daemon", "", "")
	w := f.watch()
	f.provoke(st.Endpoint, "/exit", "code=1")
	w.waitState(t.ID, driver.StateEnded)
	f.stop(t.ID, 0)
	f.nothingLeft("after Stop of an instance that exited and left a daemon")
}
