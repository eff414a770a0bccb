// Package tool runs the tools that builders need: an explicit environment, bounded error
// text, and nothing left running, whatever happens.
package tool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"time"

	"github.com/joinery/faas"
)

// maxError is how much of a failed tool's output becomes part of the error.
const maxError = 8 << 10

// Cmd is one run of a tool.
type Cmd struct {
	// Op is what it is run for: the Op of its errors.
	Op string
	// Path is the program, absolute.
	Path string
	Args []string
	Dir  string
	// Env is the whole environment.
	Env []string
	// Stdin is what it reads; nil is nothing.
	Stdin io.Reader
	// Stdout receives its standard output; nil: the log, as its standard error.
	Stdout io.Writer
	// Log receives the rest of its output; nil is nowhere.
	Log io.Writer
}

// Run runs the tool to its end, in a process group of its own. The whole group is killed when ctx
// ends, and what is left of it when the tool itself has ended. Errors: ErrInvalidArgument when
// it exits with a code other than zero, with the end of its output; ErrUnimplemented when the
// program is missing; ErrUnavailable when something else killed it; ErrTimeout, ErrCanceled; ErrInternal.
func (c *Cmd) Run(ctx context.Context) error {
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "builder", c.Op, "")
	}
	tail := &tail{}
	out := io.Writer(tail)
	if c.Log != nil {
		out = io.MultiWriter(tail, c.Log)
	}
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdin = c.Dir, c.Env, c.Stdin
	cmd.Stdout, cmd.Stderr = out, out // the same writer: one goroutine
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	group(cmd)
	cmd.Cancel = func() error { return killGroup(cmd) }
	cmd.WaitDelay = 5 * time.Second // for what left the group and holds the output open

	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return faas.Errorf("builder", c.Op, c.Path, faas.ErrUnimplemented, "the tool is not installed: %w", err)
		}
		return faas.Errorf("builder", c.Op, c.Path, faas.ErrInternal, "%w", err)
	}
	err := cmd.Wait()
	endGroup(cmd)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return faas.ContextError(ctx, "builder", c.Op, "")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return faas.Errorf("builder", c.Op, c.Path, faas.ErrInternal, "%w", err)
	}
	if exit.ExitCode() < 0 {
		return faas.Errorf("builder", c.Op, c.Path, faas.ErrUnavailable, "the tool was killed: %w", err)
	}
	text := strings.TrimSpace(tail.String())
	if text == "" {
		text = err.Error()
	}
	return faas.Errorf("builder", c.Op, "", faas.ErrInvalidArgument, "%s", text)
}

// Environ is an environment, from maps that win over each other, the last first.
func Environ(vars ...map[string]string) []string {
	merged := map[string]string{}
	for _, m := range vars {
		for k, v := range m {
			merged[k] = v
		}
	}
	env := make([]string, 0, len(merged))
	for k, v := range merged {
		env = append(env, k+"="+v)
	}
	return env
}

// tail keeps the end of what is written.
type tail struct {
	buf     []byte
	dropped int
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - maxError; over > 0 {
		t.dropped += over
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	s := strings.ToValidUTF8(string(t.buf), "�")
	if t.dropped > 0 {
		s = fmt.Sprintf("[%d bytes more in the build log] %s", t.dropped, s)
	}
	return s
}
