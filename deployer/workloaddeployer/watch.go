package workloaddeployer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

const (
	// watchRetry is the delay before a watch that broke is begun again.
	watchRetry = 250 * time.Millisecond
	// resync is how often instances are looked for that vanished unseen: a watch that
	// begins again tells what is there, not what went away between the two.
	resync = 30 * time.Second
)

// watch tells every instance what becomes of its workload, until ctx ends.
func (d *Deployer) watch(ctx context.Context) {
	var again *time.Timer
	again = time.AfterFunc(time.Hour, func() {
		if d.recheck(ctx); ctx.Err() == nil {
			again.Reset(resync)
		}
	})
	again.Reset(resync) // not before the variable is set
	defer again.Stop()
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
		again.Reset(watchRetry)
	}
}

// recheck looks for instances that vanished unseen.
func (d *Deployer) recheck(ctx context.Context) {
	mine := slices.DeleteFunc(d.all(), func(i *instance) bool { return !i.applied.Load() })
	known, err := d.cfg.Resources.List(ctx)
	if err != nil {
		return // the next time
	}
	ids := make(map[string]bool, len(known))
	for _, s := range known {
		ids[s.ID] = true
	}
	for _, i := range mine {
		if !ids[i.id] {
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
