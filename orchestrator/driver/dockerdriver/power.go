package dockerdriver

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// running returns a task that has not ended.
func (d *Driver) running(op, id string) (*instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, err := d.find(op, id)
	if err == nil && i.status.State != driver.StateRunning {
		err = faas.Errorf(component, op, id, faas.ErrConflict, "it has ended")
	}
	return i, err
}

// Pause implements driver.Pauser: the engine freezes all processes of the container.
func (d *Driver) Pause(ctx context.Context, id string) error {
	return d.setPaused(ctx, "pause", id, true)
}

// Resume implements driver.Pauser.
func (d *Driver) Resume(ctx context.Context, id string) error {
	return d.setPaused(ctx, "resume", id, false)
}

func (d *Driver) setPaused(ctx context.Context, op, id string, paused bool) error {
	i, err := d.running(op, id)
	if err != nil {
		return err
	}
	return engineError(ctx, op, id, i.setPaused(ctx, paused))
}

// setPaused pauses or resumes, one at a time.
func (i *instance) setPaused(ctx context.Context, paused bool) error {
	select {
	case i.freeze <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-i.freeze }()
	if i.paused == paused {
		return nil
	}
	path, already := "/unpause", "not paused"
	if paused {
		path, already = "/pause", "already paused"
	}
	late, cancel := linger(ctx) // half done it would be believed not done
	defer cancel()
	err := i.d.engine.call(late, http.MethodPost, "/containers/"+i.container+path, nil, nil, nil)
	if err != nil && !strings.Contains(refusalText(err), already) {
		return err
	}
	i.paused = paused
	return nil
}

// thaw resumes an instance that is to see a signal.
func (i *instance) thaw(ctx context.Context) error { return i.setPaused(ctx, false) }

// Stats implements driver.StatsSource.
func (d *Driver) Stats(ctx context.Context, id string) (driver.Stats, error) {
	i, err := d.running("stats", id)
	if err != nil {
		return driver.Stats{}, err
	}
	var s struct {
		CPU struct {
			Usage struct {
				Total int64 `json:"total_usage"`
			} `json:"cpu_usage"`
		} `json:"cpu_stats"`
		Memory struct {
			Usage int64
			Stats struct {
				TotalInactiveFile int64 `json:"total_inactive_file"` // cgroup v1
				InactiveFile      int64 `json:"inactive_file"`       // v2
			}
		} `json:"memory_stats"`
		Pids struct{ Current int64 } `json:"pids_stats"`
	}
	err = d.engine.call(ctx, http.MethodGet, "/containers/"+i.container+"/stats", url.Values{"stream": {"0"}, "one-shot": {"1"}}, nil, &s)
	if err != nil {
		return driver.Stats{}, engineError(ctx, "stats", id, err)
	}
	// As Docker's own client: what the kernel can give back at any time is not held.
	cache := max(s.Memory.Stats.TotalInactiveFile, s.Memory.Stats.InactiveFile)
	return driver.Stats{CPU: time.Duration(s.CPU.Usage.Total), Memory: max(s.Memory.Usage-cache, 0), Pids: s.Pids.Current}, nil
}
