package orchestratortest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

func managerWatchClauses() []managerClause {
	order := []orchestrator.Phase{orchestrator.PhasePending, orchestrator.PhaseStarting, orchestrator.PhaseRunning,
		orchestrator.PhaseStopping, orchestrator.PhaseGone}
	return []managerClause{
		{name: "watch/yields the phases in order", check: func(r *managerRun) {
			r.runs("w1")
			r.remove("w1")
			r.phase("w1", orchestrator.PhaseGone)
			r.runs("w2") // so that whatever came after is in the log
			at := 0
			for _, s := range r.log.of("w1") {
				i := slices.Index(order, s.Phase)
				if i < at {
					r.Errorf("%q came after %q", s.Phase, order[at])
				}
				at = max(at, i)
			}
		}},
		{name: "watch/begins with every known workload", check: func(r *managerRun) {
			r.runs("w1")
			w := r.workload("w2", Fails)
			r.apply(w)
			r.phase("w2", orchestrator.PhaseEnded)
			later := r.watch()
			r.seen(later, "w1 running", func(s orchestrator.Status) bool { return s.ID == "w1" && s.Phase == orchestrator.PhaseRunning })
			r.seen(later, "w2 ended", func(s orchestrator.Status) bool { return s.ID == "w2" && s.Phase == orchestrator.PhaseEnded })
			r.remove("w1")
			r.seen(later, "w1 gone", func(s orchestrator.Status) bool { return s.ID == "w1" && s.Phase == orchestrator.PhaseGone })
		}},
		{name: "watch/a slow reader holds nobody up and misses no end", check: func(r *managerRun) {
			begun, release := make(chan struct{}), make(chan struct{})
			goOn := sync.OnceFunc(func() { close(release) })
			r.Cleanup(goOn)
			ended := make(chan map[string]orchestrator.Phase, 1)
			ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
			defer cancel()
			const n = 10
			go func() {
				last := map[string]orchestrator.Phase{}
				for s, err := range r.m.Watch(ctx) {
					if err != nil {
						break
					}
					if len(last) == 0 {
						close(begun)
					}
					<-release
					last[s.ID] = s.Phase
					if len(last) > n && !slices.ContainsFunc(slices.Collect(maps.Values(last)), func(p orchestrator.Phase) bool {
						return p != orchestrator.PhaseGone
					}) {
						break
					}
				}
				ended <- last
			}()
			for i := range n + 1 {
				r.runs(fmt.Sprintf("w%d", i))
				select {
				case <-begun:
				case <-time.After(patience):
					r.Fatal("the second Watch yields nothing")
				}
			}
			for i := range n + 1 {
				id := fmt.Sprintf("w%d", i)
				r.remove(id)
				r.phase(id, orchestrator.PhaseGone)
			}
			goOn()
			select {
			case <-ended:
			case <-time.After(patience):
				cancel()
				r.Errorf("the slow reader has seen as last statuses %v; all are gone", <-ended)
			}
		}},
		{name: "watch/ends with its context", check: func(r *managerRun) {
			r.runs("w1")
			for name, begin := range map[string]func() (context.Context, context.CancelFunc){
				"cancelled": func() (context.Context, context.CancelFunc) { return context.WithCancel(r.ctx) },
				"deadline": func() (context.Context, context.CancelFunc) {
					return context.WithTimeout(r.ctx, 10*time.Millisecond)
				},
			} {
				ctx, cancel := begin()
				ended := make(chan []error, 1)
				go func() {
					var errs []error
					for _, err := range r.m.Watch(ctx) {
						if err != nil {
							errs = append(errs, err)
						} else if name == "cancelled" {
							cancel()
						}
					}
					ended <- errs
				}()
				select {
				case errs := <-ended:
					class := faas.ErrCanceled
					if name == "deadline" {
						class = faas.ErrTimeout
					}
					if len(errs) != 1 {
						r.Errorf("%s: Watch ended with %d errors, want 1", name, len(errs))
					} else {
						r.is("Watch "+name, errs[0], class)
					}
				case <-time.After(patience):
					r.Errorf("%s: Watch goes on", name)
				}
				cancel()
			}
		}},
		{name: "watch/its loop can be left", check: func(r *managerRun) {
			r.runs("w1")
			left := make(chan struct{})
			go func() {
				defer close(left)
				for range r.m.Watch(r.ctx) {
					break
				}
			}()
			select {
			case <-left:
			case <-time.After(patience):
				r.Fatal("the loop over Watch does not end after break")
			}
			r.runs("w2")
		}},
	}
}
