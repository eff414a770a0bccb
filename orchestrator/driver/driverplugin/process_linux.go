package driverplugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hashicorp/go-plugin/runner"
)

// process is a plugin's: a process group whose standard input is a pipe that ends
// with this process. It implements runner.Runner.
type process struct {
	cmd            *exec.Cmd
	binary         *os.File
	lifeline       *os.File // the pipe's other end
	stdout, stderr *head
	exited         chan struct{} // closed when the first process has ended and the group was killed

	mu     sync.Mutex
	killed bool   // or about to be
	byUs   bool   // it ended by kill
	reaped bool   // the group's number may be another's
	state  string // how it ended
}

var _ runner.Runner = (*process)(nil)

// newProcess prepares cmd, of which go-plugin has set the environment, to execute the open file.
func newProcess(cmd *exec.Cmd, binary *os.File, path string, args []string) *process {
	// Descriptor 3, so that it can be named; it stays open because the interpreter of a script opens it again.
	cmd.Path, cmd.Args, cmd.ExtraFiles = "/proc/self/fd/3", append([]string{path}, args...), []*os.File{binary}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir = "/"
	return &process{cmd: cmd, binary: binary, exited: make(chan struct{})}
}

// Start implements runner.Runner.
func (p *process) Start(context.Context) (err error) {
	var theirs []*os.File
	pipe := func(weRead bool) (*os.File, *os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		if !weRead {
			r, w = w, r
		}
		theirs = append(theirs, w)
		return r, w, nil
	}
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	lifeline, in, err := pipe(false)
	if err != nil {
		return err
	}
	out, outEnd, err := pipe(true)
	if err != nil {
		_ = lifeline.Close()
		return err
	}
	errs, errsEnd, err := pipe(true)
	if err == nil {
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, outEnd, errsEnd
		p.mu.Lock()
		if err = p.cmd.Start(); err == nil {
			p.lifeline, p.stdout, p.stderr = lifeline, &head{File: out}, &head{File: errs, tail: true}
			if p.killed { // meanwhile
				_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			}
		}
		p.mu.Unlock()
	}
	if err != nil {
		_ = lifeline.Close()
		_ = out.Close()
		_ = errs.Close()
		return fmt.Errorf("cannot be executed: %w", err)
	}
	go p.reap()
	return nil
}

// reap waits for the end, kills what the plugin leaves in its group, and closes the pipes, which
// something that left the group may hold.
func (p *process) reap() {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	p.mu.Lock()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // a zombie still has its number
	err := p.cmd.Wait()
	p.reaped = true
	p.state, p.byUs = "exited with code 0", false
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		p.state = exit.String()
		ws, ok := exit.Sys().(syscall.WaitStatus)
		p.byUs = p.killed && ok && ws.Signal() == syscall.SIGKILL
	} else if err != nil {
		p.state = err.Error()
	}
	p.mu.Unlock()
	_ = p.lifeline.Close()
	close(p.exited)
	// What it wrote last is in the pipes; readers see their end now, or when they are closed.
	time.AfterFunc(200*time.Millisecond, func() {
		_ = p.stdout.File.Close()
		_ = p.stderr.File.Close()
	})
}

// Wait implements runner.Runner.
func (p *process) Wait(context.Context) error {
	<-p.exited
	if !p.byUs && p.state != "exited with code 0" {
		return errors.New(p.state)
	}
	return nil
}

// Kill implements runner.Runner: the whole group, at once, unless it is about to end by itself
// without having said a word: how it ends explains more.
func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	out := p.stdout
	p.mu.Unlock()
	if out != nil && out.ended() {
		select {
		case <-p.exited:
		case <-time.After(100 * time.Millisecond):
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	if p.stdout == nil || p.reaped {
		return nil
	}
	return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
}

// end says how the plugin ended and what it said last. Only once it has exited.
func (p *process) end() string {
	words := p.stderr.String()
	if panicAt([]byte(words)) == 0 {
		words = p.stderr.line()
	}
	if words == "" {
		return p.state
	}
	return p.state + "; its last words: " + words
}

// Diagnose implements runner.Runner; what it could say is in the error of launch.
func (p *process) Diagnose(context.Context) string { return "" }

// Stdout implements runner.Runner.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr implements runner.Runner.
func (p *process) Stderr() io.ReadCloser { return p.stderr }

// Name implements runner.Runner.
func (p *process) Name() string { return p.cmd.Args[0] }

// ID implements runner.Runner.
func (p *process) ID() string {
	if p.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(p.cmd.Process.Pid)
}

// PluginToHost implements runner.Runner.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin implements runner.Runner.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// head is a pipe that remembers what came first, or last.
type head struct {
	*os.File
	tail bool

	mu   sync.Mutex
	text []byte
	eof  bool
}

const maxHead = 1 << 10

func (h *head) Read(b []byte) (int, error) {
	n, err := h.File.Read(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.eof = h.eof || err != nil
	switch {
	case h.tail:
		h.text = append(h.text, b[:n]...)
		if i := panicAt(h.text); i >= 0 { // what follows is the stack
			h.text, h.tail = h.text[i:min(len(h.text), i+maxHead)], false
		} else if over := len(h.text) - maxHead; over > 0 {
			h.text = h.text[:copy(h.text, h.text[over:])]
		}
	case len(h.text) < maxHead:
		h.text = append(h.text, b[:min(n, maxHead-len(h.text))]...)
	}
	return n, err
}

// panicAt is where the runtime of Go begins to say why a program ends; -1 if it does not.
func panicAt(text []byte) int {
	for _, begin := range []string{"panic: ", "fatal error: "} {
		if i := bytes.Index(text, []byte(begin)); i == 0 || i > 0 && text[i-1] == '\n' {
			return i
		}
	}
	return -1
}

// String is what is remembered, for people.
func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(text(string(h.text)))
}

// ended reports whether nothing more comes.
func (h *head) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.eof
}

// line is the first line.
func (h *head) line() string {
	first, _, _ := strings.Cut(h.String(), "\n")
	return clipTo(first, 200)
}
