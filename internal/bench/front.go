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
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/internal/testfunction/testbin"
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

// front measures requests through the HTTP front and the whole platform behind it
// beside httputil.ReverseProxy to the same process over the same unix socket, and to
// a handler beside a bare net/http handler. Load generator, servers and function are
// processes of their own, the servers have the same settings, and rounds interleave them.
func front() ([]Figure, error) {
	request := fmt.Appendf(nil, "POST /function/echo/echo HTTP/1.1\r\nHost: bench.local\r\nUser-Agent: bench\r\n"+
		"Accept: */*\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(frontBody), frontBody)
	servers := map[string]*server{}
	var socket string
	for _, role := range []string{roleFront, roleReverseProxy, roleFrontMemory, roleBareEcho} {
		s, err := startServer(child(role, socket))
		if err != nil {
			return nil, err
		}
		defer s.stop()
		servers[role] = s
		if role == roleFront {
			socket = s.socket
		}
	}

	rate, latency := map[string][]float64{}, map[string][]float64{}
	for round := range frontRounds + 1 {
		for _, conns := range []int{1, 16, 64} {
			got := map[string]load{}
			for role, s := range servers {
				if conns != 16 && (role == roleFrontMemory || role == roleBareEcho) {
					continue
				}
				l, err := drive(s.address, request, frontBody, conns, frontSlice)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", role, err)
				}
				got[role] = l
			}
			if round == 0 {
				continue // warm-up
			}
			c := fmt.Sprintf("c%d", conns)
			rate[c] = append(rate[c], got[roleFront].Rate/got[roleReverseProxy].Rate)
			latency[c] = append(latency[c], float64(got[roleFront].P50)/float64(got[roleReverseProxy].P50))
			rate[roleFront+c] = append(rate[roleFront+c], got[roleFront].Rate)
			latency[roleFront+c] = append(latency[roleFront+c], float64(got[roleFront].P50.Microseconds()))
			if conns == 16 {
				rate["memory"] = append(rate["memory"], got[roleFrontMemory].Rate/got[roleBareEcho].Rate)
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

// serveFront is roleFront. It prints the function's socket after its address.
func serveFront() {
	p, _, socket, err := startEcho(platform.Config{})
	if err != nil {
		panic(err)
	}
	defer p.Close()
	serveRole(httpfront.NewServer(httpfront.New(p.Router, nil)), socket)
}

// startEcho starts a platform with one instance of the test function, called echo,
// and returns the socket that it serves on.
func startEcho(cfg platform.Config) (p *platform.Platform, ref faas.Ref, socket string, err error) {
	bin, err := testbin.Path()
	if err != nil {
		return nil, ref, "", err
	}
	if p, err = platform.Start(cfg); err != nil {
		return nil, ref, "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	ref, err = p.PublishProgram("echo", bin, nil, faas.Spec{
		Contract: faas.ContractInherit, Concurrency: 64, Scale: faas.Scale{Min: 1, Max: 1}, Grace: time.Second,
	})
	if err != nil {
		return p, ref, "", err
	}
	ref = ref.Unversioned()
	ctx, done := context.WithTimeout(context.Background(), 20*time.Second)
	defer done()
	if _, err = p.Router.Invoke(ctx, &faas.Request{Function: ref}); err != nil {
		return p, ref, "", err
	}
	running, err := p.Instances.List(ctx)
	if err == nil && (len(running) != 1 || running[0].Endpoint.Network != "unix") {
		err = fmt.Errorf("not one process on a unix socket: %+v", running)
	}
	if err != nil {
		return p, ref, "", err
	}
	return p, ref, running[0].Endpoint.Address, nil
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
	header := http.Header{"Content-Type": {"application/json"}}
	echo := faas.InvokerFunc(func(_ context.Context, req *faas.Request) (*faas.Response, error) {
		return &faas.Response{Header: header, Body: req.Body}, nil
	})
	serveRole(httpfront.NewServer(httpfront.New(echo, nil)))
}

// serveBareEcho is roleBareEcho.
func serveBareEcho() {
	contentType := []string{"application/json"}
	serveRole(httpfront.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header()["Content-Type"] = contentType
		_, _ = w.Write(b)
	})))
}

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// serveRole serves on a port of its own until its input ends. It prints the
// address, and what is said besides.
func serveRole(srv *http.Server, more ...string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr(), strings.Join(more, " "))
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = srv.Close()
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		panic(err)
	}
}

// server is a child process that serves HTTP.
type server struct {
	cmd     *exec.Cmd
	in      io.Closer
	address string
	socket  string // of the function, when the server says it
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
	s.address, s.socket, _ = strings.Cut(strings.TrimSpace(line), " ")
	return s, nil
}

func (s *server) stop() {
	_ = s.in.Close()
	_ = s.cmd.Wait()
}
