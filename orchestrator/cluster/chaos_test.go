package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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
	"github.com/joinery/faas/orchestrator/driver/memdriver"
	"github.com/joinery/faas/orchestrator/internal/mortal"
	"github.com/joinery/faas/orchestrator/memnaming"
)

// machine is one node with all that dies with it.
type machine struct {
	line   *cuttable
	driver *mortal.Driver
	stop   func()
}

// world is a cluster that can be mistreated.
type world struct {
	t       *testing.T
	names   *memnaming.Service
	rand    *rand.Rand
	manager *cluster.Manager
	line    *cuttable // of the manager
	stop    func()    // of the manager
	nodes   map[string]*machine
	starts  map[string]int // of drivers that died
	byID    map[string]int
	wanted  map[string]orchestrator.Workload
	next    int
}

func (w *world) startManager() {
	w.line = newCuttable(w.names)
	w.manager, w.stop = startManager(w.t, w.line)
}

func (w *world) startNode(name string) {
	n := &machine{line: newCuttable(w.names)}
	d := memdriver.New(&memdriver.Options{Handlers: map[string]faas.Invoker{"hello": hello}})
	n.driver = mortal.New(d)
	_, stop := startAgent(w.t, n.line, orchestrator.Node{Name: name, Capacity: faas.Resources{MilliCPU: 4000}}, driver.Driver(n.driver))
	n.stop = func() { stop(); assert.NoError(w.t, d.Close()) }
	w.nodes[name] = n
}

// lose ends a node: by its own will, or as a power failure.
func (w *world) lose(name string, power bool) {
	n := w.nodes[name]
	delete(w.nodes, name)
	if power {
		n.line.cut()
	}
	n.stop()
	starts, byID := n.driver.Starts()
	for k, c := range starts {
		w.starts[k] += c
	}
	for k, c := range byID {
		w.byID[k] += c
	}
}

// act does one random thing.
func (w *world) act() {
	ctx := w.t.Context()
	switch k := w.rand.IntN(100); {
	case k < 45:
		id := fmt.Sprintf("w%d", w.next)
		w.next++
		wl := handler(id)
		wl.Requests.MilliCPU = int64(w.rand.IntN(5)) * 100
		wl.Restart = w.rand.IntN(3) > 0
		require.NoError(w.t, w.manager.Apply(ctx, wl))
		w.wanted[id] = wl
	case k < 65:
		if id := some(w, w.wanted); id != "" {
			require.NoError(w.t, w.manager.Remove(ctx, id))
			delete(w.wanted, id)
		}
	case k < 75:
		d := w.nodes[some(w, w.nodes)].driver
		d.Kill(some(w, d.Running()))
	case k < 82:
		if len(w.nodes) > 1 {
			w.lose(some(w, w.nodes), w.rand.IntN(2) == 0)
		}
	case k < 89:
		name := fmt.Sprintf("n%d", w.rand.IntN(4))
		if w.nodes[name] == nil {
			// Its predecessor may hold the name until its lease ends.
			if _, err := w.names.Get(ctx, orchestrator.NodesPrefix+name); err != nil {
				w.startNode(name)
			}
		}
	case k < 93:
		if w.rand.IntN(2) == 0 {
			w.line.cut() // a kill: it gives nothing back
		}
		w.stop()
		w.startManager()
	case k < 96:
		n := w.nodes[some(w, w.nodes)]
		n.line.cut()
		time.Sleep(time.Duration(w.rand.IntN(30)) * time.Second)
		n.line.mend()
	default:
		name := some(w, w.nodes)
		if _, err := w.names.Get(ctx, orchestrator.NodesPrefix+name); err == nil {
			require.NoError(w.t, w.manager.Drain(ctx, name, w.rand.IntN(2) == 0))
		}
	}
	if w.rand.IntN(3) == 0 {
		time.Sleep(time.Duration(w.rand.IntN(5000)) * time.Millisecond)
	}
}

// some returns any of the names, the same for the same seed.
func some[V any](w *world, m map[string]V) string {
	names := slices.Sorted(maps.Keys(m))
	if len(names) == 0 {
		return ""
	}
	return names[w.rand.IntN(len(names))]
}

func (w *world) settle() {
	time.Sleep(time.Minute) // longer than every lease
	for i := range 4 {
		if name := fmt.Sprintf("n%d", i); w.nodes[name] == nil {
			w.startNode(name)
		}
	}
	synctest.Wait()
	for name := range w.nodes {
		require.NoError(w.t, w.manager.Drain(w.t.Context(), name, false))
	}
	time.Sleep(time.Hour) // longer than every backoff and lease
	synctest.Wait()
}

func TestChaosConverges(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, uint64(seed)) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	names := memnaming.New(&memnaming.Options{History: 64}) // little, so that lists happen
	w := &world{t: t, names: names, rand: rand.New(rand.NewPCG(seed, 0)), nodes: map[string]*machine{},
		starts: map[string]int{}, byID: map[string]int{}, wanted: map[string]orchestrator.Workload{}}
	w.startManager()
	w.startNode("n0")
	w.startNode("n1")
	synctest.Wait()
	for range 150 {
		w.act()
	}
	w.settle()

	all, err := w.manager.List(t.Context())
	require.NoError(t, err)
	assert.Len(t, all, len(w.wanted))
	runs := map[string]int{}
	for _, n := range w.nodes {
		for id := range n.driver.Running() {
			runs[id]++
		}
	}
	running := 0
	for _, s := range all {
		wl, ok := w.wanted[s.ID]
		if !assert.True(t, ok, "%s was removed and is %s", s.ID, s.Phase) {
			continue
		}
		if s.Phase == orchestrator.PhaseRunning {
			running++
			assert.Equal(t, 1, runs[s.ID], "%s runs on %s", s.ID, s.Node)
			assert.True(t, w.nodes[s.Node].driver.Running()[s.ID], "%s is not on %s", s.ID, s.Node)
		} else {
			assert.Zero(t, runs[s.ID], "%s is %s and runs", s.ID, s.Phase)
			assert.True(t, s.Phase == orchestrator.PhasePending || !wl.Restart && s.Phase == orchestrator.PhaseEnded,
				"%s (restart %v) is %s: %s", s.ID, wl.Restart, s.Phase, s.Reason)
		}
	}
	assert.Len(t, runs, running)

	// Capacity is what runs, no more and no less.
	nodes, err := w.manager.Nodes(t.Context())
	require.NoError(t, err)
	placed := 0
	for _, n := range nodes {
		var used int64
		for _, p := range n.Workloads {
			placed++
			used += w.wanted[p.ID].Requests.MilliCPU
		}
		assert.Equal(t, used, n.Used.MilliCPU, n.Name)
		assert.LessOrEqual(t, used, n.Capacity.MilliCPU, n.Name)
	}
	assert.Equal(t, running, placed)

	for id := range w.wanted {
		require.NoError(t, w.manager.Remove(t.Context(), id))
	}
	synctest.Wait()
	left, _, err := names.List(context.Background(), orchestrator.RecordsPrefix)
	require.NoError(t, err)
	for _, e := range left {
		assert.True(t, e.Name == orchestrator.ManagerName || strings.HasPrefix(e.Name, orchestrator.NodesPrefix), e.Name)
	}
	for name := range w.nodes {
		assert.Empty(t, w.nodes[name].driver.Running())
		w.lose(name, false)
	}
	for key, n := range w.starts {
		assert.Equal(t, 1, n, "the start %s was executed more than once", key)
	}
	for id, n := range w.byID {
		if wl, ok := w.wanted[id]; ok && !wl.Restart {
			assert.Equal(t, 1, n, "%s was started again", id)
		}
	}
	w.stop()
	require.NoError(t, names.Close())
}
