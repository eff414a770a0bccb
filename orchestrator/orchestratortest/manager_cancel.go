package orchestratortest

import (
	"context"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

func managerCancelClauses() []managerClause {
	return []managerClause{
		{name: "cancel/a call whose context has ended does nothing", check: func(r *managerRun) {
			r.runs("w1")
			cancelled, cancel := context.WithCancel(r.ctx)
			cancel()
			expired, cancel := context.WithDeadline(r.ctx, time.Now().Add(-time.Second))
			defer cancel()
			for _, c := range []struct {
				ctx   context.Context
				class error
			}{{cancelled, faas.ErrCanceled}, {expired, faas.ErrTimeout}} {
				r.is("Apply", r.m.Apply(c.ctx, r.workload("w2", Serves)), c.class)
				r.is("Remove", r.m.Remove(c.ctx, "w1"), c.class)
				_, err := r.m.Get(c.ctx, "w1")
				r.is("Get", err, c.class)
				_, err = r.m.List(c.ctx)
				r.is("List", err, c.class)
				_, err = r.m.Nodes(c.ctx)
				r.is("Nodes", err, c.class)
				if r.h.Nodes {
					r.is("Drain", r.m.Drain(c.ctx, "n1", true), c.class)
				}
			}
			r.gone("w2")
			r.quiet() // and not draining
			r.running("w1", "another")
		}},
		{name: "cancel/the context of Apply is not the workload's", check: func(r *managerRun) {
			ctx, cancel := context.WithCancel(r.ctx)
			if err := r.m.Apply(ctx, r.workload("w1", Serves)); err != nil {
				r.Fatalf("Apply: %v", err)
			}
			cancel()
			r.quiet()
			r.seen(r.log, "w1 running", func(s orchestrator.Status) bool {
				return s.ID == "w1" && s.Phase == orchestrator.PhaseRunning
			})
			r.running("w1", "another")
			if s, err := r.m.Get(r.ctx, "w1"); err != nil || s.Phase != orchestrator.PhaseRunning {
				r.Errorf("it is %+v, %v", s, err)
			}
		}},
		{name: "closed/every method says so after the manager has stopped", check: func(r *managerRun) {
			r.runs("w1")
			r.f.Stop()
			late := time.After(patience)
			for {
				_, changed, err := r.log.state()
				if err != nil {
					r.is("Watch", err, faas.ErrClosed)
					break
				}
				select {
				case <-changed:
				case <-late:
					r.Fatal("Watch goes on after the manager has stopped")
				}
			}
			r.is("Apply", r.m.Apply(r.ctx, r.workload("w2", Serves)), faas.ErrClosed)
			r.is("Remove", r.m.Remove(r.ctx, "w1"), faas.ErrClosed)
			_, err := r.m.Get(r.ctx, "w1")
			r.is("Get", err, faas.ErrClosed)
			_, err = r.m.List(r.ctx)
			r.is("List", err, faas.ErrClosed)
			_, err = r.m.Nodes(r.ctx)
			r.is("Nodes", err, faas.ErrClosed)
			r.is("Drain", r.m.Drain(r.ctx, "n1", true), faas.ErrClosed)
		}},
	}
}
