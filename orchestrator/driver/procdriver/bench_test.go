//go:build linux

package procdriver_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testbin"
	"github.com/joinery/faas/orchestrator/driver"
)

// BenchmarkStart measures Start with an inherited listener against the least that does
// the same: exec and the first answer on the same socket. Both take turns; the medians
// and their ratio are reported.
func BenchmarkStart(b *testing.B) {
	for name, limits := range map[string]faas.Resources{
		"plain": {}, "limits": {Memory: 256 << 20, MilliCPU: 2000, Pids: 100, Files: 100},
	} {
		b.Run(name, func(b *testing.B) {
			d := open(b, nil)
			bin, dir := testbin.Build(b), shortDir(b)
			var ours, bare []time.Duration
			for n := range b.N {
				ours = append(ours, benchStart(b, d, driver.Task{ID: "i" + strconv.Itoa(n), Contract: faas.ContractInherit, Command: []string{bin}, Limits: limits}))
				bare = append(bare, benchBare(b, bin, fmt.Sprintf("%s/%d", dir, n)))
			}
			slices.Sort(ours)
			slices.Sort(bare)
			b.ReportMetric(float64(ours[b.N/2])/1e6, "start-ms")
			b.ReportMetric(float64(bare[b.N/2])/1e6, "bare-ms")
			b.ReportMetric(float64(ours[b.N/2])/float64(bare[b.N/2]), "ratio")
		})
	}
}

func benchStart(b *testing.B, d driver.Driver, t driver.Task) time.Duration {
	began := time.Now()
	_, err := d.Start(context.Background(), t)
	took := time.Since(began)
	require.NoError(b, err)
	require.NoError(b, d.Stop(context.Background(), t.ID, 0))
	return took
}

// benchBare is fork, exec and one request, with system calls alone.
func benchBare(b *testing.B, bin, socket string) time.Duration {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(b, err)
	defer null.Close()
	fail := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	addr := &unix.SockaddrUnix{Name: socket}
	answer := make([]byte, 1024)
	began := time.Now()
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	fail(err)
	fail(unix.Bind(l, addr))
	fail(unix.Listen(l, 128))
	pid, err := syscall.ForkExec(bin, []string{bin}, &syscall.ProcAttr{Env: []string{"LISTEN_FDS=1"},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), uintptr(l)}})
	fail(err)
	fail(unix.Close(l))
	c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	fail(err)
	fail(unix.Connect(c, addr))
	_, err = unix.Write(c, []byte("GET /pid HTTP/1.1\r\nHost: bare\r\n\r\n"))
	fail(err)
	_, err = unix.Read(c, answer)
	fail(err)
	took := time.Since(began)
	fail(unix.Close(c))
	fail(syscall.Kill(pid, syscall.SIGKILL))
	_, err = syscall.Wait4(pid, nil, 0, nil)
	fail(err)
	fail(os.Remove(socket))
	return took
}
