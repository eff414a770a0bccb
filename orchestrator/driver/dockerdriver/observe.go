package dockerdriver

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas/orchestrator/driver"
)

// observe follows the engine's events until the driver is closed. Each time the stream begins, what the
// engine has is compared with what is believed, so that nothing is missed while there was none.
func (d *Driver) observe() {
	for pause := firstRetry; ; pause = min(2*pause, mostRetry) {
		begun := time.Now()
		err := d.follow(d.ctx)
		if d.ctx.Err() != nil {
			return
		}
		if time.Since(begun) > mostRetry {
			pause = firstRetry
		}
		d.log.Warn("the engine's events have ended", "error", err)
		select {
		case <-d.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// The pauses between two attempts to follow the engine's events.
const (
	firstRetry = 50 * time.Millisecond
	mostRetry  = 2 * time.Second
)

// follow reads one stream of events to its end.
func (d *Driver) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	since := strconv.FormatFloat(float64(time.Now().UnixNano())/1e9, 'f', 9, 64)
	body, err := d.engine.open(ctx, http.MethodGet, "/events", url.Values{"since": {since},
		"filters": {d.filter(map[string][]string{"type": {"container"}, "event": {"kill", "die", "destroy"}})}}, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := d.collect(ctx); err != nil {
		return err
	}
	d.work.Go(func() { d.compare(ctx) })
	for dec := json.NewDecoder(body); ; {
		var e struct {
			Action string
			Actor  struct{ ID string }
		}
		if err := dec.Decode(&e); err != nil {
			return err
		}
		d.mu.Lock()
		i := d.byID[e.Actor.ID]
		d.mu.Unlock()
		switch {
		case i == nil:
		case e.Action == "kill":
			i.killed.Store(true)
		default:
			d.work.Go(i.examine)
		}
	}
}

// compareEvery is how often the engine is asked what it has though its events said nothing: it drops
// events that it cannot deliver in time.
const compareEvery = 15 * time.Second

func (d *Driver) compare(ctx context.Context) {
	for every := time.NewTicker(compareEvery); ; {
		select {
		case <-ctx.Done():
			every.Stop()
			return
		case <-every.C:
			if err := d.collect(ctx); err != nil && ctx.Err() == nil {
				d.log.Warn("cannot compare what the engine has with what is believed", "error", err)
			}
		}
	}
}

// filter is the engine's form of a filter for this driver's containers and more.
func (d *Driver) filter(more map[string][]string) string {
	f := map[string][]string{"label": {labelOwner + "=" + d.mark}}
	for k, v := range more {
		f[k] = v
	}
	text, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}

// marked lists the containers with this driver's mark.
func (d *Driver) marked(ctx context.Context) (all []listed, err error) {
	err = d.engine.call(ctx, http.MethodGet, "/containers/json", url.Values{"all": {"1"}, "filters": {d.filter(nil)}}, nil, &all)
	return all, err
}

func (d *Driver) inspect(ctx context.Context, id string) (c container, err error) {
	err = d.engine.call(ctx, http.MethodGet, "/containers/"+id+"/json", nil, nil, &c)
	return c, err
}

// collect compares what the engine has with what is believed: instances whose container has ended or is
// gone end, and containers with this driver's mark that belong to no task are removed.
func (d *Driver) collect(ctx context.Context) error {
	d.mu.Lock()
	before := make([]*instance, 0, len(d.byID)) // later ones may be missing in the list
	for _, i := range d.byID {
		before = append(before, i)
	}
	d.mu.Unlock()
	all, err := d.marked(ctx)
	if err != nil {
		return err
	}
	state := map[string]string{}
	for _, c := range all {
		state[c.ID] = c.State
		d.mu.Lock()
		known := d.byID[c.ID] != nil || d.starts(c)
		d.mu.Unlock()
		if !known {
			d.log.Info("removing a stray container", "container", c.ID, "names", c.Names)
			if err := d.removeContainer(ctx, c.ID); err != nil {
				return err
			}
		}
	}
	for _, i := range before {
		switch state[i.container] {
		case "running", "paused", "created", "restarting":
		default:
			d.work.Go(i.examine)
		}
	}
	return nil
}

// starts reports whether the container may be that of a start under way whose id is not known yet. The
// caller holds mu.
func (d *Driver) starts(c listed) bool {
	for _, name := range c.Names {
		id, ours := strings.CutPrefix(strings.TrimPrefix(name, "/"), filepath.Base(d.root)+"-")
		if i := d.tasks[id]; ours && i != nil && i.container == "" {
			return true
		}
	}
	return false
}

// examine finds out whether and how the instance has ended.
func (i *instance) examine() {
	d := i.d
	ctx, cancel := context.WithTimeout(d.ctx, engineTime)
	defer cancel()
	exit, err := i.exit(ctx)
	if err != nil {
		if ctx.Err() == nil {
			d.log.Warn("cannot find out how an instance has ended", "id", i.status.ID, "error", err)
		}
		return // the next stream of events begins with a comparison
	}
	if exit == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case i.stopping:
		i.remove()
	case i.status.Exit == nil:
		i.status.Exit = exit
		close(i.ended)
		if i.status.State != "" {
			i.status.State = driver.StateEnded
			d.feed.Publish(i.status)
		}
	}
}

// exit says how the container has ended; nil if it has not.
func (i *instance) exit(ctx context.Context) (*driver.Exit, error) {
	c, err := i.d.inspect(ctx, i.container)
	if status(err) == http.StatusNotFound {
		return &driver.Exit{Reason: driver.ExitLost, Code: -1, Detail: "the container was removed by somebody else"}, nil
	}
	if err != nil {
		return nil, err
	}
	s := c.State
	if !s.ended() {
		return nil, nil
	}
	// The engine may hear of the end before it hears that memory ran out, and with version 1 of cgroups
	// it may never hear of that. The kernel kills by SIGKILL, and of everybody else's the engine knows.
	outOfMemory := s.OOMKilled && s.ExitCode != 0 || i.limited && !i.killed.Load() && s.ExitCode == signalCode+int(unix.SIGKILL)
	e := &driver.Exit{Reason: driver.ExitExited, Code: s.ExitCode, Detail: i.d.stderr(ctx, i.container)}
	switch n := s.ExitCode - signalCode; {
	case outOfMemory:
		e.Reason, e.Code = driver.ExitOutOfMemory, -1
	case n > 0 && unix.SignalName(unix.Signal(n)) != "":
		e.Reason, e.Code, e.Signal = driver.ExitSignaled, -1, unix.SignalName(unix.Signal(n))
	}
	if s.Error != "" {
		e.Detail = strings.TrimSpace(s.Error + "\n" + e.Detail)
	}
	return e, nil
}

// signalCode is added to the number of the signal that ended a process by who tells of it in an exit
// code, as the init process in a container does. A function that exits with such a code of its own
// accord is taken for one that was killed.
const signalCode = 128
