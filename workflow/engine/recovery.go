package engine

import (
	"context"

	"github.com/joinery/faas"
)

// Recover starts the engine: it takes up every open execution that the stores have and goes on with it. It
// is called once, before anything else. It returns when all executions are taken up. Errors: ErrConflict (called
// before), ErrClosed, those of the stores.
func (e *Engine) Recover(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.state.CompareAndSwap(phaseNew, phaseRecovering) {
		if err := e.accepts("recover"); err != nil {
			return err
		}
		return faas.Errorf(component, "recover", "", faas.ErrConflict, "the engine has recovered already")
	}
	e.spawn(e.timers.loop)
	e.state.Store(phaseRunning)
	return nil
}
