package workloaddeployer

import (
	"context"
	"errors"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

// watchRetry is the delay before a watch that broke is begun again.
const watchRetry = 250 * time.Millisecond

// watch tells every instance what becomes of its workload, until ctx ends.
func (d *Deployer) watch(ctx context.Context) {
	for {
		var broken error
		for status, err := range d.cfg.Resources.Watch(ctx) {
			if err != nil {
				broken = err
				break
			}
			if i := d.instance(status.ID); i != nil {
				i.observe(status)
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(broken, faas.ErrClosed):
			for _, i := range d.all() {
				i.lost(broken)
			}
			return
		}
		d.log.Warn("the watch of the resource manager broke and begins again", "error", broken)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchRetry):
		}
		// A new watch tells what is there, not what went away between the two. By then it has begun.
		time.AfterFunc(watchRetry, func() { d.recheck(ctx) })
	}
}

// recheck looks for instances that vanished unseen.
func (d *Deployer) recheck(ctx context.Context) {
	for _, i := range d.all() {
		if !i.applied.Load() {
			continue
		}
		if _, err := d.cfg.Resources.Get(ctx, i.id); errors.Is(err, faas.ErrNotFound) {
			i.observe(orchestrator.Status{ID: i.id, Phase: orchestrator.PhaseGone})
		}
	}
}

func (d *Deployer) instance(id string) *instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.instances[id]
}

func (d *Deployer) all() []*instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*instance, 0, len(d.instances))
	for _, i := range d.instances {
		all = append(all, i)
	}
	return all
}
