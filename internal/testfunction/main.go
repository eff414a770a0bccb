//go:build unix

// Command testfunction is the function that tests, fault runs and benchmarks
// start: an HTTP/1.1 server that keeps the instance contracts and misbehaves on
// request.
//
// It serves on the inherited listener (LISTEN_FDS=1, file descriptor 3), else on
// the unix socket $SOCKET, else on $HOST:$PORT (127.0.0.1 without HOST), and drains on SIGTERM. Paths
// choose what a request does (see routes.go). The first argument may choose a mode:
//
//	ignore-term          serve, and ignore SIGTERM
//	never-ready          run, but neither listen nor accept
//	exit-early <code>    say so on stderr and exit
//	slow-start <ms>      wait before serving
//	stdio [code]         copy stdin to stdout and exit with the code (default 0)
//
// testbin.Build gives tests its path.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	mode := arg(1)
	switch mode {
	case "", "ignore-term":
	case "never-ready":
		for { // a bare select would be reported as a deadlock
			time.Sleep(time.Hour)
		}
	case "exit-early":
		code := number(arg(2), 1)
		fmt.Fprintf(os.Stderr, "exiting early with code %d\n", code)
		os.Exit(code)
	case "slow-start":
		time.Sleep(time.Duration(number(arg(2), 100)) * time.Millisecond)
	case "stdio":
		os.Exit(stdio(number(arg(2), 0)))
	case modeDaemonParent, modeSleeper:
		os.Exit(child(mode))
	default:
		fatal(fmt.Errorf("unknown mode %q", mode))
	}
	if err := serve(mode == "ignore-term"); err != nil {
		fatal(err)
	}
}

// serve answers requests until SIGTERM and then drains.
func serve(ignoreTerm bool) error {
	signals := make(chan os.Signal, 1)
	if ignoreTerm {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	} else {
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	}
	l, err := listen()
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: routes(), ReadHeaderTimeout: time.Minute, MaxHeaderBytes: 16 << 20}
	drained := make(chan error, 1)
	go func() {
		<-signals
		drained <- srv.Shutdown(context.Background())
	}()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained
}

// listen returns the listener that the instance contract names.
func listen() (net.Listener, error) {
	if os.Getenv("LISTEN_FDS") == "1" {
		const firstInherited = 3
		f := os.NewFile(firstInherited, "listener")
		defer f.Close()
		return net.FileListener(f)
	}
	if path := os.Getenv("SOCKET"); path != "" {
		return net.Listen("unix", path)
	}
	if port := os.Getenv("PORT"); port != "" {
		return net.Listen("tcp", net.JoinHostPort(cmp.Or(os.Getenv("HOST"), "127.0.0.1"), port))
	}
	return nil, errors.New("none of LISTEN_FDS=1, SOCKET and PORT is set")
}

func stdio(code int) int {
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		fatal(err)
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "exiting with code %d\n", code)
	}
	return code
}

func arg(i int) string {
	if i < len(os.Args) {
		return os.Args[i]
	}
	return ""
}

// number is the value of s, or otherwise when s is empty or not a number.
func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return otherwise
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "testfunction:", err)
	os.Exit(1)
}
