package cluster_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
	"github.com/joinery/faas/orchestrator/cluster"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/internal/mortal"
	"github.com/joinery/faas/orchestrator/memnaming"
)

func TestConfigurationIsChecked(t *testing.T) {
	_, err := cluster.NewManager(cluster.ManagerConfig{LeaseTTL: -1, StableAfter: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"Naming", "Scheduler", "LeaseTTL", "StableAfter"} {
		assert.ErrorContains(t, err, field)
	}
	d := memDriver(t)
	_, err = cluster.NewAgent(cluster.AgentConfig{Node: orchestrator.Node{Name: "N 1", Capacity: faas.Resources{Memory: -1}},
		Drivers: []driver.Driver{d, nil, d}, LeaseTTL: -1, CodeCacheBytes: -1, Code: codeSource{}})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, text := range []string{"Naming", "Node.Name", "Node.Capacity", "one is nil", `two are named "mem"`, "LeaseTTL", "CodeCacheBytes", "CodeDir"} {
		assert.ErrorContains(t, err, text)
	}
	_, err = cluster.NewAgent(cluster.AgentConfig{Naming: memnaming.New(nil), Node: orchestrator.Node{Name: "n1"}})
	assert.ErrorContains(t, err, "at least one")
}

func TestRunRunsOnceAndEndsWithTheNamingService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := memnaming.New(nil)
		m, err := cluster.NewManager(cluster.ManagerConfig{Naming: names, Scheduler: firstFit{}})
		require.NoError(t, err)
		a, err := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: orchestrator.Node{Name: "n1"}, Drivers: []driver.Driver{memDriver(t)}})
		require.NoError(t, err)
		ended := make(chan error, 2)
		go func() { ended <- m.Run(t.Context()) }()
		go func() { ended <- a.Run(t.Context()) }()
		synctest.Wait()
		assert.ErrorIs(t, m.Run(t.Context()), faas.ErrConflict)
		require.NoError(t, names.Close())
		assert.ErrorIs(t, <-ended, faas.ErrClosed)
		assert.ErrorIs(t, <-ended, faas.ErrClosed)
	})
}

func TestStandbyTakesOver(t *testing.T) {
	for name, crash := range map[string]bool{"asked to end": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				names := memnaming.New(nil)
				t.Cleanup(func() { names.Close() })
				line := newCuttable(names)
				first, stopFirst := startManager(t, line)
				synctest.Wait()
				second, _ := startManager(t, names)
				startAgent(t, names, orchestrator.Node{Name: "n1"}, memDriver(t))

				// Both answer, whoever decides.
				require.NoError(t, second.Apply(t.Context(), handler("i1")))
				await(t, first, "i1", phase(orchestrator.PhaseRunning))
				await(t, second, "i1", phase(orchestrator.PhaseRunning))

				begun := time.Now()
				if crash {
					line.cut()
				}
				stopFirst()
				require.NoError(t, second.Apply(t.Context(), handler("i2")))
				await(t, second, "i2", phase(orchestrator.PhaseRunning))
				if crash {
					assert.LessOrEqual(t, time.Since(begun), cluster.DefaultLeaseTTL)
				} else {
					assert.Zero(t, time.Since(begun))
				}
				s, err := second.Get(t.Context(), "i1")
				require.NoError(t, err)
				assert.Equal(t, orchestrator.PhaseRunning, s.Phase)
				assert.Zero(t, s.Restarts)
			})
		})
	}
}

func TestHandOverLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := memnaming.New(nil)
		t.Cleanup(func() { names.Close() })
		m, _ := startManager(t, names)
		d := mortal.New(memDriver(t))
		run := func() func() {
			a, err := cluster.NewAgent(cluster.AgentConfig{Naming: names, Node: orchestrator.Node{Name: "n1"},
				Drivers: []driver.Driver{d}, LeaveRunning: true})
			require.NoError(t, err)
			return runner(t, a.Run)
		}
		stop := run()
		require.NoError(t, m.Apply(t.Context(), handler("i1")))
		first := await(t, m, "i1", phase(orchestrator.PhaseRunning))
		stop()
		require.NoError(t, m.Apply(t.Context(), handler("i2"))) // waits: nobody is there to start it
		time.Sleep(cluster.DefaultLeaseTTL / 2)
		stop = run()
		await(t, m, "i2", phase(orchestrator.PhaseRunning))
		time.Sleep(2 * cluster.DefaultLeaseTTL) // the old lease ends and takes nothing along
		synctest.Wait()
		s, err := m.Get(t.Context(), "i1")
		require.NoError(t, err)
		assert.Equal(t, orchestrator.PhaseRunning, s.Phase)
		assert.Equal(t, first.Ready, s.Ready)

		// Without a successor the node is lost after all.
		stop()
		time.Sleep(2 * cluster.DefaultLeaseTTL)
		s = await(t, m, "i1", phase(orchestrator.PhaseEnded))
		assert.ErrorIs(t, s.Err(), faas.ErrUnavailable)
	})
}

func TestBackoffGrowsAndIsForgottenAfterAStableRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := memnaming.New(nil)
		t.Cleanup(func() { names.Close() })
		m, _ := startManager(t, names)
		d := mortal.New(memDriver(t))
		startAgent(t, names, orchestrator.Node{Name: "n1"}, d)
		w := handler("i1")
		w.Restart = true
		require.NoError(t, m.Apply(t.Context(), w))
		var b orchestrator.Backoff
		restarted := func(n int, delay time.Duration) {
			begun := time.Now()
			require.True(t, d.Kill("i1"))
			time.Sleep(delay)
			s := await(t, m, "i1", func(s orchestrator.Status) bool { return s.Phase == orchestrator.PhaseRunning && s.Restarts == n })
			require.Equal(t, delay, s.Placed.Sub(begun), "restart %d", n)
		}
		await(t, m, "i1", phase(orchestrator.PhaseRunning))
		for n := 1; n <= 50; n++ {
			restarted(n, b.Delay(n))
		}
		assert.Equal(t, 300*time.Second, b.Delay(50))
		time.Sleep(cluster.DefaultStableAfter)
		restarted(51, b.Delay(1))
		restarted(52, b.Delay(2))
	})
}

func TestOutageOfTheNamingServiceIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := memnaming.New(nil)
		t.Cleanup(func() { names.Close() })
		mline, aline := newCuttable(names), newCuttable(names)
		m, _ := startManager(t, mline)
		d := mortal.New(memDriver(t))
		startAgent(t, aline, orchestrator.Node{Name: "n1"}, d)
		require.NoError(t, m.Apply(t.Context(), handler("i1")))
		await(t, m, "i1", phase(orchestrator.PhaseRunning))
		for _, outage := range []time.Duration{cluster.DefaultLeaseTTL / 2, time.Minute} {
			mline.cut()
			aline.cut()
			assert.ErrorIs(t, m.Apply(t.Context(), handler("i2")), faas.ErrUnavailable)
			time.Sleep(outage)
			mline.mend()
			aline.mend()
			time.Sleep(time.Minute)
			synctest.Wait()
			s, err := m.Get(t.Context(), "i1")
			require.NoError(t, err)
			if outage < cluster.DefaultLeaseTTL {
				assert.Equal(t, orchestrator.PhaseRunning, s.Phase)
				assert.True(t, d.Running()["i1"])
			} else {
				// The node was lost, and came back while nobody watched: what it kept is kept, what it
				// was told to drop is dropped, and both say the same.
				assert.Equal(t, s.Phase == orchestrator.PhaseRunning, d.Running()["i1"], "%s: %s", s.Phase, s.Reason)
			}
		}
	})
}

func TestARecordThatCannotBeReadIsNamedAndCanBeRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := memnaming.New(nil)
		t.Cleanup(func() { names.Close() })
		m, stop := startManager(t, names)
		d := mortal.New(memDriver(t))
		startAgent(t, names, orchestrator.Node{Name: "n1"}, d)
		require.NoError(t, m.Apply(t.Context(), handler("i1")))
		await(t, m, "i1", phase(orchestrator.PhaseRunning))
		_, err := names.Put(t.Context(), orchestrator.WorkloadsPrefix+"i1", []byte(`{"workload":`), nil)
		require.NoError(t, err)
		stop()
		m, _ = startManager(t, names)
		s := await(t, m, "i1", phase(orchestrator.PhaseEnded))
		assert.ErrorIs(t, s.Err(), faas.ErrCorrupt)
		synctest.Wait()
		assert.True(t, d.Running()["i1"], "what cannot be understood is not stopped")
		require.NoError(t, m.Remove(t.Context(), "i1"))
		synctest.Wait()
		assert.Empty(t, d.Running())
		_, err = m.Get(t.Context(), "i1")
		require.ErrorIs(t, err, faas.ErrNotFound)
		left, _, err := names.List(t.Context(), orchestrator.RecordsPrefix)
		require.NoError(t, err)
		for _, e := range left {
			assert.False(t, strings.HasSuffix(e.Name, "/i1"), e.Name)
		}
	})
}

func TestAConstraintThatIsNotValidEndsTheWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := memnaming.New(nil)
		t.Cleanup(func() { names.Close() })
		m, _ := startManager(t, names)
		startAgent(t, names, orchestrator.Node{Name: "n1"}, memDriver(t))
		w := handler("i1")
		w.Restart = true
		w.Constraints = []faas.Constraint{{Field: "hostname", Operator: "BROKEN"}}
		require.NoError(t, m.Apply(t.Context(), w))
		s := await(t, m, "i1", phase(orchestrator.PhaseEnded))
		assert.ErrorIs(t, s.Err(), faas.ErrInvalidArgument)
		require.NoError(t, m.Remove(t.Context(), "i1"))
	})
}
