//go:build linux

package procdriver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// The pauses between two attempts to connect.
const (
	firstPause = 100 * time.Microsecond
	mostPause  = 5 * time.Millisecond
)

// untilConnected returns once e accepts a connection, or ctx ends.
func untilConnected(ctx context.Context, e driver.Endpoint) error {
	var dialer net.Dialer
	for pause := firstPause; ; pause = min(pause+pause/2, mostPause) {
		conn, err := dialer.DialContext(ctx, e.Network, e.Address)
		if err == nil {
			itself := e.Network == "tcp" && conn.LocalAddr().String() == conn.RemoteAddr().String()
			_ = conn.Close()
			if !itself { // an ephemeral port may connect to itself while nobody listens on it
				return nil
			}
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// options asks for nothing but an answer (RFC 9110, 9.3.7).
var options = []byte("OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

// knock connects to a listening socket and asks. Nobody needs to have accepted: that can
// be done before the process exists, so that it finds the request at its first accept. It
// does not block: when too many wait to be accepted, that is an error at once.
func knock(socket string) (net.Conn, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(options); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// untilAnswered returns once the server behind the socket has answered HTTP, on conn or, should
// that be closed without a word, on another connection; or when ctx ends, as it does with the process.
func untilAnswered(ctx context.Context, id, socket string, conn net.Conn) error {
	for pause := firstPause; ; pause = min(pause+pause/2, mostPause) {
		if conn != nil {
			answer := hear(ctx, conn)
			// A status line begins with the version (RFC 9112, 4).
			if bytes.HasPrefix(answer, []byte("HTTP/1.")) {
				return nil
			}
			if len(answer) > 0 {
				return faas.Errorf(component, "start", id, faas.ErrFunction, "answered %q, which is not HTTP/1", answer)
			}
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
		conn, _ = knock(socket)
	}
}

// hear returns the first bytes of the answer and closes the connection.
func hear(ctx context.Context, conn net.Conn) []byte {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer := make([]byte, len("HTTP/1.1 200"))
	n, _ := io.ReadFull(conn, answer)
	return answer[:n]
}

// listenUnix makes a listening socket for a process to inherit; it is not in the
// runtime's poller.
func listenUnix(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// takePort reserves a port that is free now and that no other instance of this driver was given.
func (d *Driver) takePort() (int, error) {
	const attempts = 100
	for range attempts {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		d.mu.Lock()
		_, taken := d.ports[port]
		if !taken {
			d.ports[port] = struct{}{}
		}
		d.mu.Unlock()
		if !taken {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port is free: %w", unix.EADDRINUSE)
}

func (d *Driver) freePort(port int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ports, port)
}
