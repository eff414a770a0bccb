//go:build linux

package procdriver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// instance is one task, from the moment its id is taken until it is forgotten.
type instance struct {
	d      *Driver
	task   driver.Task
	dir    string         // private; its number within the driver is the last element
	estate *estate        // that dir belongs to, of a driver that is dead; nil: our own
	group  string         // the name of its cgroup
	handle *driver.Handle // once it was asked for; guarded by d.mu
	log    *taskLog

	image   image
	port    int          // reserved; 0: none
	tree    *tree        // of the process,
	calls   *stdioServer // or, for stdio, what starts one for each request; nil both: not launched
	readers sync.WaitGroup
	pipes   []*os.File
	knocked net.Conn // asks whether an http-inherit instance is ready; nil: another contract

	cancelStart context.CancelFunc
	ended       chan struct{} // closed when nothing is left of it
	gone        chan struct{} // closed when it is also forgotten

	// Guarded by d.mu.
	status   driver.Status // State is "" while it starts
	stopping bool
	forced   []*time.Timer // that will kill it
}

// start brings the instance up. If it fails, abandon has to follow.
func (i *instance) start(ctx context.Context) error {
	timeout := i.task.StartTimeout
	if timeout == 0 {
		timeout = faas.DefaultStartTimeout
	}
	sctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	stop := context.AfterFunc(i.d.ctx, cancel)
	defer stop()
	i.cancelStart = cancel

	err := i.prepare()
	if err == nil && sctx.Err() == nil {
		err = i.launch(sctx)
	}
	if err == nil {
		err = sctx.Err()
	}
	if err == nil {
		err = i.untilReady(sctx)
	}
	if err == nil {
		return nil
	}
	return i.startError(ctx, sctx, timeout, err)
}

// startError says why a start has failed: of several causes the first that is to blame.
func (i *instance) startError(ctx, sctx context.Context, timeout time.Duration, err error) error {
	id := i.task.ID
	over := sctx.Err() != nil && errors.Is(err, sctx.Err())
	switch {
	case !over:
		return spawnError("start", id, "cannot start "+i.task.Command[0], err)
	case ctx.Err() != nil:
		return faas.ContextError(ctx, component, "start", id)
	case i.d.ctx.Err() != nil:
		return closedError("start", id)
	case errors.Is(sctx.Err(), context.DeadlineExceeded):
		detail := i.log.lastWords()
		if detail != "" {
			detail = "; its last words: " + detail
		}
		e := faas.Errorf(component, "start", id, faas.ErrTimeout, "not ready within %v%s", timeout, detail)
		e.Next = "look at its log, or raise startTimeout"
		return e
	}
	// What is left to have cancelled it: its own end.
	<-i.ended
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	return i.exitError()
}

// exitError is the error of a start whose process has ended. The caller holds d.mu.
func (i *instance) exitError() error {
	return &faas.Error{Component: component, Op: "start", Key: i.task.ID, Class: faas.ErrFunction,
		Err: fmt.Errorf("it ended before it was ready: %w", i.status.Exit.Err(i.task.ID))}
}

// prepare makes what the process will find.
func (i *instance) prepare() error {
	dir, err := i.d.takeDir()
	if err != nil {
		return err
	}
	i.dir, i.group = dir, filepath.Base(dir)
	t := &i.task
	path, ok := t.Env["PATH"]
	if !ok {
		path = defaultPath
	}
	code := t.Dir
	if code != "" {
		if code, err = filepath.Abs(code); err != nil {
			return err
		}
	}
	program, err := lookPath(t.Command[0], code, path)
	if err != nil {
		return err
	}
	i.image = image{path: program, argv: t.Command, dir: i.dir, limits: t.Limits, env: i.environment()}
	return nil
}

// environment is that of the task with the defaults; what the contract sets is left out.
func (i *instance) environment() []string {
	env := make([]string, 0, len(i.task.Env)+5)
	for k, v := range i.task.Env {
		switch {
		case k == "PORT" && i.task.Contract == faas.ContractHTTP,
			k == "SOCKET" && i.task.Contract == faas.ContractSocket,
			k == "LISTEN_FDS" && i.task.Contract == faas.ContractInherit:
			continue
		}
		env = append(env, k+"="+v)
	}
	for _, def := range [...][2]string{{"PATH", defaultPath}, {"HOME", i.dir}, {"TMPDIR", i.dir}} {
		if _, ok := i.task.Env[def[0]]; !ok {
			env = append(env, def[0]+"="+def[1])
		}
	}
	return env
}

// launch starts the process as its contract says.
func (i *instance) launch(ctx context.Context) error {
	files := make([]uintptr, 1, 4)
	files[0] = i.d.null
	socket := i.dir + "/s"
	endpoint := driver.Endpoint{Network: "unix", Address: socket}
	switch i.task.Contract {
	case faas.ContractStdio:
		i.setEndpoint(endpoint)
		return i.serveCalls(ctx, socket)
	case faas.ContractHTTP:
		port, err := i.d.takePort()
		if err != nil {
			return err
		}
		i.port = port
		text := strconv.Itoa(port)
		endpoint = driver.Endpoint{Network: "tcp", Address: "127.0.0.1:" + text}
		i.image.env = append(i.image.env, "PORT="+text)
	case faas.ContractSocket:
		i.image.env = append(i.image.env, "SOCKET="+socket)
	}
	i.setEndpoint(endpoint)

	out, outEnd, err := logPipe()
	if err != nil {
		return err
	}
	defer unix.Close(outEnd)
	errs, errsEnd, err := logPipe()
	if err != nil {
		_ = out.Close()
		return err
	}
	defer unix.Close(errsEnd)
	files = append(files, uintptr(outEnd), uintptr(errsEnd))
	if i.task.Contract == faas.ContractInherit {
		listener, err := listenUnix(socket)
		if err != nil {
			_ = out.Close()
			_ = errs.Close()
			return err
		}
		defer unix.Close(listener)
		if i.knocked, err = knock(socket); err != nil {
			_ = out.Close()
			_ = errs.Close()
			return err
		}
		files = append(files, uintptr(listener))
		i.image.env = append(i.image.env, "LISTEN_FDS=1")
	}
	group, err := i.d.groups.open(i.group, i.task.Limits, true)
	if err == nil {
		i.tree, err = i.d.plant(ctx, &i.image, files, group, i.dir)
	}
	if err != nil {
		_ = out.Close()
		_ = errs.Close()
		return err
	}
	i.tend(out, errs, i.cancelStart)
	return nil
}

// tend reads the output of the process, and waits for its end, of which it tells ended.
func (i *instance) tend(out, errs *os.File, ended func()) {
	for stream, f := range map[string]*os.File{"stdout": out, "stderr": errs} {
		if f != nil {
			i.pipes = append(i.pipes, f)
			i.readers.Go(func() { capture(f, i.log, stream) })
		}
	}
	i.d.work.Go(func() {
		exit := i.tree.fell(ended)
		i.release()
		i.finish(exit)
	})
}

func (i *instance) setEndpoint(e driver.Endpoint) {
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	i.status.Endpoint = e
	i.status.Started = time.Now()
}

func (i *instance) untilReady(ctx context.Context) error {
	switch i.task.Contract {
	case faas.ContractStdio:
		return nil
	case faas.ContractInherit:
		return untilAnswered(ctx, i.task.ID, i.dir+"/s", i.knocked)
	}
	return untilConnected(ctx, i.status.Endpoint)
}

// release gives back everything but the record. No process of the instance runs.
func (i *instance) release() {
	if i.pipes != nil {
		// Whoever got away from us may still hold the other ends.
		escape := time.AfterFunc(time.Second, func() {
			for _, p := range i.pipes {
				_ = p.Close()
			}
		})
		i.readers.Wait()
		escape.Stop()
	}
	if i.knocked != nil {
		_ = i.knocked.Close()
	}
	if i.port != 0 {
		i.d.freePort(i.port)
	}
	removeAll(i.dir)
	i.estate.leave()
}

// finish records the end and tells the watchers.
func (i *instance) finish(exit driver.Exit) {
	d := i.d
	if exit.Detail == "" {
		exit.Detail = i.log.lastWords()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if i.stopping {
		exit = driver.Exit{Reason: driver.ExitStopped, Code: -1, Detail: exit.Detail}
	}
	i.status.Exit = &exit
	if i.status.State == driver.StateRunning {
		i.status.State = driver.StateEnded
		if i.stopping {
			d.forget(i)
		} else {
			d.feed.Publish(i.status)
		}
	}
	close(i.ended)
}

// terminate asks for the end.
func (i *instance) terminate(grace time.Duration) {
	if i.calls != nil {
		i.calls.shutdown(grace)
		return
	}
	i.tree.terminate()
}

// kill enforces the end.
func (i *instance) kill() {
	if i.calls != nil {
		i.calls.abort()
		return
	}
	i.tree.kill()
}

// abandon undoes a start that has failed.
func (i *instance) abandon() {
	i.d.mu.Lock()
	i.stopping = true
	i.d.mu.Unlock()
	if i.tree == nil && i.calls == nil {
		i.release()
		return
	}
	i.kill()
	<-i.ended
}

// removeAll removes a directory, also one whose owner has locked it.
func removeAll(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(dir)
}
