//go:build unix

// Package dockerengine finds the Docker Engine of this machine, and starts private ones that tests
// and fault runs may stop, kill and starve.
//
//	e, err := dockerengine.Start(ctx, dockerengine.Config{})
//	d, err := dockerdriver.New(ctx, &dockerdriver.Options{Host: e.Host()})
//	err = e.Kill()           // the engine is gone, its containers run on
//	err = e.Restart(ctx)     // and is there again
//	err = e.Close()          // with all of its containers and files
//
// A private engine has a directory, a socket and a containerd of its own and touches nothing of the
// machine's engine. It has no bridge: its containers have no network.
package dockerengine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// DefaultSocket is where the engine of a machine listens.
const DefaultSocket = "/var/run/docker.sock"

// Available returns nil if the machine's engine answers, else why it does not.
func Available(ctx context.Context) error { return ping(ctx, DefaultSocket) }

func ping(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/_ping", nil)
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("no Docker Engine answers at %s: %w", socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the Docker Engine at %s answers %s", socket, resp.Status)
	}
	return nil
}

// Config of Start.
type Config struct {
	// Disk, when positive, is the size in bytes of a file system of its own for the engine's data:
	// one that can be filled.
	Disk int64
}

// Engine is a private engine. Its methods are called one after the other.
type Engine struct {
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// startTime bounds the time until an engine answers.
const startTime = time.Minute

// Start starts a private engine and returns once it answers. It takes root and dockerd.
func Start(ctx context.Context, c Config) (*Engine, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("a private Docker Engine takes root")
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "jde") // short: it holds sockets
	if err != nil {
		return nil, err
	}
	e := &Engine{dir: dir}
	if err := os.Mkdir(e.data(), 0o711); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if c.Disk > 0 {
		if err := mountDisk(e.data(), c.Disk); err != nil {
			return nil, errors.Join(fmt.Errorf("a disk for the engine: %w", err), e.Close())
		}
	}
	if err := e.Restart(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) data() string   { return filepath.Join(e.dir, "data") }
func (e *Engine) socket() string { return filepath.Join(e.dir, "sock") }

// Host is where the engine listens, as Docker writes it.
func (e *Engine) Host() string { return "unix://" + e.socket() }

// Data is the directory of the engine's data.
func (e *Engine) Data() string { return e.data() }

// Log returns what the engine has said.
func (e *Engine) Log() string {
	text, _ := os.ReadFile(filepath.Join(e.dir, "log"))
	return string(text)
}

// Restart starts the engine, after stopping it politely should it run, and returns once it answers.
func (e *Engine) Restart(ctx context.Context) error {
	if err := e.Stop(); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	_ = os.Remove(filepath.Join(e.dir, "pid")) // of an engine that was killed
	e.cmd = exec.Command("dockerd", "--host", e.Host(), "--data-root", e.data(), "--exec-root", filepath.Join(e.dir, "run"),
		"--pidfile", filepath.Join(e.dir, "pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false",
		"--ip-masq=false", "--log-level", "warn", "--config-file", filepath.Join(e.dir, "none.json"))
	if err := os.WriteFile(filepath.Join(e.dir, "none.json"), []byte("{}"), 0o600); err != nil {
		return err
	}
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		e.cmd = nil
		return err
	}
	exited := make(chan struct{})
	e.exited = exited
	go func() {
		defer close(exited)
		_ = e.cmd.Wait()
	}()
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := ping(ctx, e.socket())
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("dockerd ended: %s", lastLines(e.Log()))
		case <-ctx.Done():
			return fmt.Errorf("%w\n%s", err, lastLines(e.Log()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func lastLines(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// Stop ends the engine politely, and with it its containers. Stopping one that does not run is nil.
func (e *Engine) Stop() error { return e.signal(syscall.SIGTERM) }

// Kill ends the engine by force. Its containers run on, until it is restarted or closed.
func (e *Engine) Kill() error {
	if err := e.signal(syscall.SIGKILL); err != nil {
		return err
	}
	// Its containerd dies with it (PR_SET_PDEATHSIG). Where nobody reaps orphans it stays a zombie, which
	// the next dockerd would take for one that runs.
	pidfile := filepath.Join(e.dir, "run", "containerd", "containerd.pid")
	text, err := os.ReadFile(pidfile)
	if err != nil {
		return nil // it had none yet
	}
	for end := time.Now().Add(startTime); time.Now().Before(end); time.Sleep(time.Millisecond) { // it is no child of ours
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		if err != nil || strings.HasPrefix(rest, "Z") {
			return os.Remove(pidfile)
		}
	}
	return errors.New("containerd does not end")
}

// Freeze stops the engine in its tracks: it is connected to, and does not answer. Thaw lets it go on.
func (e *Engine) Freeze() error { return e.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (e *Engine) Thaw() error { return e.cmd.Process.Signal(syscall.SIGCONT) }

func (e *Engine) signal(s syscall.Signal) error {
	if e.cmd == nil {
		return nil
	}
	if err := e.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-e.exited:
	case <-time.After(startTime):
		return errors.New("dockerd does not end")
	}
	e.cmd = nil
	return nil
}

// Close ends the engine, every container it has and every process of it, and removes its files.
func (e *Engine) Close() error {
	err := e.Stop()
	e.killRest()
	unmountBelow(e.dir)
	return errors.Join(err, os.RemoveAll(e.dir))
}

// killRest kills what an engine that was killed has left: its containerd and the shims, which name its
// directory in their arguments, and the processes of its containers, the children of those.
func (e *Engine) killRest() {
	for range 20 {
		found := false
		paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, p := range paths {
			text, _ := os.ReadFile(p)
			if !strings.Contains(string(text), e.dir+"/") || strings.HasPrefix(string(text), os.Args[0]+"\x00") {
				continue
			}
			var pid int
			if _, err := fmt.Sscanf(p, "/proc/%d/", &pid); err != nil {
				continue
			}
			found = true
			children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
			for _, c := range strings.Fields(string(children)) {
				var child int
				if _, err := fmt.Sscan(c, &child); err == nil {
					_ = syscall.Kill(child, syscall.SIGKILL)
				}
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if !found {
			return
		}
		time.Sleep(10 * time.Millisecond) // nothing tells of the end of somebody else's children
	}
}
