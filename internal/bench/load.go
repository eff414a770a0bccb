package main

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas/internal/bench/loop"
)

// client is one keep-alive connection of the load generator.
type client struct {
	fd   int
	buf  []byte
	n    int
	sent time.Time
}

// drive sends the request over conns connections for the duration, each of them
// one request after another, and checks that every response is a 200 with the
// body. It is one thread around epoll, as wrk is, so that it takes little of the
// machine from what it measures.
func drive(address string, request, body []byte, conns int, d time.Duration) (load, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	poll, err := unix.EpollCreate1(0)
	if err != nil {
		return load{}, err
	}
	defer unix.Close(poll)
	clients := make(map[int]*client, conns)
	for range conns {
		fd, err := connect(address)
		if err != nil {
			return load{}, err
		}
		defer unix.Close(fd)
		clients[fd] = &client{fd: fd, buf: make([]byte, 64<<10)}
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return load{}, err
		}
	}
	begin := time.Now()
	for _, c := range clients {
		if err := c.send(request, begin); err != nil {
			return load{}, err
		}
	}
	var took []time.Duration
	events := make([]unix.EpollEvent, conns)
	var elapsed time.Duration
	for waiting := conns; waiting > 0; {
		n, err := unix.EpollWait(poll, events, 5000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return load{}, fmt.Errorf("no response within 5 s: %w", err)
		}
		for _, e := range events[:n] {
			c := clients[int(e.Fd)]
			done, err := c.receive(body)
			if err != nil {
				return load{}, err
			}
			if !done {
				continue
			}
			now := time.Now()
			took = append(took, now.Sub(c.sent))
			if elapsed = now.Sub(begin); elapsed >= d {
				waiting-- // the last ones are waited for: none is cut off
			} else if err := c.send(request, now); err != nil {
				return load{}, err
			}
		}
	}
	return loop.Of(took, elapsed), nil
}

// connect opens a TCP connection to 127.0.0.1:port.
func connect(address string) (int, error) {
	_, port, _ := strings.Cut(address, ":")
	p, err := strconv.Atoi(port)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: p, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

func (c *client) send(request []byte, now time.Time) error {
	c.n, c.sent = 0, now
	n, err := syscall.Write(c.fd, request)
	if err == nil && n < len(request) {
		err = errors.New("short write")
	}
	return err
}

var (
	headEnd  = []byte("\r\n\r\n")
	okStatus = []byte("HTTP/1.1 200 ")
)

// receive reads what is there; done is true when the whole response is.
func (c *client) receive(body []byte) (done bool, err error) {
	n, err := syscall.Read(c.fd, c.buf[c.n:])
	if err != nil {
		return false, err
	}
	if n == 0 {
		return false, errors.New("the connection was closed")
	}
	c.n += n
	got := c.buf[:c.n]
	head := bytes.Index(got, headEnd)
	if head < 0 || len(got) < head+len(headEnd)+len(body) {
		return false, nil
	}
	if !bytes.HasPrefix(got, okStatus) || !bytes.Equal(got[head+len(headEnd):], body) {
		return false, fmt.Errorf("wrong response %q", got)
	}
	return true, nil
}
