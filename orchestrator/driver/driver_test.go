package driver_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func task() driver.Task {
	return driver.Task{ID: "i1", Contract: faas.ContractHTTP, Command: []string{"./hello", ""}, Env: map[string]string{"A": "", "b.c": "="}}
}

func TestValidateReportsEveryFault(t *testing.T) {
	good := task()
	require.NoError(t, good.Validate())
	bad := driver.Task{ID: "../x", Contract: "No", Image: "No", Command: []string{"", "a\x00"}, Env: map[string]string{"A=B": "", "": "", "C": "\x00"},
		Limits:    faas.Resources{MilliCPU: -1, Memory: math.MinInt64, Pids: -1, Files: -1, FileSize: -1},
		Isolation: 99, StartTimeout: -time.Second, Concurrency: -1}
	err := bad.Validate()
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"id", "contract", "image", "command", "env", "isolation", "limits.milliCPU", "limits.memory", "limits.pids",
		"limits.files", "limits.fileSize", "startTimeout", "concurrency"} {
		assert.ErrorContains(t, err, `"`+field+`"`)
	}
	assert.Equal(t, 3, strings.Count(err.Error(), `"env"`))
	long := task()
	long.Env = map[string]string{strings.Repeat("=", 1<<20): ""}
	assert.Less(t, len(long.Validate().Error()), 1000, "hostile input does not fill the message")
}

func TestAcceptsNamesWhatIsMissing(t *testing.T) {
	info := driver.Info{Name: "d", Contracts: []faas.Contract{faas.ContractHTTP}, Isolation: faas.IsolationProcess,
		Limits: driver.LimitSupport{Memory: true}}
	within := task()
	within.Isolation, within.Limits.Memory = faas.IsolationProcess, 1<<20
	require.NoError(t, info.Accepts(&within))
	for want, spoil := range map[string]func(*driver.Task){
		"http-socket":     func(t *driver.Task) { t.Contract = faas.ContractSocket },
		"run images":      func(t *driver.Task) { t.Image = "hello:1" },
		"L2 sandbox":      func(t *driver.Task) { t.Isolation = faas.IsolationSandbox },
		"limits.milliCPU": func(t *driver.Task) { t.Limits.MilliCPU = 1 },
		"limits.pids":     func(t *driver.Task) { t.Limits.Pids = 1 },
		"limits.files":    func(t *driver.Task) { t.Limits.Files = 1 },
		"limits.fileSize": func(t *driver.Task) { t.Limits.FileSize = 1 },
	} {
		beyond := task()
		spoil(&beyond)
		err := info.Accepts(&beyond)
		assert.ErrorIs(t, err, faas.ErrUnimplemented)
		assert.ErrorContains(t, err, want)
	}
	none := driver.Info{Name: "d", Contracts: info.Contracts}
	memory := task()
	memory.Limits.Memory = 1
	assert.ErrorContains(t, none.Accepts(&memory), "limits.memory")
	invalid := task()
	invalid.ID = ""
	assert.ErrorIs(t, info.Accepts(&invalid), faas.ErrInvalidArgument)
}

func TestExitErr(t *testing.T) {
	var none *driver.Exit
	assert.NoError(t, none.Err("i1"))
	assert.NoError(t, (&driver.Exit{Reason: driver.ExitStopped}).Err("i1"))
	for _, c := range []struct {
		exit  driver.Exit
		class error
		text  string
	}{
		{driver.Exit{Reason: driver.ExitExited, Code: 3, Detail: "last words"}, faas.ErrFunction, "exited with code 3: last words"},
		{driver.Exit{Reason: driver.ExitSignaled, Code: -1, Signal: "SIGSEGV"}, faas.ErrFunction, "killed by SIGSEGV"},
		{driver.Exit{Reason: driver.ExitOutOfMemory, Code: -1}, faas.ErrOutOfMemory, "raise limits.memory"},
		{driver.Exit{Reason: driver.ExitLost, Code: -1}, faas.ErrUnavailable, "lost"},
	} {
		err := c.exit.Err("i1")
		assert.Equal(t, c.class, faas.Class(err))
		assert.ErrorContains(t, err, c.text)
		if c.exit.Reason != driver.ExitLost {
			assert.ErrorIs(t, err, faas.ErrFunction)
		}
	}
}

type plain struct{ driver.Driver }

type wrapper struct{ driver.Driver }

func (w wrapper) Unwrap() driver.Driver { return w.Driver }

type power interface{ Power() int }

type powerful struct {
	driver.Driver
	n int
}

func (p powerful) Power() int { return p.n }

func TestFindLooksThroughWrappers(t *testing.T) {
	p, ok := driver.Find[power](wrapper{wrapper{powerful{n: 7}}})
	require.True(t, ok)
	assert.Equal(t, 7, p.Power())
	_, ok = driver.Find[power](plain{powerful{n: 7}})
	assert.False(t, ok, "a wrapper that does not unwrap hides it")
	_, ok = driver.Find[power](wrapper{})
	assert.False(t, ok)
	_, ok = driver.Find[power](nil)
	assert.False(t, ok)
}
