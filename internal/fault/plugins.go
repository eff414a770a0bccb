package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/internal/testfunction/testbin"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

// The command is its own driver plugin, and its own host of one, in these roles.
const (
	rolePlugin = "role-driver-plugin" // DIR
	roleHost   = "role-host"          // DIR
	roleBroken = "role-broken-plugin" // HOW
)

// role plays the role that the arguments name; false if they name none.
func role(args []string) bool {
	if len(args) != 2 {
		return false
	}
	switch args[0] {
	case rolePlugin:
		driverplugin.Serve(func(_ context.Context, log *slog.Logger) (driver.Driver, error) {
			return procdriver.New(&procdriver.Options{Dir: args[1], Logger: log})
		})
	case roleHost:
		host(args[1])
	case roleBroken:
		broken(args[1])
	default:
		return false
	}
	return true
}

// openPlugin opens this command as the plugin of a driver of processes, with everything below dir.
func openPlugin(dir string) (*driverplugin.Plugin, error) {
	path := filepath.Join(dir, "plugin")
	if err := platform.CopySelf(path); err != nil {
		return nil, err
	}
	return driverplugin.Open(context.Background(), path, &driverplugin.Options{
		Args: []string{rolePlugin, filepath.Join(dir, "instances")}, Env: []string{"TMPDIR=" + os.TempDir()}, MaxCrashes: 1000,
	})
}

// pluginWorld is a platform whose instances are started by a plugin.
type pluginWorld struct {
	*world
	plugin *driverplugin.Plugin
}

func newPluginWorld(spec faas.Spec) (*pluginWorld, error) {
	bin, err := testbin.Path()
	if err != nil {
		return nil, err
	}
	w := &pluginWorld{}
	p, err := platform.Start(platform.Config{Driver: func(dir string) (driver.Driver, error) {
		p, err := openPlugin(dir)
		if err != nil {
			return nil, err
		}
		w.plugin = p
		return p, nil
	}})
	if err != nil {
		return nil, err
	}
	spec.Contract = faas.ContractInherit
	ref, err := p.PublishProgram("victim", bin, nil, spec)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	w.world = &world{p, ref}
	if err = p.Router.Scale(context.Background(), ref, spec.Scale.Max, "measurement"); err == nil {
		err = w.waitReady(spec.Scale.Max)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return w, nil
}

// countLeft takes the platform down and counts the processes that are left.
func (w *pluginWorld) countLeft(orphans *atomic.Int64) {
	if err := w.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "close:", err)
	}
	n, _ := processesUnder(w.Dir)
	orphans.Add(int64(n))
}

// wait polls until ok, and returns how long that took.
func wait(what string, limit time.Duration, ok func() bool) (time.Duration, error) {
	for began := time.Now(); ; time.Sleep(200 * time.Microsecond) {
		if ok() {
			return time.Since(began), nil
		}
		if time.Since(began) > limit {
			return 0, fmt.Errorf("%s: not within %v", what, limit)
		}
	}
}

// worst keeps the longest time. Safe for concurrent use.
type worst struct{ ns atomic.Int64 }

func (w *worst) add(d time.Duration) {
	for {
		old := w.ns.Load()
		if int64(d) <= old || w.ns.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

func (w *worst) ms() float64 { return float64(w.ns.Load()) / 1e6 }

// pluginKill kills driver plugins whose instances are being called, again and again.
func pluginKill() ([]Figure, error) {
	const hosts, rounds, instances = 4, 25, 2
	var detected, replaced worst
	var detections []float64
	var mu sync.Mutex
	var calls, failed, adopted, orphans atomic.Int64
	var all errgroup.Group
	for range hosts {
		all.Go(func() error {
			w, err := newPluginWorld(faas.Spec{Concurrency: 4, Scale: faas.Scale{Min: instances, Max: instances}})
			if err != nil {
				return err
			}
			defer w.countLeft(&orphans)
			stop := make(chan struct{})
			var load sync.WaitGroup
			load.Go(func() {
				for tick := time.NewTicker(5 * time.Millisecond); ; {
					select {
					case <-stop:
						tick.Stop()
						return
					case <-tick.C:
						calls.Add(1)
						if status, _, err := w.get("/echo", "", 10*time.Second); err != nil || status != 200 {
							failed.Add(1)
						}
					}
				}
			})
			err = func() error {
				for range rounds {
					before, pid := w.names(), w.plugin.Health().PID
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
						return err
					}
					d, err := wait("detect the plugin's death", 10*time.Second, func() bool { return w.plugin.Health().PID != pid })
					if err != nil {
						return err
					}
					detected.add(d)
					mu.Lock()
					detections = append(detections, d.Seconds()*1000)
					mu.Unlock()
					more, err := wait("replace the plugin", 20*time.Second, func() bool { return w.plugin.Health().Healthy })
					if err != nil {
						return err
					}
					replaced.add(d + more)
					if w.names() == before {
						adopted.Add(instances)
					}
					time.Sleep(time.Second) // the pause before a restart is short again
				}
				return nil
			}()
			close(stop)
			load.Wait()
			return err
		})
	}
	err := all.Wait()
	return []Figure{
		{Name: "plugin-kill-rounds", Value: hosts * rounds, Unit: "kills"},
		{Name: "plugin-kill-detected-median", Value: median(detections), Unit: "ms"},
		{Name: "plugin-kill-detected", Value: detected.ms(), Unit: "ms", Op: "<=", Bound: 50},
		{Name: "plugin-kill-replaced", Value: replaced.ms(), Unit: "ms", Op: "<=", Bound: 1000},
		{Name: "plugin-kill-adopted", Value: float64(adopted.Load()), Unit: "instances", Op: "==", Bound: hosts * rounds * instances},
		{Name: "plugin-kill-calls", Value: float64(calls.Load()), Unit: "calls"},
		{Name: "plugin-kill-calls-failed", Value: float64(failed.Load()), Unit: "calls", Op: "==", Bound: 0},
		{Name: "plugin-kill-orphans", Value: float64(orphans.Load()), Unit: "processes", Op: "==", Bound: 0},
	}, err
}

// names are the running instances with when they were started, as one text.
func (w *pluginWorld) names() string {
	list, err := w.plugin.List(context.Background())
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, st := range list {
		if st.State == driver.StateRunning {
			names = append(names, st.ID+st.Started.String())
		}
	}
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}

// pluginHang stops driver plugins by SIGSTOP.
func pluginHang() ([]Figure, error) {
	const hosts = 6
	var late, unhealthy, killed worst
	var clear, served, restored, orphans atomic.Int64
	var all errgroup.Group
	for range hosts {
		all.Go(func() error {
			w, err := newPluginWorld(faas.Spec{Concurrency: 4, Scale: faas.Scale{Min: 1, Max: 1}})
			if err != nil {
				return err
			}
			defer w.countLeft(&orphans)
			before, pid := w.names(), w.plugin.Health().PID
			began := time.Now()
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				return err
			}
			const deadline = time.Second
			ctx, done := context.WithTimeout(context.Background(), deadline)
			defer done()
			err = w.plugin.Stop(ctx, "nobody", 0)
			late.add((time.Since(began) - deadline).Abs())
			if errors.Is(err, faas.ErrTimeout) {
				clear.Add(1)
			}
			served.Add(int64(w.healthy()))
			if _, err := wait("notice that the plugin hangs", 20*time.Second, func() bool { return !w.plugin.Health().Healthy }); err != nil {
				return err
			}
			noticed := time.Now()
			unhealthy.add(noticed.Sub(began))
			if _, err := wait("kill the plugin", 20*time.Second, func() bool { return syscall.Kill(pid, 0) != nil }); err != nil {
				return err
			}
			killed.add(time.Since(noticed))
			if _, err := wait("replace the plugin", 20*time.Second, func() bool { return w.plugin.Health().Healthy }); err != nil {
				return err
			}
			if w.names() == before && w.healthy() == 1 {
				restored.Add(1)
			}
			return nil
		})
	}
	err := all.Wait()
	return []Figure{
		{Name: "plugin-hang-deadline-missed-by", Value: late.ms(), Unit: "ms", Op: "<=", Bound: 50},
		{Name: "plugin-hang-told-clearly", Value: float64(clear.Load()), Unit: "calls", Op: "==", Bound: hosts},
		{Name: "plugin-hang-unhealthy-after", Value: unhealthy.ms(), Unit: "ms", Op: "<=", Bound: 3000},
		{Name: "plugin-hang-killed-after", Value: killed.ms(), Unit: "ms", Op: "<=", Bound: 2000},
		{Name: "plugin-hang-served-meanwhile", Value: float64(served.Load()), Unit: "calls", Op: "==", Bound: hosts},
		{Name: "plugin-hang-adopted", Value: float64(restored.Load()), Unit: "instances", Op: "==", Bound: hosts},
		{Name: "plugin-hang-orphans", Value: float64(orphans.Load()), Unit: "processes", Op: "==", Bound: 0},
	}, err
}

// host opens a plugin, starts instances, says so, and waits to be killed.
func host(dir string) {
	bin, err := testbin.Path()
	var p *driverplugin.Plugin
	if err == nil {
		p, err = openPlugin(dir)
	}
	for i := 0; err == nil && i < 3; i++ {
		var code string
		if code, err = os.MkdirTemp(dir, "code-"); err == nil {
			var program []byte
			if program, err = os.ReadFile(bin); err == nil {
				err = os.WriteFile(filepath.Join(code, "function"), program, 0o755)
			}
		}
		if err == nil {
			err = os.Chmod(code, 0o755)
		}
		if err == nil {
			_, err = p.Start(context.Background(), driver.Task{ID: "i" + strconv.Itoa(i), Contract: faas.ContractInherit, Dir: code, Command: []string{"./function"}})
		}
	}
	if err != nil {
		fmt.Println("failed:", err)
		return
	}
	fmt.Println("started")
	time.Sleep(time.Hour)
}

// hostDeath kills hosts of plugins, and looks for what they leave.
func hostDeath() ([]Figure, error) {
	const rounds = 30
	var gone worst
	var orphans, files float64
	for range rounds {
		dir, err := os.MkdirTemp("", "joinery-host-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		h := exec.Command(self, roleHost, dir)
		h.Stderr = os.Stderr
		out, err := h.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := h.Start(); err != nil {
			return nil, err
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if line != "started\n" {
			_ = h.Process.Kill()
			return nil, errors.Join(fmt.Errorf("host: %s", line), h.Wait())
		}
		plugins := commandsWith(rolePlugin, dir)
		if err := h.Process.Kill(); err != nil {
			return nil, err
		}
		_ = h.Wait()
		left := func() int {
			n, _ := processesUnder(dir)
			return n + commandsWith(rolePlugin, dir)
		}
		d, err := wait("host", 10*time.Second, func() bool { return left() == 0 })
		if err != nil || plugins != 1 {
			orphans += float64(max(left(), 1))
		}
		gone.add(d)
		if rest, _ := filepath.Glob(filepath.Join(dir, "instances", "*", "*")); len(rest) > 0 {
			files += float64(len(rest))
		}
	}
	return []Figure{
		{Name: "host-death-rounds", Value: rounds, Unit: "kills"},
		{Name: "host-death-all-gone-after", Value: gone.ms(), Unit: "ms", Op: "<=", Bound: 5000},
		{Name: "host-death-orphans", Value: orphans, Unit: "processes", Op: "==", Bound: 0},
		{Name: "host-death-files-left", Value: files, Unit: "directories", Op: "==", Bound: 0},
	}, nil
}

// commandsWith counts the processes whose command line has both words.
func commandsWith(words ...string) (n int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		line, err := os.ReadFile(path)
		found := err == nil
		for _, word := range words {
			found = found && strings.Contains(string(line), word)
		}
		if found {
			n++
		}
	}
	return n
}
