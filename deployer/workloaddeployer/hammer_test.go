package workloaddeployer_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer/workloaddeployer"
)

// Whenever a caller gives up, and whether or not the deployment was quicker: nothing
// is left, neither in the resource layer nor in the driver.
func TestGivingUpAtAnyMomentLeavesNothing(t *testing.T) {
	b := newBed(t, workloaddeployer.Defaults{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(600))*time.Microsecond)
				inst, err := b.deployer.Deploy(ctx, function("echo"), nil)
				if err != nil {
					assert.ErrorIs(t, err, faas.ErrTimeout)
				} else {
					_ = inst.Stop(ctx) // may give up as well
				}
				cancel()
			}
		})
	}
	all.Wait()
	require.Eventually(t, func() bool { return b.instances(t) == 0 }, 30*time.Second, 5*time.Millisecond)
	left, err := b.mem.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, left)
}

// Shutdown races with deployments: each of them either returns an instance, which
// Shutdown then stops, or ErrClosed; nothing is left.
func TestShutdownDuringDeployments(t *testing.T) {
	for range 10 {
		b := newBed(t, workloaddeployer.Defaults{})
		_, err := b.deployer.Deploy(t.Context(), function("echo"), nil)
		require.NoError(t, err)
		var all sync.WaitGroup
		deployed := make(chan struct{})
		enough, stop := context.WithCancel(t.Context())
		for range 8 {
			all.Go(func() {
				for {
					inst, err := b.deployer.Deploy(context.Background(), function("echo"), nil)
					if err != nil {
						assert.ErrorIs(t, err, faas.ErrClosed)
						return
					}
					defer wait(t, "the end", inst.Done())
					select {
					case deployed <- struct{}{}:
					case <-enough.Done():
					}
				}
			})
		}
		for range rand.IntN(20) {
			<-deployed
		}
		stop()
		require.NoError(t, b.deployer.Shutdown(t.Context()))
		all.Wait()
		require.Zero(t, b.instances(t))
		left, err := b.mem.List(t.Context())
		require.NoError(t, err)
		require.Empty(t, left)
	}
}
