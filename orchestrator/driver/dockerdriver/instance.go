package dockerdriver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// socketName is the file name of an instance's socket: short, as paths of sockets are bounded.
const socketName = "s"

// instance is one task. The driver's mu guards everything but what never changes.
type instance struct {
	d       *Driver
	task    driver.Task // of a start under way
	limited bool        // it has a memory limit
	dir     string      // name of the private directory; empty: none

	status    driver.Status
	container string        // id; empty until it was created
	ended     chan struct{} // closed when Exit is set
	gone      chan struct{} // closed when it is forgotten
	killed    atomic.Bool   // somebody has sent it a signal through the engine
	stopping  bool
	removing  bool
	forced    []*time.Timer
	trouble   *trouble
	freeze    chan struct{} // holds one token: whoever has it pauses or resumes
	paused    bool          // with the token
}

// trouble is a failure to remove that those who wait for the end are told of.
type trouble struct {
	seen chan struct{}
	err  error
}

func newInstance(d *Driver, s driver.Status) *instance {
	return &instance{d: d, status: s, ended: make(chan struct{}), gone: make(chan struct{}),
		trouble: &trouble{seen: make(chan struct{})}, freeze: make(chan struct{}, 1)}
}

// lingerTime is how long a call to the engine is waited for though its caller has given up: only its
// answer says what there is to clean up.
const lingerTime = 15 * time.Second

// linger returns a context that ends lingerTime after ctx.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(lingerTime, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(late, func() { t.Stop() })
	})
	return late, func() { stop(); cancel(nil) }
}

// start creates and starts the container and waits until it serves.
func (i *instance) start(caller context.Context) error {
	d, id := i.d, i.status.ID
	begun := time.Now()
	ctx, cancel := context.WithTimeout(caller, i.task.StartTimeout)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	err := i.launch(ctx)
	if err == nil {
		err = i.untilReady(ctx)
	}
	d.mu.Lock()
	exit := i.status.Exit
	d.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case d.ctx.Err() != nil:
		return closedError("start", id)
	case caller.Err() != nil:
		return faas.ContextError(caller, component, "start", id)
	case exit != nil:
		return i.exitError(exit)
	case ctx.Err() != nil && time.Since(begun) >= i.task.StartTimeout:
		return faas.Errorf(component, "start", id, faas.ErrTimeout, "it was not ready within %v%s", i.task.StartTimeout, i.lastWords())
	}
	return engineError(caller, "start", id, err)
}

// launch creates and starts the container.
func (i *instance) launch(ctx context.Context) error {
	d, t := i.d, &i.task
	if t.Dir != "" && !filepath.IsAbs(t.Dir) {
		return faas.Errorf(component, "start", t.ID, faas.ErrInvalidArgument, "the directory %q is not absolute", t.Dir)
	}
	i.status.Started = time.Now().Round(0) // as a label keeps it
	r := record{ID: t.ID, Contract: t.Contract, Labels: t.Labels, Started: i.status.Started, Limited: t.Limits.Memory > 0}
	if t.Contract == faas.ContractSocket {
		if err := i.makeDir(); err != nil {
			return err
		}
		r.Dir = i.dir
	}
	i.limited = r.Limited
	body := d.spec(t, r)
	if err := d.images.refresh(ctx, body.Image); err != nil {
		return err
	}
	create := func(late context.Context) error { return i.create(late, &body) }
	err := d.turn(ctx, create)
	if status(err) == http.StatusNotFound && strings.Contains(refusalText(err), "no such image") {
		if err = d.images.obtain(ctx, body.Image); err == nil {
			err = d.turn(ctx, create)
		}
	}
	if err != nil {
		return i.createError(err)
	}
	return d.turn(ctx, func(late context.Context) error {
		path := "/containers/" + i.container + "/start"
		err := d.engine.call(late, http.MethodPost, path, nil, nil, nil)
		if d.networkMissing(err) {
			if err = d.makeNetwork(late); err == nil {
				err = d.engine.call(late, http.MethodPost, path, nil, nil, nil)
			}
		}
		return err
	})
}

// turn has the engine do something heavy when it is this one's turn. The context of do ends some time
// after ctx.
func (d *Driver) turn(ctx context.Context, do func(late context.Context) error) error {
	if err := d.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer d.slots.Release(1)
	late, cancel := linger(ctx)
	defer cancel()
	return do(late)
}

// create creates the container; its id makes the instance known to who observes the engine.
func (i *instance) create(ctx context.Context, body *spec) error {
	d := i.d
	var made struct{ ID string }
	err := d.engine.call(ctx, http.MethodPost, "/containers/create", url.Values{"name": {d.nameOf(i.status.ID)}}, body, &made)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i.container, d.byID[made.ID] = made.ID, i
	d.bridged = d.bridged || body.HostConfig.NetworkMode == d.privateNetwork()
	return nil
}

// createError tells a name that somebody else's container has from other conflicts.
func (i *instance) createError(err error) error {
	if status(err) == http.StatusConflict && strings.Contains(refusalText(err), "already in use") {
		e := faas.Errorf(component, "start", i.status.ID, faas.ErrAlreadyExists, "the engine has another container of that name: %w", err)
		e.Next = "remove the container " + i.d.nameOf(i.status.ID)
		return e
	}
	return err
}

// nameOf is the name of a task's container. The directory's name makes it this driver's.
func (d *Driver) nameOf(id string) string { return filepath.Base(d.root) + "-" + id }

func (d *Driver) dirOf(name string) string { return filepath.Join(d.root, name) }

// sharedDir is the part of a private directory that the container sees too.
const sharedDir = "d"

// makeDir makes the private directory, and in it the one that the instance makes its socket in.
func (i *instance) makeDir() error {
	d := i.d
	dir, err := os.MkdirTemp(d.root, "")
	if err == nil {
		i.dir = filepath.Base(dir)
		shared := filepath.Join(dir, sharedDir)
		if err = os.Mkdir(shared, 0o700); err == nil && os.Getuid() == 0 {
			err = os.Chown(shared, d.cfg.uid, d.cfg.gid)
		}
	}
	if err != nil {
		class := faas.ErrInternal
		if errors.Is(err, syscall.ENOSPC) {
			class = faas.ErrExhausted
		}
		return faas.Errorf(component, "start", i.status.ID, class, "private directory: %w", err)
	}
	return nil
}

// seal takes the shared directory away from the instance, which has its socket in it by now and could
// otherwise fill this machine's disk. Only root can; else it is bounded by the limit fileSize alone.
func (i *instance) seal() error {
	if i.dir == "" || os.Getuid() != 0 {
		return nil
	}
	shared := filepath.Join(i.d.dirOf(i.dir), sharedDir)
	if err := os.Chown(shared, 0, i.d.cfg.gid); err != nil {
		return err
	}
	return os.Chmod(shared, 0o750)
}

// socket is where the instance is connected to: a second name of its socket, which it cannot touch. What
// it makes in the directory it shares may be a symbolic link to a socket of this machine, such as
// the engine's own, and then its callers would talk to that as this process.
func (d *Driver) socket(dir string) string { return filepath.Join(d.dirOf(dir), socketName) }

// takeSocket gives the instance's socket its second name, anew each time: it may not be the first one that
// the instance makes.
func (i *instance) takeSocket() error {
	ours := i.d.socket(i.dir)
	_ = os.Remove(ours)
	err := os.Link(filepath.Join(i.d.dirOf(i.dir), sharedDir, socketName), ours) // of a symbolic link: that itself
	if err != nil {
		return err
	}
	info, err := os.Lstat(ours)
	if err == nil && info.Mode().Type() != os.ModeSocket {
		return faas.Errorf(component, "start", i.status.ID, faas.ErrFunction, "what it made at $SOCKET is not a socket but %v", info.Mode())
	}
	return err
}

// The pauses between two attempts to connect.
const (
	firstPause = 200 * time.Microsecond
	mostPause  = 5 * time.Millisecond
)

var errEnded = errors.New("it ended before it was ready")

// untilReady returns once the instance accepts a connection.
func (i *instance) untilReady(ctx context.Context) error {
	e := driver.Endpoint{Network: "unix", Address: i.d.socket(i.dir)}
	if i.task.Contract == faas.ContractHTTP {
		host, err := i.d.address(ctx, i.container)
		if errors.Is(err, errEnded) {
			i.examine() // rather than wait for the news
		}
		if err != nil {
			return err
		}
		e = driver.Endpoint{Network: "tcp", Address: net.JoinHostPort(host, strconv.Itoa(httpPort))}
	}
	var dialer net.Dialer
	doubt := time.NewTicker(time.Second) // in the engine's events, see compare
	defer doubt.Stop()
	for pause := firstPause; ; pause = min(pause+pause/2, mostPause) {
		var err error
		if e.Network == "unix" {
			err = i.takeSocket()
		}
		if errors.Is(err, faas.ErrFunction) {
			return err
		}
		if err == nil {
			var conn net.Conn
			if conn, err = dialer.DialContext(ctx, e.Network, e.Address); err == nil {
				_ = conn.Close()
				i.status.Endpoint = e
				return i.seal()
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-i.ended:
			return errEnded
		case <-doubt.C:
			i.examine()
		case <-time.After(pause):
		}
	}
}

// exitError is the error of a start that ended with the instance. The init process of the engine (tini)
// says on stderr that there is no such program, and exits with a shell's code.
func (i *instance) exitError(e *driver.Exit) error {
	const notExecutable, notFound = 126, 127
	missing := e.Code == notFound || e.Code == notExecutable
	if e.Reason != driver.ExitExited || !missing || !strings.Contains(e.Detail, "[FATAL tini") {
		err := e.Err(i.status.ID)
		var own *faas.Error
		if errors.As(err, &own) {
			own.Op = "start"
		}
		return err
	}
	class := faas.ErrInvalidArgument
	if strings.Contains(e.Detail, "No such file or directory") {
		class = faas.ErrNotFound
	}
	return faas.Errorf(component, "start", i.status.ID, class, "%s", e.Detail)
}

// abandon removes what a failed start has left. What the engine cannot remove now is a stray that goes
// as soon as it can: nothing of it is listed.
func (i *instance) abandon() {
	d := i.d
	ctx, cancel := context.WithTimeout(context.Background(), lingerTime)
	defer cancel()
	d.mu.Lock()
	id := i.container
	delete(d.byID, id)
	d.mu.Unlock()
	var err error
	if id != "" {
		err = d.removeContainer(ctx, id)
	}
	d.mu.Lock()
	delete(d.tasks, i.status.ID)
	d.mu.Unlock()
	if id == "" { // the engine may have created it without an answer
		err = d.collect(ctx)
	}
	if err != nil {
		d.log.Warn("what a failed start left is removed later", "id", i.status.ID, "error", err)
	}
	i.removeDir()
}

func (i *instance) removeDir() {
	if i.dir != "" {
		_ = os.RemoveAll(i.d.dirOf(i.dir))
	}
}

// terminate asks the instance to end.
func (i *instance) terminate() {
	ctx, cancel := context.WithTimeout(i.d.ctx, engineTime)
	defer cancel()
	if err := i.thaw(ctx); err == nil {
		err = i.d.engine.call(ctx, http.MethodPost, "/containers/"+i.container+"/kill", url.Values{"signal": {"SIGTERM"}}, nil, nil)
		if err != nil && ctx.Err() == nil {
			i.d.log.Debug("cannot be asked to end", "id", i.status.ID, "error", err)
		}
	}
}

// remove has the container removed, by force. The caller holds mu.
func (i *instance) remove() {
	if i.removing {
		return
	}
	i.removing = true
	i.d.work.Go(i.removeUntilGone)
}

// removeUntilGone tries until the container is removed, or the driver is being closed.
func (i *instance) removeUntilGone() {
	d := i.d
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), engineTime)
		err := d.removeContainer(ctx, i.container)
		cancel()
		if err == nil {
			break
		}
		d.log.Warn("cannot remove a container", "id", i.status.ID, "container", i.container, "error", err)
		d.mu.Lock()
		i.trouble.err = err
		close(i.trouble.seen)
		i.trouble = &trouble{seen: make(chan struct{})}
		d.mu.Unlock()
		select {
		case <-d.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	i.removeDir()
	d.mu.Lock()
	defer d.mu.Unlock()
	i.forget()
}

// forget ends the life of a task. The caller holds mu.
func (i *instance) forget() {
	for _, t := range i.forced {
		t.Stop()
	}
	delete(i.d.tasks, i.status.ID)
	delete(i.d.byID, i.container)
	i.status.State = driver.StateGone
	if i.status.Exit == nil {
		i.status.Exit = &driver.Exit{Reason: driver.ExitStopped, Code: -1}
	}
	i.d.feed.Publish(i.status)
	close(i.gone)
}

// removeContainer removes a container by force; one that is not there is removed.
func (d *Driver) removeContainer(ctx context.Context, id string) error {
	for {
		err := d.engine.call(ctx, http.MethodDelete, "/containers/"+id, url.Values{"force": {"1"}, "v": {"1"}}, nil, nil)
		switch {
		case err == nil, status(err) == http.StatusNotFound:
			return nil
		case status(err) != http.StatusConflict || !strings.Contains(refusalText(err), "in progress"):
			return err
		}
		select { // somebody else removes it
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lastWords is the end of the instance's stderr as a suffix of a message.
func (i *instance) lastWords() string {
	if i.container == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), lingerTime)
	defer cancel()
	if text := i.d.stderr(ctx, i.container); text != "" {
		return fmt.Sprintf(": %s", text)
	}
	return ""
}
