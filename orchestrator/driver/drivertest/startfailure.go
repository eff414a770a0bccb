package drivertest

import (
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func startFailureClauses() []clause {
	return []clause{
		{"invalid-task", startInvalid},
		{"unknown-contract", startUnknownContract},
		{"missing-program", startMissing},
		{"exits-early", startExitsEarly},
		{"never-ready", startNeverReady},
	}
}

func startInvalid(f *fixture) {
	for why, spoil := range map[string]func(*driver.Task){
		"an empty id":               func(t *driver.Task) { t.ID = "" },
		"an id with a slash":        func(t *driver.Task) { t.ID = "a/b" },
		"an id that climbs":         func(t *driver.Task) { t.ID = ".." },
		"an id that is too long":    func(t *driver.Task) { t.ID = strings.Repeat("i", faas.MaxNameLen+1) },
		"an empty contract":         func(t *driver.Task) { t.Contract = "" },
		"no command":                func(t *driver.Task) { t.Command = nil },
		"an empty command":          func(t *driver.Task) { t.Command = []string{""} },
		"a NUL byte in its command": func(t *driver.Task) { t.Command = append([]string{"a\x00b"}, t.Command...) },
		"an empty name in its env":  func(t *driver.Task) { t.Env = map[string]string{"": "x"} },
		"an = in a name in its env": func(t *driver.Task) { t.Env = map[string]string{"A=B": "x"} },
		"a NUL byte in its env":     func(t *driver.Task) { t.Env = map[string]string{"A": "x\x00"} },
		"a negative limit":          func(t *driver.Task) { t.Limits.Memory = -1 },
		"a negative start timeout":  func(t *driver.Task) { t.StartTimeout = -1 },
		"a negative concurrency":    func(t *driver.Task) { t.Concurrency = -1 },
		"a negative isolation":      func(t *driver.Task) { t.Isolation = -1 },
	} {
		t := f.task(Serve)
		spoil(&t)
		f.refused(t, faas.ErrInvalidArgument, why)
	}
	f.nothingLeft("after invalid tasks")
}

func startUnknownContract(f *fixture) {
	t := f.task(Serve)
	t.Contract = "no-such-contract"
	f.refused(t, faas.ErrUnimplemented, "a contract that Info does not offer")
	f.nothingLeft("after it")
}

func startMissing(f *fixture) {
	f.refused(f.task(Missing), faas.ErrNotFound, "a program that does not exist")
	f.nothingLeft("after it")
}

// startExitsEarly: the end of the instance is noticed, not waited out.
func startExitsEarly(f *fixture) {
	t := f.task(ExitEarly)
	t.StartTimeout = 2 * patience
	f.within("Start of an instance that exits early", func() {
		f.refused(t, faas.ErrFunction, "a program that exits early")
	})
	f.nothingLeft("after it")
}

// startNeverReady: StartTimeout holds, and not some default of the driver.
func startNeverReady(f *fixture) {
	t := f.task(NeverReady)
	t.StartTimeout = 300 * time.Millisecond
	begun := time.Now()
	f.refused(t, faas.ErrTimeout, "a program that is never ready")
	const most = faas.DefaultStartTimeout - 2*time.Second
	if took := time.Since(begun); took < t.StartTimeout || took > most {
		f.Errorf("Start with a StartTimeout of %v took %v", t.StartTimeout, took)
	}
	f.nothingLeft("after it")
}
