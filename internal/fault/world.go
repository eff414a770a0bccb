package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/figure"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/internal/testfunction/testbin"
)

// world is a platform to break, with one function that runs the test function program.
type world struct {
	*platform.Platform
	fn faas.Ref
}

// newWorld starts a platform and publishes the test function with the arguments.
func newWorld(spec faas.Spec, args ...string) (*world, error) {
	bin, err := testbin.Path()
	if err != nil {
		return nil, err
	}
	p, err := platform.Start(platform.Config{})
	if err != nil {
		return nil, err
	}
	if spec.Contract == "" {
		spec.Contract = faas.ContractInherit
	}
	ref, err := p.PublishProgram("victim", bin, args, spec)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return &world{p, ref}, nil
}

// get calls the function and returns its answer, read to the end.
func (w *world) get(path, query string, timeout time.Duration) (status int, body []byte, err error) {
	ctx, done := context.WithTimeout(context.Background(), timeout)
	defer done()
	resp, err := w.Router.Invoke(ctx, &faas.Request{Function: w.fn, Method: http.MethodGet, Path: path, Query: query})
	if err != nil {
		return 0, nil, err
	}
	body, err = resp.Body.ReadAll(16 << 20)
	return resp.StatusCode(), body, err
}

// pid returns the process id of the instance that answers.
func (w *world) pid() (int, error) {
	_, body, err := w.get("/pid", "", 20*time.Second)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(body)))
}

// healthy reports 1 when a call is answered with 200, else 0.
func (w *world) healthy() float64 {
	status, _, err := w.get("/echo", "", 20*time.Second)
	return count(err == nil && status == http.StatusOK)
}

// scaleToZero takes all instances away and waits until they are gone.
func (w *world) scaleToZero() error {
	ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	return w.ScaleToZero(ctx, w.fn)
}

// leftovers are the figures that nothing is left: no process of an instance, no
// zombie of ours, no private directory.
func (w *world) leftovers(name string) []Figure {
	// The driver may keep one empty directory ready.
	files, _ := filepath.Glob(filepath.Join(w.Dir, "instances", "*", "*"))
	if len(files) > 0 {
		if entries, err := os.ReadDir(files[0]); err == nil && len(entries) == 0 {
			files = files[1:]
		}
	}
	processes, zombies := processesUnder(w.Dir)
	return []Figure{
		{Name: name + "-processes-left", Value: float64(processes), Unit: "processes", Op: "==", Bound: 0},
		{Name: name + "-zombies-left", Value: float64(zombies), Unit: "processes", Op: "==", Bound: 0},
		{Name: name + "-files-left", Value: float64(len(files)), Unit: "directories", Op: "==", Bound: 0},
	}
}

// processesUnder counts the processes whose program lies below dir, and this
// process's zombie children.
func processesUnder(dir string) (processes, zombies int) {
	entries, _ := os.ReadDir("/proc")
	self := strconv.Itoa(os.Getpid())
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if exe, err := os.Readlink("/proc/" + e.Name() + "/exe"); err == nil && strings.HasPrefix(exe, dir+"/") {
			processes++
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		if _, rest, ok := strings.Cut(string(stat), ") "); ok {
			if f := strings.Fields(rest); len(f) > 1 && f[0] == "Z" && f[1] == self {
				zombies++
			}
		}
	}
	return processes, zombies
}

// residentGrown is how many MiB the resident memory grows at most while f runs.
func residentGrown(f func()) float64 {
	debug.FreeOSMemory()
	before := figure.ResidentMB()
	ended := make(chan struct{})
	most := make(chan float64)
	go func() {
		peak, tick := before, time.NewTicker(2*time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, figure.ResidentMB())
			select {
			case <-tick.C:
			case <-ended:
				most <- peak
				return
			}
		}
	}()
	f()
	close(ended)
	return <-most - before
}

// p99 is the 99th percentile in milliseconds: as many values are greater as one in a hundred.
func p99(v []time.Duration) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return float64(s[len(s)*99/100]) / float64(time.Millisecond)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// count is 1 for true.
func count(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
