package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/figure"
	"github.com/joinery/faas/router/memrouter"
)

// ignoreTerm stops an instance that ignores SIGTERM and times its end.
func ignoreTerm() ([]Figure, error) {
	const grace = time.Second
	w, err := newWorld(faas.Spec{Grace: grace}, "ignore-term")
	if err != nil {
		return nil, err
	}
	defer w.Close()
	var worst time.Duration
	early := 0.0
	for range 5 {
		if _, err := w.pid(); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := w.scaleToZero(); err != nil {
			return nil, err
		}
		took := time.Since(began)
		early += count(took < grace)
		worst = max(worst, took-grace)
	}
	return append([]Figure{
		{Name: "ignore-term-after-grace", Value: float64(worst.Milliseconds()), Unit: "ms", Op: "<=", Bound: 200},
		{Name: "ignore-term-before-grace", Value: early, Unit: "rounds", Op: "==", Bound: 0},
	}, w.leftovers("ignore-term")...), nil
}

// forkBomb lets a fork bomb run against a limit of 64 processes.
func forkBomb() ([]Figure, error) {
	w, err := newWorld(faas.Spec{Limits: faas.Resources{Pids: 64}, Grace: time.Second, Concurrency: 4})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.pid(); err != nil {
		return nil, err
	}
	bomb := make(chan struct{})
	go func() {
		defer close(bomb)
		w.get("/fork-bomb", "", 5*time.Second)
	}()
	most := 0
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		n, _ := processesUnder(w.Dir)
		most = max(most, n)
	}
	<-bomb
	began := time.Now()
	if err := w.scaleToZero(); err != nil {
		return nil, err
	}
	figures := []Figure{
		{Name: "fork-bomb-processes", Value: float64(most), Unit: "processes", Op: "<=", Bound: 64},
		{Name: "fork-bomb-gone-after", Value: time.Since(began).Seconds(), Unit: "s", Op: "<=", Bound: 5},
	}
	figures = append(figures, w.leftovers("fork-bomb")...)
	return append(figures, Figure{Name: "fork-bomb-next-call", Value: w.healthy(), Unit: "ok", Op: "==", Bound: 1}), nil
}

// flood lets a function write 400 MB to its standard output: 200 MB of lines, one line of
// 100 MB and 100 MB of NUL bytes.
func flood() ([]Figure, error) {
	w, err := newWorld(faas.Spec{})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.pid(); err != nil {
		return nil, err
	}
	const mb = 400
	var status int
	began := time.Now()
	grown := residentGrown(func() {
		status, _, err = w.get("/flood", "bytes="+strconv.Itoa(mb<<20), 60*time.Second)
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	return []Figure{
		{Name: "flood-answered", Value: count(status == http.StatusOK), Unit: "ok", Op: "==", Bound: 1},
		{Name: "flood-memory-grown", Value: grown, Unit: "MB", Op: "<=", Bound: 20},
		{Name: "flood-rate", Value: mb / took.Seconds(), Unit: "MB/s"},
		{Name: "flood-next-call", Value: w.healthy(), Unit: "ok", Op: "==", Bound: 1},
	}, nil
}

// outOfMemory lets a function allocate over its limit of 64 MiB.
func outOfMemory() ([]Figure, error) {
	w, err := newWorld(faas.Spec{Limits: faas.Resources{Memory: 64 << 20}})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.pid(); err != nil {
		return nil, err
	}
	before := figure.ResidentMB()
	const rounds = 5
	var told, recovered float64
	var worst time.Duration
	for range rounds {
		began := time.Now()
		_, _, err := w.get("/alloc", "mb=256", 20*time.Second)
		worst = max(worst, time.Since(began))
		told += count(errors.Is(err, faas.ErrOutOfMemory))
		recovered += w.healthy()
	}
	return []Figure{
		{Name: "out-of-memory-told", Value: told, Unit: "calls", Op: "==", Bound: rounds},
		{Name: "out-of-memory-told-after", Value: worst.Seconds(), Unit: "s", Op: "<=", Bound: 2},
		{Name: "out-of-memory-host-grown", Value: figure.ResidentMB() - before, Unit: "MB", Op: "<=", Bound: 20},
		{Name: "out-of-memory-recovered", Value: recovered, Unit: "rounds", Op: "==", Bound: rounds},
	}, nil
}

// daemons lets a function start daemons that fork twice and leave their session.
func daemons() ([]Figure, error) {
	w, err := newWorld(faas.Spec{Grace: time.Second})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	const calls = 100
	started := 0.0
	for range calls {
		status, _, err := w.get("/daemon", "", 20*time.Second)
		if err != nil {
			return nil, err
		}
		started += count(status == http.StatusOK)
	}
	running, _ := processesUnder(w.Dir)
	if err := w.scaleToZero(); err != nil {
		return nil, err
	}
	return append([]Figure{
		{Name: "daemons-started", Value: started, Unit: "calls", Op: "==", Bound: calls},
		{Name: "daemons-running", Value: float64(running), Unit: "processes"},
	}, w.leftovers("daemons")...), nil
}

// starts counts the starts that the router has begun.
func (w *world) starts() int {
	n := 0
	for _, e := range w.Router.Events() {
		if e.Kind == memrouter.Starting {
			n++
		}
	}
	return n
}

// cancelledStart cancels cold starts at random points.
func cancelledStart() ([]Figure, error) {
	w, err := newWorld(faas.Spec{StartTimeout: 5 * time.Second, Grace: time.Second}, "slow-start", "20")
	if err != nil {
		return nil, err
	}
	defer w.Close()
	const rounds = 200
	var cancelled, other float64
	for i := range rounds {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*150*time.Microsecond)
		_, err := w.Deployer.Deploy(ctx, w.function(), nil)
		switch {
		case errors.Is(err, faas.ErrTimeout), errors.Is(err, faas.ErrCanceled):
			cancelled++
		case err != nil:
			other++
		}
		cancel()
	}
	ctx, done := context.WithTimeout(context.Background(), 30*time.Second)
	defer done()
	list, err := w.Manager.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, st := range list { // those few that were quicker than their deadline
		if err := w.Manager.Remove(ctx, st.ID); err != nil && !errors.Is(err, faas.ErrNotFound) {
			return nil, err
		}
	}
	if err := w.WaitForNoWorkload(ctx); err != nil {
		return nil, err
	}
	records, _, err := w.Names.List(ctx, "workloads/")
	if err != nil {
		return nil, err
	}
	return append([]Figure{
		{Name: "cancelled-start-cancelled", Value: cancelled, Unit: "starts"},
		{Name: "cancelled-start-other-errors", Value: other, Unit: "starts", Op: "==", Bound: 0},
		{Name: "cancelled-start-records-left", Value: float64(len(records)), Unit: "records", Op: "==", Bound: 0},
	}, w.leftovers("cancelled-start")...), nil
}

func (w *world) function() faas.Function {
	fn, err := w.Registry.Get(context.Background(), w.fn)
	if err != nil {
		panic(err) // it was published at the start
	}
	return fn
}

// descriptors counts this process's open files.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
