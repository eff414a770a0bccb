package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer/httpinstance"
	"github.com/joinery/faas/internal/testfunction/testbin"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/router/httpfront"
)

// The servers that front compares, each in a process of its own.
const (
	roleFront        = "front"          // httpfront before a process instance
	roleReverseProxy = "reverseproxy"   // httputil.ReverseProxy before the same process
	roleFrontMemory  = "front-memory"   // httpfront before a handler in its process
	roleBareEcho     = "front-bareecho" // the same echo as a bare net/http handler
)

const (
	frontRounds = 5
	frontSlice  = 500 * time.Millisecond
)

var frontBody = []byte(`{"hello":"joinery","number":12345678}`)

// front measures requests through the HTTP front beside httputil.ReverseProxy over
// the same unix socket and beside a bare net/http server. Load generator, servers
// and the function are processes of their own; rounds interleave all of them.
func front() ([]Figure, error) {
	function, err := startFunction()
	if err != nil {
		return nil, err
	}
	defer function.stop()
	request := fmt.Appendf(nil, "POST /function/echo/echo HTTP/1.1\r\nHost: bench.local\r\nUser-Agent: bench\r\n"+
		"Accept: */*\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(frontBody), frontBody)
	servers := map[string]*server{}
	for _, role := range []string{roleFront, roleReverseProxy, roleFrontMemory, roleBareEcho} {
		s, err := startServer(child(role, function.socket))
		if err != nil {
			return nil, err
		}
		defer s.stop()
		servers[role] = s
	}

	rate, latency := map[string][]float64{}, map[string][]float64{}
	for round := range frontRounds + 1 {
		for _, conns := range []int{1, 16, 64} {
			got := map[string]load{}
			for role, s := range servers {
				if conns != 16 && (role == roleFrontMemory || role == roleBareEcho) {
					continue
				}
				if got[role], err = drive(s.address, request, frontBody, conns, frontSlice); err != nil {
					return nil, fmt.Errorf("%s: %w", role, err)
				}
			}
			if round == 0 {
				continue // warm-up
			}
			c := fmt.Sprintf("c%d", conns)
			rate[c] = append(rate[c], got[roleFront].rate/got[roleReverseProxy].rate)
			latency[c] = append(latency[c], float64(got[roleFront].p50)/float64(got[roleReverseProxy].p50))
			rate[roleFront+c] = append(rate[roleFront+c], got[roleFront].rate)
			latency[roleFront+c] = append(latency[roleFront+c], float64(got[roleFront].p50.Microseconds()))
			if conns == 16 {
				rate["memory"] = append(rate["memory"], got[roleFrontMemory].rate/got[roleBareEcho].rate)
			}
		}
	}
	var figures []Figure
	for _, c := range []string{"c1", "c16", "c64"} {
		figures = append(figures,
			Figure{Name: "front-rate-" + c, Value: median(rate[roleFront+c]), Unit: "requests/s"},
			Figure{Name: "front-p50-" + c, Value: median(latency[roleFront+c]), Unit: "us"},
			Figure{Name: "front-rate-ratio-" + c, Value: median(rate[c]), Unit: "x-of-reverseproxy", Op: ">=", Bound: 2},
			Figure{Name: "front-p50-ratio-" + c, Value: median(latency[c]), Unit: "x-of-reverseproxy", Op: "<=", Bound: 0.7})
	}
	return append(figures, Figure{Name: "front-memory-ratio", Value: median(rate["memory"]), Unit: "x-of-net/http", Op: ">=", Bound: 0.9}), nil
}

// serveFront is roleFront.
func serveFront() {
	ref := faas.Ref{Name: "echo", Namespace: faas.DefaultNamespace, Version: "1"}
	inv, err := httpinstance.New(nil).Connect(context.Background(),
		faas.Function{Ref: ref, Spec: faas.Spec{Concurrency: 64}}, driver.Endpoint{Network: "unix", Address: os.Args[1]})
	if err != nil {
		panic(err)
	}
	serveRole(httpfront.NewServer(httpfront.New(inv, nil)))
}

// serveReverseProxy is roleReverseProxy.
func serveReverseProxy() {
	to := &url.URL{Scheme: "http", Host: "echo.default"}
	serveRole(httpfront.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded(); r.Out.URL.Path = "/echo" },
		Transport: &http.Transport{DialContext: dialUnix(os.Args[1]), MaxIdleConnsPerHost: 1024},
		ErrorLog:  log.New(io.Discard, "", 0),
	}))
}

// serveFrontMemory is roleFrontMemory.
func serveFrontMemory() {
	echo := faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		return &faas.Response{Header: http.Header{"Content-Type": req.Header["Content-Type"]}, Body: req.Body}, nil
	})
	serveRole(httpfront.NewServer(httpfront.New(echo, nil)))
}

// serveBareEcho is roleBareEcho.
func serveBareEcho() {
	serveRole(httpfront.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header()["Content-Type"] = r.Header["Content-Type"]
		_, _ = w.Write(b)
	})))
}

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// serveRole serves on a port of its own, prints the address, and ends with its input.
func serveRole(srv *http.Server) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	panic(srv.Serve(ln))
}

// server is a child process that serves HTTP.
type server struct {
	cmd     *exec.Cmd
	in      io.Closer
	address string
}

// startServer starts a process of serveRole and waits for its address.
func startServer(cmd *exec.Cmd) (*server, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, in: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("server did not start: %w", err)
	}
	s.address = strings.TrimSpace(line)
	return s, nil
}

func (s *server) stop() {
	_ = s.in.Close()
	_ = s.cmd.Wait()
}

// functionProcess is the test function on a unix socket.
type functionProcess struct {
	cmd    *exec.Cmd
	dir    string
	socket string
}

func startFunction() (*functionProcess, error) {
	bin, err := testbin.Path()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "joinery-bench-")
	if err != nil {
		return nil, err
	}
	f := &functionProcess{dir: dir, socket: filepath.Join(dir, "s"), cmd: exec.Command(bin)}
	f.cmd.Env = []string{"SOCKET=" + f.socket}
	if err := f.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		if c, err := net.Dial("unix", f.socket); err == nil {
			return f, c.Close()
		}
		if time.Since(begin) > 10*time.Second {
			f.stop()
			return nil, errors.New("the function did not listen within 10 s")
		}
	}
}

func (f *functionProcess) stop() {
	_ = f.cmd.Process.Kill()
	_ = f.cmd.Wait()
	_ = os.RemoveAll(f.dir)
}
