package memrouter

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// TestDeadlineIsAContext compares it with context.WithDeadline through every way to its end, looked
// at before and after the end and through a derived context.
func TestDeadlineIsAContext(t *testing.T) {
	type key struct{}
	for _, early := range []bool{false, true} {
		for name, end := range map[string]func(parent context.CancelCauseFunc, own func()){
			"time":   func(context.CancelCauseFunc, func()) { time.Sleep(2 * time.Second) },
			"parent": func(parent context.CancelCauseFunc, _ func()) { parent(assert.AnError) },
			"close":  func(_ context.CancelCauseFunc, own func()) { own() },
		} {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "v"))
				defer cancel(nil)
				at := time.Now().Add(time.Second)
				real, stop := context.WithDeadline(parent, at)
				defer stop()
				d := &deadline{Context: parent, at: at}
				defer d.close()
				if early {
					require.NotNil(t, d.Done())
				}
				got, ok := d.Deadline()
				require.True(t, ok)
				require.Equal(t, at, got)
				require.NoError(t, d.Err())
				require.Equal(t, "v", d.Value(key{}))

				end(cancel, func() { stop(); d.close() })
				assert.Equal(t, real.Err(), d.Err(), name)
				<-d.Done()
				assert.Equal(t, context.Cause(real), context.Cause(d), name)
				assert.Equal(t, faas.ContextError(real, "", "", ""), faas.ContextError(d, "", "", ""))
				child, undo := context.WithCancel(d)
				defer undo()
				assert.Equal(t, real.Err(), child.Err(), name)
				require.Equal(t, "v", d.Value(key{}))
			})
		}
	}
	(*deadline)(nil).close()
}

// TestDeadlineEndsForWhoeverWaits, however closing races with waiting.
func TestDeadlineEndsForWhoeverWaits(t *testing.T) {
	for range 2000 {
		d := &deadline{Context: context.Background(), at: time.Now().Add(time.Hour)}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { <-d.Done() })
		}
		wg.Go(d.close)
		wg.Wait()
		require.ErrorIs(t, d.Err(), context.Canceled)
	}
}
