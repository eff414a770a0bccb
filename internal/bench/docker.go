package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/dockerengine"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/internal/testfunction/testbin"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
)

// roleDockerPlugin is the Docker driver as a plugin, with its files below $INSTANCES.
const roleDockerPlugin = "docker-plugin"

func serveDockerPlugin() {
	driverplugin.Serve(func(ctx context.Context, log *slog.Logger) (driver.Driver, error) {
		return dockerdriver.New(ctx, &dockerdriver.Options{Dir: os.Getenv("INSTANCES"), Logger: log})
	})
}

// dockerWorld is a platform with Docker behind a plugin, and an image of the test function.
type dockerWorld struct {
	*platform.Platform
	plugin *driverplugin.Plugin
	image  string
	ref    faas.Ref
}

func newDockerWorld(spec faas.Spec) (w *dockerWorld, err error) {
	if err := dockerengine.Available(context.Background()); err != nil {
		return nil, err
	}
	w = &dockerWorld{image: fmt.Sprintf("joinery/bench:%d", os.Getpid())}
	w.Platform, err = platform.Start(platform.Config{Driver: func(dir string) (driver.Driver, error) {
		p, err := openPlugin(dir, roleDockerPlugin, "INSTANCES="+dir, "PATH="+os.Getenv("PATH"))
		if err != nil {
			return nil, err // and not a nil *Plugin
		}
		w.plugin = p
		return p, nil
	}})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if err = w.makeImage(); err != nil {
		return nil, err
	}
	spec.Contract, spec.Image, spec.Command, spec.StartTimeout = faas.ContractSocket, w.image, []string{"/function"}, time.Minute
	spec.Grace = time.Second
	w.ref, err = w.Publish("docker", spec)
	return w, err
}

// makeImage makes an image of nothing but the test function.
func (w *dockerWorld) makeImage() error {
	bin, err := testbin.Path()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	if err := tw.WriteHeader(&tar.Header{Name: "function", Mode: 0o755, Size: int64(len(program))}); err != nil {
		return err
	}
	if _, err := tw.Write(program); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return err
	}
	_, err = docker(&layer, "import", "--change", `ENTRYPOINT ["/function"]`, "-", w.image)
	return err
}

func (w *dockerWorld) Close() error {
	err := w.Platform.Close()
	_, rerr := docker(nil, "image", "rm", "--force", w.image)
	return errors.Join(err, rerr)
}

func docker(in io.Reader, args ...string) (string, error) {
	cmd := exec.Command("docker", args...)
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// run is `docker run` of the same image, with a socket in a directory like the driver's, to the first byte.
func (w *dockerWorld) run(round int) (time.Duration, error) {
	dir := filepath.Join(w.Dir, fmt.Sprintf("run%d", round))
	if err := errors.Join(os.Mkdir(dir, 0o777), os.Chmod(dir, 0o777)); err != nil {
		return 0, err
	}
	began := time.Now()
	id, err := docker(nil, "run", "--detach", "--network", "none", "--volume", dir+":/socket", "--env", "SOCKET=/socket/s", w.image)
	if err != nil {
		return 0, err
	}
	err = firstByte(filepath.Join(dir, "s"))
	took := time.Since(began)
	_, rerr := docker(nil, "rm", "--force", id)
	return took, errors.Join(err, rerr)
}

// firstByte asks over the socket, as soon as somebody listens there.
func firstByte(socket string) error {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			if time.Since(began) > 20*time.Second {
				return err
			}
			continue
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET /pid HTTP/1.1\r\nHost: bare\r\n\r\n")); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1))
		return err
	}
}

// dockerCold measures a cold start through the whole platform with Docker behind a plugin, beside
// `docker run` of the same image.
func dockerCold() ([]Figure, error) {
	w, err := newDockerWorld(faas.Spec{})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	const rounds = 21
	var product, bare []float64
	phases := make([][]float64, faas.NumPhases)
	for i := range rounds {
		took, timing, err := coldCall(w.Platform, w.ref)
		if err != nil {
			return nil, err
		}
		base, err := w.run(i)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			continue
		}
		product, bare = append(product, millis(took)), append(bare, millis(base))
		for ph := range phases {
			phases[ph] = append(phases[ph], millis(timing.Get(faas.Phase(ph))))
		}
	}
	figures := []Figure{
		{Name: "docker-cold-ratio", Value: median(product) / median(bare), Unit: "x-of-docker-run", Op: "<=", Bound: 1.15},
		{Name: "docker-cold-product", Value: median(product), Unit: "ms"},
		{Name: "docker-cold-bare", Value: median(bare), Unit: "ms"},
	}
	for ph, v := range phases {
		figures = append(figures, Figure{Name: "docker-cold-" + faas.Phase(ph).String(), Value: median(v), Unit: "ms"})
	}
	return figures, nil
}

// dockerPool measures the start of a function whose instances wait paused, through the plugin, beside `docker run`.
func dockerPool() ([]Figure, error) {
	w, err := newDockerWorld(faas.Spec{})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const rounds = 15
	var paused, bare []float64
	for i := range rounds {
		id := fmt.Sprintf("pool%d", i)
		st, err := w.plugin.Start(ctx, driver.Task{ID: id, Contract: faas.ContractSocket, Image: w.image, Command: []string{"/function"}})
		if err != nil {
			return nil, err
		}
		if err := w.plugin.Pause(ctx, id); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := w.plugin.Resume(ctx, id); err != nil {
			return nil, err
		}
		if err := firstByte(st.Endpoint.Address); err != nil {
			return nil, err
		}
		took := time.Since(began)
		if err := w.plugin.Stop(ctx, id, 0); err != nil {
			return nil, err
		}
		base, err := w.run(i)
		if err != nil {
			return nil, err
		}
		paused, bare = append(paused, millis(took)), append(bare, millis(base))
	}
	return []Figure{
		{Name: "docker-pool-ratio", Value: median(paused) / median(bare), Unit: "x-of-docker-run", Op: "<=", Bound: 0.2},
		{Name: "docker-pool-resume", Value: median(paused), Unit: "ms"},
		{Name: "docker-pool-bare", Value: median(bare), Unit: "ms"},
	}, nil
}

// dockerWarm measures warm calls to a container, beside a bare net/http client at the container's address.
func dockerWarm() ([]Figure, error) {
	w, err := newDockerWorld(faas.Spec{Concurrency: 64, Scale: faas.Scale{Min: 1, Max: 1}})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	product := throughRouter(w.Platform, w.ref)
	if err := product(); err != nil {
		return nil, err
	}
	running, err := w.plugin.List(context.Background())
	if err != nil || len(running) != 1 {
		return nil, fmt.Errorf("%d containers, want 1: %w", len(running), err)
	}
	baseline, done := overSocket(running[0].Endpoint.Address)
	defer done()
	one, many, err := sideBySide(product, baseline, 16)
	if err != nil {
		return nil, err
	}
	return []Figure{
		{Name: "docker-warm-p50-ratio", Value: median(one.ratio), Unit: "x-of-net/http", Op: "<=", Bound: 1.15},
		{Name: "docker-warm-rate-ratio", Value: median(many.rate), Unit: "x-of-net/http"},
		{Name: "docker-warm-p50", Value: median(one.p50), Unit: "us"},
	}, nil
}
