package driver_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func status(id string, s driver.State) driver.Status { return driver.Status{ID: id, State: s} }

func TestSlowReaderMissesNoLastState(t *testing.T) {
	var f driver.Feed
	var seen []driver.Status
	snapshot := func(register func(...driver.Status)) { register(status("a", driver.StateRunning)) }
	for s, err := range f.Watch(t.Context(), snapshot) {
		if err != nil {
			assert.ErrorIs(t, err, faas.ErrClosed)
			break
		}
		if seen = append(seen, s); len(seen) > 1 {
			continue
		}
		f.Publish(status("a", driver.StateEnded)) // replaced by the next before it is read
		f.Publish(status("a", driver.StateGone))
		f.Publish(status("a", driver.StateRunning)) // another task of that id
		f.Publish(status("b", driver.StateRunning))
		f.Publish(status("b", driver.StateGone))
		f.Close()
	}
	assert.Equal(t, []driver.Status{
		status("a", driver.StateRunning), status("a", driver.StateGone), status("a", driver.StateRunning), status("b", driver.StateGone),
	}, seen)
}

func TestEndsWithTheContextAndForgetsItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f driver.Feed
		none := func(register func(...driver.Status)) { register() }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			for _, err := range f.Watch(ctx, none) {
				ended <- err
			}
		}()
		synctest.Wait()
		cancel()
		assert.ErrorIs(t, <-ended, faas.ErrCanceled)

		go func() {
			for range f.Watch(t.Context(), none) {
				break
			}
			ended <- nil
		}()
		synctest.Wait()
		f.Publish(status("a", driver.StateRunning))
		assert.NoError(t, <-ended)
		f.Publish(status("a", driver.StateGone)) // nobody is left
	})
}
