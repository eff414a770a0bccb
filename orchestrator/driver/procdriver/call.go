//go:build linux

package procdriver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// call is one request of a stdio instance and the process that answers it.
type call struct {
	s      *stdioServer
	w      http.ResponseWriter
	r      *http.Request
	cancel context.CancelFunc
	number uint64

	tree           *tree
	in, out, errs  *os.File
	exit           driver.Exit   // once exited is closed
	exited         chan struct{} // nothing of the process is left
	fed            chan struct{} // the body was passed on, as far as the process wanted it
	began          time.Time
	bodyRead       atomic.Bool // to its end; otherwise the connection is of no more use
	afterExitReads bool
}

// maxHeld is how much of an answer waits for the exit code to decide its status.
const maxHeld = 1 << 20

// run executes the call. When it returns, nothing of it is left.
func (c *call) run(ctx context.Context) {
	_ = http.NewResponseController(c.w).EnableFullDuplex() // the body is read while the answer is written
	c.began = time.Now()
	if err := c.start(ctx); err != nil {
		c.refuse(err)
		return
	}
	defer context.AfterFunc(ctx, c.tree.kill)()
	var logs sync.WaitGroup
	logs.Go(func() { capture(c.errs, c.s.i.log, "stderr") })
	go func() {
		defer close(c.exited)
		c.exit = c.tree.fell(func() {})
		_ = c.out.SetReadDeadline(time.Now().Add(escapeTime))
	}()
	go func() {
		defer close(c.fed)
		defer c.in.Close()
		if !c.feed() {
			c.cancel()
		}
	}()
	ok := c.answer(ctx)
	c.cancel()
	<-c.exited
	_ = c.out.Close()
	if !c.bodyRead.Load() { // the caller still sends what nobody reads
		_ = http.NewResponseController(c.w).SetReadDeadline(time.Unix(1, 0))
	}
	<-c.fed
	escape := time.AfterFunc(escapeTime, func() { _ = c.errs.Close() })
	logs.Wait()
	escape.Stop()
	if !ok {
		panic(http.ErrAbortHandler)
	}
}

// escapeTime is how long a pipe is read after its last known writer is gone.
const escapeTime = time.Second

// start starts the process with three pipes.
func (c *call) start(ctx context.Context) (err error) {
	c.exited, c.fed = make(chan struct{}), make(chan struct{})
	c.bodyRead.Store(c.r.ContentLength == 0)
	var theirs []uintptr
	defer func() {
		for _, fd := range theirs {
			_ = unix.Close(int(fd))
		}
		if err != nil {
			for _, f := range []*os.File{c.in, c.out, c.errs} {
				if f != nil {
					_ = f.Close()
				}
			}
		}
	}()
	for _, p := range []struct {
		ours   **os.File
		weRead bool
	}{{&c.in, false}, {&c.out, true}, {&c.errs, true}} {
		ours, end, err := pipe(p.weRead)
		if err != nil {
			return err
		}
		*p.ours = ours
		theirs = append(theirs, uintptr(end))
	}
	i := c.s.i
	group, err := c.s.group.child(c.name())
	if err != nil {
		return err
	}
	m := i.image
	m.env = append(m.env[:len(m.env):len(m.env)], requestEnv(c.r)...)
	mark := ""
	if cap(c.s.slots) == 1 { // then what shows the private directory is of this call
		mark = i.dir
	}
	c.tree, err = i.d.plant(ctx, &m, theirs, group, mark)
	return err
}

// refuse answers a request that no process could be started for.
func (c *call) refuse(err error) {
	err = spawnError("invoke", c.s.i.task.ID, "cannot start "+c.s.i.task.Command[0], err)
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, syscall.EINVAL): // a NUL byte in the path
		status = http.StatusBadRequest
	case errors.Is(err, syscall.E2BIG):
		status = http.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, faas.ErrExhausted):
		status = http.StatusServiceUnavailable
		c.w.Header().Set("Retry-After", "1")
	}
	http.Error(c.w, err.Error(), status)
}

// feed passes the body on. It returns false if the caller went away before its end.
func (c *call) feed() bool {
	buf := chunks.Get().(*[32 << 10]byte)
	defer chunks.Put(buf)
	for {
		n, err := c.r.Body.Read(buf[:])
		for b := buf[:n]; len(b) > 0; {
			// While it is not reading, the server cannot see the caller leave.
			_ = c.in.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			m, werr := c.in.Write(b)
			b = b[m:]
			if errors.Is(werr, os.ErrDeadlineExceeded) {
				if c.hungUp() {
					return false
				}
			} else if werr != nil {
				return true // the process wants no more
			}
		}
		if err == io.EOF {
			c.bodyRead.Store(true)
			return true
		}
		if err != nil {
			select {
			case <-c.exited:
				return true
			default:
				return false
			}
		}
	}
}

// hungUp reports whether the caller has closed the connection.
func (c *call) hungUp() bool {
	conn, ok := c.r.Context().Value(connKey{}).(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP is always reported
		n, _ := unix.Poll(fds, 0)
		gone = n > 0
	})
	return gone || err != nil
}

// read reads from stdout. What outlives the process and keeps the pipe open is not waited for.
func (c *call) read(b []byte) (int, error) {
	for {
		n, err := c.out.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.afterExitReads {
			c.afterExitReads = false
			return n, err
		}
		c.afterExitReads = true
		_ = c.out.SetReadDeadline(time.Now().Add(escapeTime))
	}
}

// answer writes the answer. It returns false if the connection must be cut.
func (c *call) answer(ctx context.Context) bool {
	var held bytes.Buffer
	buf := chunks.Get().(*[32 << 10]byte)
	defer chunks.Put(buf)
	for held.Len() <= maxHeld {
		n, err := c.read(buf[:])
		held.Write(buf[:n])
		if err != nil {
			<-c.exited
			return c.whole(ctx, held.Bytes())
		}
	}
	c.header(http.StatusOK)
	if _, err := c.w.Write(held.Bytes()); err != nil {
		return false
	}
	held = bytes.Buffer{}
	for {
		n, err := c.read(buf[:])
		if n > 0 {
			if _, err := c.w.Write(buf[:n]); err != nil {
				return false
			}
		}
		if err != nil {
			<-c.exited
			return c.failure() == ""
		}
	}
}

// whole writes an answer whose end is known.
func (c *call) whole(ctx context.Context, body []byte) bool {
	if ctx.Err() != nil {
		return false
	}
	failure := c.failure()
	size := len(body)
	status := http.StatusOK
	if failure != "" {
		failure += "\n"
		size += len(failure)
		status = http.StatusInternalServerError
	}
	h := c.w.Header()
	h.Set("Content-Length", strconv.Itoa(size))
	h.Set("X-Duration-Seconds", strconv.FormatFloat(time.Since(c.began).Seconds(), 'f', 6, 64))
	c.header(status)
	_, _ = io.WriteString(c.w, failure)
	_, err := c.w.Write(body)
	return err == nil
}

func (c *call) header(status int) {
	if !c.bodyRead.Load() {
		c.w.Header().Set("Connection", "close")
	}
	if t := c.r.Header.Get("Content-Type"); t != "" {
		c.w.Header().Set("Content-Type", t)
	}
	c.w.WriteHeader(status)
}

// failure says how the process has failed; "" if it has not.
func (c *call) failure() string {
	switch e := c.exit; {
	case e.Reason == driver.ExitExited && e.Code == 0:
		return ""
	case e.Reason == driver.ExitExited:
		return fmt.Sprintf("exit status %d", e.Code)
	case e.Reason == driver.ExitSignaled:
		return "signal: " + e.Signal
	case e.Reason == driver.ExitOutOfMemory:
		return "out of memory"
	default:
		return e.Detail
	}
}

// requestEnv is the request as the classic watchdog of OpenFaaS tells it.
func requestEnv(r *http.Request) []string {
	length := strconv.FormatInt(max(r.ContentLength, 0), 10)
	env := make([]string, 0, len(r.Header)+6)
	env = append(env, "Http_Method="+r.Method, "Http_Path="+r.URL.Path, "Http_Host="+r.Host,
		"Http_ContentLength="+length, "Http_Content_Length="+length)
	if r.URL.RawQuery != "" {
		env = append(env, "Http_Query="+r.URL.RawQuery)
	}
	if len(r.TransferEncoding) > 0 {
		env = append(env, "Http_Transfer_Encoding="+strings.Join(r.TransferEncoding, ", "))
	}
	for name, values := range r.Header {
		switch name = strings.ReplaceAll(name, "-", "_"); name {
		case "Method", "Path", "Host", "ContentLength", "Content_Length", "Query", "Transfer_Encoding":
			continue // those above speak of the request itself
		}
		env = append(env, "Http_"+name+"="+strings.Join(values, ", "))
	}
	return env
}
