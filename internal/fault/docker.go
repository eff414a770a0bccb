package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
)

// dockerWorld is a platform whose instances are containers of a private engine.
type dockerWorld struct {
	*world
	engine *dockerengine.Engine
}

func newDockerWorld(ctx context.Context) (w *dockerWorld, err error) {
	bin, err := testbin.Path()
	if err != nil {
		return nil, err
	}
	engine, err := dockerengine.Start(ctx, dockerengine.Config{Disk: 64 << 20})
	if err != nil {
		return nil, err
	}
	p, err := platform.Start(platform.Config{Driver: func(dir string) (driver.Driver, error) {
		return dockerdriver.New(ctx, &dockerdriver.Options{Host: engine.Host(), Dir: filepath.Join(dir, "instances"), Pull: dockerdriver.PullNever})
	}})
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	ref, err := p.PublishProgram("victim", bin, nil, faas.Spec{Contract: faas.ContractSocket, Grace: time.Second, StartTimeout: 20 * time.Second})
	if err != nil {
		return nil, errors.Join(err, p.Close(), engine.Close())
	}
	return &dockerWorld{&world{p, ref}, engine}, nil
}

// containers are the names of all containers of the engine.
func (w *dockerWorld) containers() ([]string, error) {
	out, err := w.docker("ps", "--all", "--format", "{{.Names}}")
	return strings.Fields(out), err
}

func (w *dockerWorld) docker(args ...string) (string, error) {
	out, err := exec.Command("docker", append([]string{"--host", w.engine.Host()}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", args[0], err, out)
	}
	return string(out), err
}

// answers waits until a call is answered, and returns how long that took.
func (w *dockerWorld) answers() (time.Duration, error) {
	var last error
	took, err := wait("a call is answered", time.Minute, func() bool {
		status, _, err := w.get("/echo", "", 20*time.Second)
		last = err
		return err == nil && status == http.StatusOK
	})
	if err != nil {
		err = errors.Join(err, last)
	}
	return took, err
}

// refused calls until the call fails, and reports 1 if the error has the class.
func (w *dockerWorld) refused(class error) (float64, error) {
	var got error
	_, err := wait("a call fails", time.Minute, func() bool {
		_, _, got = w.get("/echo", "", 20*time.Second)
		return got != nil
	})
	if err == nil && !errors.Is(got, class) {
		fmt.Fprintf(os.Stderr, "want %v: %v\n", class, got)
	}
	return count(errors.Is(got, class)), err
}

// dockerEngine breaks the engine in seven ways below a running platform.
func dockerEngine() (figures []Figure, err error) {
	ctx := context.Background()
	w, err := newDockerWorld(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.engine.Close()) }()
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, w.Close())
		}
	}()
	if _, err := w.answers(); err != nil {
		return nil, err
	}
	is := func(name string, v float64) {
		figures = append(figures, Figure{Name: "docker-engine-" + name, Value: v, Unit: "is-so", Op: "==", Bound: 1})
	}
	recovered := func(name string) error {
		took, err := w.answers()
		figures = append(figures, Figure{Name: "docker-engine-" + name + "-recovered", Value: float64(took.Milliseconds()), Unit: "ms"})
		return err
	}
	for _, f := range []struct {
		name string
		do   func() error
	}{
		{"stopped", func() error {
			if err := w.engine.Stop(); err != nil {
				return err
			}
			clear, err := w.refused(faas.ErrUnavailable)
			is("stopped-is-unavailable", clear)
			return errors.Join(err, w.engine.Restart(ctx))
		}},
		{"restarted", func() error { return w.engine.Restart(ctx) }},
		{"killed", func() error {
			if err := w.engine.Kill(); err != nil {
				return err
			}
			is("killed-warm-call-is-answered", w.healthy())
			return w.engine.Restart(ctx)
		}},
		{"disk", func() error {
			if err := w.scaleToZero(); err != nil {
				return err
			}
			ballast := filepath.Join(w.engine.Data(), "ballast")
			if err := fillDisk(ballast); err != nil {
				return err
			}
			clear, err := w.refused(faas.ErrExhausted)
			is("full-disk-is-exhausted", clear)
			return errors.Join(err, os.Remove(ballast))
		}},
		{"removed", func() error {
			all, err := w.containers()
			if err != nil {
				return err
			}
			_, err = w.docker(append([]string{"rm", "--force"}, all...)...)
			return err
		}},
		{"image", func() error {
			ref, err := w.Publish("no-image", faas.Spec{Contract: faas.ContractSocket, Image: "joinery/no-such-image:1"})
			if err != nil {
				return err
			}
			_, err = w.Router.Invoke(ctx, &faas.Request{Function: ref})
			is("missing-image-is-not-found", count(errors.Is(err, faas.ErrNotFound)))
			return nil
		}},
		{"clash", func() error {
			all, err := w.containers()
			if err != nil || len(all) == 0 {
				return errors.Join(err, errors.New("no container to take the prefix of"))
			}
			prefix := strings.Join(strings.Split(all[0], "-")[:3], "-") // joinery-docker-<number>
			if _, err := w.docker("create", "--name", prefix+"-clash", "joinery/empty:1", "/foreign"); err != nil {
				return err
			}
			_, err = w.Instances.Start(ctx, driver.Task{ID: "clash", Contract: faas.ContractSocket, Command: []string{"/x"}})
			is("taken-name-already-exists", count(errors.Is(err, faas.ErrAlreadyExists)))
			_, err = w.docker("rm", prefix+"-clash")
			return err // it was still there
		}},
	} {
		if err := f.do(); err != nil {
			return figures, fmt.Errorf("%s: %w", f.name, err)
		}
		if err := recovered(f.name); err != nil {
			return figures, fmt.Errorf("after %s: %w", f.name, err)
		}
	}
	closed = true
	if err := w.Close(); err != nil {
		return figures, err
	}
	left, err := w.containers()
	return append(figures, Figure{Name: "docker-engine-containers-left", Value: float64(len(left)), Unit: "containers", Op: "==", Bound: 0}), err
}
