package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/internal/testfunction/testbin"
)

// coldProcess measures a cold start of a static Go program, from call to response,
// beside the best known bare way: exec with an inherited unix listener, one request.
func coldProcess() ([]Figure, error) {
	bin, err := testbin.Path()
	if err != nil {
		return nil, err
	}
	p, err := platform.Start(platform.Config{})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	ref, err := p.PublishProgram("cold", bin, nil, faas.Spec{Contract: faas.ContractInherit, Grace: time.Second})
	if err != nil {
		return nil, err
	}
	const rounds = 150
	var product, bare, ratio []float64
	phases := make([][]float64, faas.NumPhases)
	for i := range rounds {
		took, timing, err := coldCall(p, ref)
		if err != nil {
			return nil, err
		}
		base, err := bareStart(bin, filepath.Join(p.Dir, fmt.Sprintf("bare%d.sock", i)))
		if err != nil {
			return nil, err
		}
		if i < 10 {
			continue // the first rounds unpack the code and warm the caches
		}
		product, bare = append(product, millis(took)), append(bare, millis(base))
		ratio = append(ratio, float64(took)/float64(base))
		for ph := range phases {
			phases[ph] = append(phases[ph], millis(timing.Get(faas.Phase(ph))))
		}
	}
	figures := []Figure{
		{Name: "cold-process-ratio", Value: median(product) / median(bare), Unit: "x-of-bare-exec", Op: "<=", Bound: 1.2},
		{Name: "cold-process-ratio-paired", Value: median(ratio), Unit: "x-of-bare-exec"},
		{Name: "cold-process-product", Value: median(product), Unit: "ms"},
		{Name: "cold-process-bare", Value: median(bare), Unit: "ms"},
	}
	for ph, v := range phases {
		figures = append(figures, Figure{Name: "cold-process-" + faas.Phase(ph).String(), Value: median(v), Unit: "ms"})
	}
	return figures, nil
}

// coldCall makes one call to a function without instances and takes its instance away again.
func coldCall(p *platform.Platform, ref faas.Ref) (time.Duration, *faas.Timing, error) {
	ctx, done := context.WithTimeout(context.Background(), 20*time.Second)
	defer done()
	timing := new(faas.Timing)
	began := time.Now()
	resp, err := p.Router.Invoke(ctx, &faas.Request{Function: ref, Method: http.MethodGet, Path: "/pid", Timing: timing})
	if err != nil {
		return 0, nil, err
	}
	_, err = resp.Body.ReadAll(1 << 20)
	took := time.Since(began)
	if err != nil {
		return 0, nil, err
	}
	if !timing.Cold() {
		return 0, nil, fmt.Errorf("the call was not cold: %s", timing.AppendServerTiming(nil))
	}
	return took, timing, p.ScaleToZero(ctx, ref)
}

// bareStart starts the program with an inherited unix listener and makes one request.
func bareStart(bin, socket string) (time.Duration, error) {
	began := time.Now()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(bin)
	cmd.Env = []string{"LISTEN_FDS=1"}
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	f.Close()
	if err != nil {
		return 0, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /pid HTTP/1.1\r\nHost: bare\r\n\r\n")); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var body [64]byte
	_, err = resp.Body.Read(body[:])
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("bare start answered %s: %w", resp.Status, err)
	}
	return time.Since(began), nil
}
