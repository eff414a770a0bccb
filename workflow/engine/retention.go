package engine

import (
	"errors"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
)

// sweepEvery is how often closed executions whose time is over are looked for.
const sweepEvery = 10 * time.Minute

// sweep deletes closed executions that were kept long enough, until the engine ends. It begins at once: an engine
// that is restarted often must delete too.
func (e *Engine) sweep() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		for _, s := range e.stores {
			if err := e.sweepStore(s); err != nil && e.ctx.Err() == nil {
				e.log.Warn("closed executions were not deleted", "error", err)
			}
		}
		select {
		case <-t.C:
		case <-e.stop:
			return
		}
	}
}

func (e *Engine) sweepStore(s workflow.Store) error {
	for {
		page, err := s.List(e.ctx, workflow.ExecutionQuery{KeptUntil: e.now(), Limit: workflow.MaxPage})
		if err != nil {
			return err
		}
		for i := range page.Executions {
			failpoint.Hit("engine/before-delete")
			err := s.Delete(e.ctx, page.Executions[i].Ref)
			if err != nil && !errors.Is(err, faas.ErrNotFound) && !errors.Is(err, faas.ErrConflict) {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
	}
}
