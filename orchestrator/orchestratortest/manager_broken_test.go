package orchestratortest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/driver"
)

// brokenManagers has, for each clause, doubles that break its promise and no other. A
// double is broken twice: before it opens (setup) and after.
var brokenManagers = map[string]breaks{
	"apply/becomes running and serves": {
		func(d *managerDouble) {
			d.get = func(ctx context.Context, id string) (orchestrator.Status, error) {
				s, err := d.ResourceManager.Get(ctx, id)
				s.Phase = orchestrator.PhasePending
				return s, err
			}
		},
		shown(orchestrator.PhaseRunning, func(s *orchestrator.Status) { s.Node = "" }),
		shown(orchestrator.PhaseRunning, func(s *orchestrator.Status) { s.Endpoint.Address = "elsewhere" }),
	},
	"apply/tells its moments in order": {
		shown(orchestrator.PhaseRunning, func(s *orchestrator.Status) { s.Ready = time.Time{} }),
		shown(orchestrator.PhaseRunning, func(s *orchestrator.Status) { s.Placed = s.Applied.Add(-1) }),
	},
	"apply/is known at once": {func(d *managerDouble) {
		d.list = func(context.Context) ([]orchestrator.Status, error) { return nil, nil }
	}},
	"apply/the same again is nil and starts nothing": {func(d *managerDouble) {
		applied := map[string]bool{}
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			if applied[w.ID] {
				return faas.Errorf("test", "apply", w.ID, faas.ErrAlreadyExists, "broken")
			}
			applied[w.ID] = true
			return d.ResourceManager.Apply(ctx, w)
		}
	}, func(d *managerDouble) {
		applied := map[string]bool{}
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			if applied[w.ID] {
				w.ID += "-again"
			}
			applied[w.ID] = true
			return d.ResourceManager.Apply(ctx, w)
		}
	}},
	"apply/a different workload of that ID already exists": {forgivesExisting},
	"apply/an ID is taken while it stops": {func(d *managerDouble) {
		removed := map[string]bool{}
		d.remove = func(ctx context.Context, id string) error {
			removed[id] = true
			return d.ResourceManager.Remove(ctx, id)
		}
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			if removed[w.ID] {
				return nil // and forgets it
			}
			return d.ResourceManager.Apply(ctx, w)
		}
	}},
	"apply/refuses what breaks a rule": {func(d *managerDouble) {
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			return as(d.ResourceManager.Apply(ctx, w), faas.ErrInvalidArgument, nil)
		}
	}},
	"list/has every workload in the order of IDs": {func(d *managerDouble) {
		d.list = func(ctx context.Context) ([]orchestrator.Status, error) {
			all, err := d.ResourceManager.List(ctx)
			slices.Reverse(all)
			return all, err
		}
	}},
	"get/an unknown workload is not found": {func(d *managerDouble) {
		d.get = func(ctx context.Context, id string) (orchestrator.Status, error) {
			s, err := d.ResourceManager.Get(ctx, id)
			return s, as(err, faas.ErrNotFound, nil)
		}
	}, neverRemoves},
	"concurrency/of one ID one Apply wins": {forgivesExisting},
	"concurrency/many come and go":         {neverRemoves},
	"remove/stops the instance before it is gone": {func(d *managerDouble) {
		d.f.Running = func() []string { return []string{"w1"} }
	}},
	"remove/shows it no more as running": {func(d *managerDouble) {
		d.get = func(ctx context.Context, id string) (orchestrator.Status, error) {
			return orchestrator.Status{ID: id, Phase: orchestrator.PhaseRunning}, nil
		}
	}},
	"remove/twice is nil while it stops": {func(d *managerDouble) {
		removed := map[string]bool{}
		d.remove = func(ctx context.Context, id string) error {
			if removed[id] {
				return faas.Errorf("test", "remove", id, faas.ErrConflict, "broken")
			}
			removed[id] = true
			return d.ResourceManager.Remove(ctx, id)
		}
	}},
	"remove/is no failure of the workload": {shown(orchestrator.PhaseGone, func(s *orchestrator.Status) {
		s.Exit = &driver.Exit{Reason: driver.ExitExited, Code: 1}
	})},
	"remove/leaves others alone": {func(d *managerDouble) {
		d.remove = func(ctx context.Context, id string) error {
			return errors.Join(d.ResourceManager.Remove(ctx, "w1"), d.ResourceManager.Remove(ctx, id))
		}
	}},
	"remove/frees the ID": {func(d *managerDouble) {
		removed := map[string]bool{}
		d.remove = func(ctx context.Context, id string) error {
			removed[id] = true
			return d.ResourceManager.Remove(ctx, id)
		}
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			if removed[w.ID] {
				return faas.Errorf("test", "apply", w.ID, faas.ErrAlreadyExists, "broken")
			}
			return d.ResourceManager.Apply(ctx, w)
		}
	}},
	"remove/its end is told though the ID is used again at once": {func(d *managerDouble) {
		d.shows(func(s *orchestrator.Status) bool { return s.Phase != orchestrator.PhaseGone })
	}},
	"remove/calls off a start": {func(d *managerDouble) {
		d.remove = func(ctx context.Context, id string) error {
			time.AfterFunc(2*patience, func() { _ = d.ResourceManager.Remove(context.WithoutCancel(ctx), id) })
			return nil
		}
	}},
	"remove/keeps to the grace": {func(d *managerDouble) {
		d.remove = func(ctx context.Context, id string) error {
			time.AfterFunc(hour, func() { _ = d.ResourceManager.Remove(context.WithoutCancel(ctx), id) })
			return nil
		}
	}},
	"watch/yields the phases in order": {func(d *managerDouble) {
		d.watch = func(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
			return func(yield func(orchestrator.Status, error) bool) {
				for s, err := range d.ResourceManager.Watch(ctx) {
					if !yield(s, err) {
						return
					}
					if s.Phase == orchestrator.PhaseRunning {
						if s.Phase = orchestrator.PhasePending; !yield(s, nil) {
							return
						}
					}
				}
			}
		}
	}},
	"watch/begins with every known workload":                {later(orchestrator.PhaseEnded), later(orchestrator.PhaseRunning)},
	"watch/a slow reader holds nobody up and misses no end": {later(orchestrator.PhaseGone), holdsUp},
	"watch/ends with its context":                           {func(d *managerDouble) { d.watch = endsAs(d, faas.ErrClosed) }},
	"watch/its loop can be left":                            {neverLeft},
	"end/an instance that ends by itself stays known with its exit": {
		shown(orchestrator.PhaseEnded, func(s *orchestrator.Status) { s.Exit = nil }),
		func(d *managerDouble) {
			d.get = func(ctx context.Context, id string) (orchestrator.Status, error) {
				return orchestrator.Status{}, faas.Errorf("test", "get", id, faas.ErrNotFound, "broken")
			}
		}},
	"end/is final without Restart":                             {applies(func(w *orchestrator.Workload) { w.Restart = true })},
	"end/a failed start keeps its class":                       {losesErrors},
	"end/a missing program is not found":                       {losesErrors},
	"end/a start that takes too long is a timeout":             {losesErrors},
	"restart/an instance that ends by itself is started again": {applies(func(w *orchestrator.Workload) { w.Restart = false })},
	"restart/waits longer after each failure": {func(d *managerDouble) {
		d.setup = func(s *ManagerSetup) { s.Backoff = orchestrator.Backoff{Initial: 1, Max: 1} }
	}},
	"restart/says why it waits": {shown(orchestrator.PhasePending, func(s *orchestrator.Status) { s.Reason = "" })},
	"cancel/a call whose context has ended does nothing": {func(d *managerDouble) {
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			_ = d.ResourceManager.Apply(context.WithoutCancel(ctx), w)
			return d.ResourceManager.Apply(ctx, w)
		}
	}, func(d *managerDouble) {
		d.nodes = func(ctx context.Context) ([]orchestrator.NodeState, error) {
			return d.ResourceManager.Nodes(context.WithoutCancel(ctx))
		}
	}},
	"cancel/the context of Apply is not the workload's": {func(d *managerDouble) {
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			context.AfterFunc(ctx, func() { _ = d.ResourceManager.Remove(context.WithoutCancel(ctx), w.ID) })
			return d.ResourceManager.Apply(ctx, w)
		}
	}},
	"closed/every method says so after the manager has stopped": {
		func(d *managerDouble) {
			d.list = func(ctx context.Context) ([]orchestrator.Status, error) {
				all, err := d.ResourceManager.List(ctx)
				return all, as(err, faas.ErrClosed, nil)
			}
		},
		func(d *managerDouble) { d.watch = endsAs(d, faas.ErrUnavailable) },
	},
	"capacity/what does not fit waits and says why": {
		shown(orchestrator.PhasePending, func(s *orchestrator.Status) { s.Error = nil }),
		applies(func(w *orchestrator.Workload) { w.Requests.MilliCPU = 0 }),
	},
	"capacity/memory counts too": {applies(func(w *orchestrator.Workload) { w.Requests.Memory = 0 })},
	"capacity/the oldest that waits comes first": {func(d *managerDouble) {
		d.apply = func(ctx context.Context, w orchestrator.Workload) error {
			err := d.ResourceManager.Apply(ctx, w)
			if w.ID != "w2" {
				return err
			}
			again := w
			again.ID = "w3" // goes to the end of the queue
			_ = d.ResourceManager.Remove(ctx, again.ID)
			for d.ResourceManager.Apply(ctx, again) != nil {
				time.Sleep(time.Millisecond)
			}
			return err
		}
	}},
	"capacity/an ended workload holds none": {applies(func(w *orchestrator.Workload) {
		if w.ID == "w2" {
			w.Requests.MilliCPU++
		}
	})},
	"capacity/one that waits can be removed": {neverRemoves},
	"nodes/says what is placed where": {func(d *managerDouble) {
		d.nodes = func(ctx context.Context) ([]orchestrator.NodeState, error) {
			all, err := d.ResourceManager.Nodes(ctx)
			for i := range all {
				all[i].Used = faas.Resources{}
			}
			return all, err
		}
	}},
	"loss/what ran there is started elsewhere or lost": {
		func(d *managerDouble) { d.f.LoseNode = func(string) {} },
		shown(orchestrator.PhaseEnded, func(s *orchestrator.Status) { s.Exit = &driver.Exit{Reason: driver.ExitExited} }),
	},
	"drain/moves what is there and stops the rest":         {neverDrains},
	"drain/a draining node takes nothing until it is over": {neverDrains},
	"drain/an unknown node is not found":                   {neverDrains},
	"drain/twice is nil": {func(d *managerDouble) {
		last := false
		d.drain = func(ctx context.Context, node string, draining bool) error {
			if draining == last {
				return faas.Errorf("test", "drain", node, faas.ErrConflict, "broken")
			}
			last = draining
			return d.ResourceManager.Drain(ctx, node, draining)
		}
	}},
}

// endsAs ends a Watch with another class.
func endsAs(d *managerDouble, class error) func(context.Context) iter.Seq2[orchestrator.Status, error] {
	return func(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
		return func(yield func(orchestrator.Status, error) bool) {
			for s, err := range d.ResourceManager.Watch(ctx) {
				if err != nil {
					err = faas.Errorf("test", "watch", "", class, "broken")
				}
				if !yield(s, err) {
					return
				}
			}
		}
	}
}

// holdsUp lets no Apply return while a reader is at a status.
func holdsUp(d *managerDouble) {
	if d.ResourceManager == nil {
		return
	}
	reading := make(chan struct{}, 1)
	d.watch = func(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
		return func(yield func(orchestrator.Status, error) bool) {
			for s, err := range d.ResourceManager.Watch(ctx) {
				reading <- struct{}{}
				more := yield(s, err)
				<-reading
				if !more {
					return
				}
			}
		}
	}
}

// neverLeft goes on in a Watch whose reader has left.
func neverLeft(d *managerDouble) {
	d.watch = func(ctx context.Context) iter.Seq2[orchestrator.Status, error] {
		return func(yield func(orchestrator.Status, error) bool) {
			for s, err := range d.ResourceManager.Watch(ctx) {
				if !yield(s, err) {
					<-ctx.Done()
					return
				}
			}
		}
	}
}
