package pebblestore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

func inMemory(tb testing.TB) Config {
	c := small(tb, "/store")
	c.Reserve = MinReserve
	c.Logger = nil
	return c
}

func name(id string) workflow.ExecutionRef {
	return workflow.ExecutionRef{Namespace: "default", ID: id, Run: 1}
}

// batch is n events of an execution; the first one creates it.
func batch(x workflow.ExecutionRef, after uint64, n int) *workflow.Batch {
	b := &workflow.Batch{Execution: x, After: after}
	if after == 0 {
		b.Record = &workflow.Execution{Ref: x, Status: workflow.StatusRunning, Started: time.Unix(1, 0)}
	}
	for i := range uint64(n) {
		kind := workflow.StepSucceeded
		if after+i == 0 {
			kind = workflow.ExecutionStarted
		}
		b.Events = append(b.Events, workflow.Event{Seq: after + 1 + i, Kind: kind, Time: time.Unix(int64(i), 0), Payload: workflow.JSON(fmt.Sprintf("%0200d", i))})
	}
	return b
}

// length checks that a log is whole from the first event on, and returns its length; 0 if it is not there.
func length(tb testing.TB, s *Store, x workflow.ExecutionRef) uint64 {
	tb.Helper()
	events, err := s.Read(tb.Context(), x, 1, workflow.MaxPage)
	if faas.Class(err) == faas.ErrNotFound {
		return 0
	}
	require.NoError(tb, err)
	for i, e := range events {
		require.Equal(tb, uint64(i)+1, e.Seq)
	}
	return uint64(len(events))
}

// TestPowerCuts: of what was acknowledged nothing is lost when only what was synced survives, and of the rest
// any part.
func TestPowerCuts(t *testing.T) {
	const writers, cuts = 4, 40
	fs := vfs.NewCrashableMem()
	s, err := open(inMemory(t), fs)
	require.NoError(t, err)
	var acknowledged [writers]atomic.Uint64
	var group sync.WaitGroup
	stop := make(chan struct{})
	for w := range writers {
		group.Go(func() {
			x := name(fmt.Sprint("x", w))
			for {
				select {
				case <-stop:
					return
				default:
				}
				after := acknowledged[w].Load()
				if after == workflow.MaxPage-1 { // begin again, with deletions
					b := batch(x, after, 1)
					b.Record = &workflow.Execution{Ref: x, Status: workflow.StatusSucceeded, Started: time.Unix(1, 0)}
					assert.NoError(t, s.Append(t.Context(), b))
					acknowledged[w].Store(0)
					assert.NoError(t, s.Delete(t.Context(), x))
					continue
				}
				if !assert.NoError(t, s.Append(t.Context(), batch(x, after, 1))) {
					return
				}
				acknowledged[w].Store(after + 1)
			}
		})
	}
	random := rand.New(rand.NewPCG(1, 2))
	for cut := range cuts {
		var before, between [writers]uint64
		for w := range writers {
			before[w] = acknowledged[w].Load()
		}
		after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: cut % 3 * 50, RNG: random})
		for w := range writers {
			between[w] = acknowledged[w].Load()
		}
		s, err := open(inMemory(t), after)
		require.NoError(t, err, "cut %d", cut)
		for w := range writers {
			got := length(t, s, name(fmt.Sprint("x", w)))
			if between[w] >= before[w] && before[w] < workflow.MaxPage-1 { // it did not begin again meanwhile
				assert.GreaterOrEqual(t, got, before[w], "cut %d lost what was acknowledged", cut)
			}
		}
		require.NoError(t, s.Append(t.Context(), batch(name("new"), 0, 2)))
		require.NoError(t, s.Close())
	}
	close(stop)
	group.Wait()
	require.NoError(t, s.Close())
}

// at injects into the operations that write, from the n-th on.
type at struct {
	n     int64
	count atomic.Int64
	do    func(nth int64) error
}

func (a *at) String() string { return "at" }

func (a *at) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	if nth := a.count.Add(1); nth >= a.n {
		return a.do(nth)
	}
	return nil
}

// writesOf counts the operations that write in a run of work.
func writesOf(t *testing.T, work func(*Store)) int64 {
	count := &at{n: 1 << 60}
	s, err := open(inMemory(t), errorfs.Wrap(vfs.NewMem(), count))
	require.NoError(t, err)
	opened := count.count.Load()
	work(s)
	require.NoError(t, s.Close())
	t.Logf("%d writes to open, %d in all", opened, count.count.Load())
	return count.count.Load()
}

// TestCutDuringTheFirstOpen: a directory whose creation was cut off anywhere can be opened.
func TestCutDuringTheFirstOpen(t *testing.T) {
	n := writesOf(t, func(*Store) {})
	random := rand.New(rand.NewPCG(3, 4))
	for nth := int64(1); nth <= n; nth++ {
		fs := vfs.NewCrashableMem()
		var cut *vfs.MemFS
		s, err := open(inMemory(t), errorfs.Wrap(fs, &at{n: nth, do: func(at int64) error {
			if at == nth {
				cut = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 30, RNG: random})
			}
			return nil
		}}))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		if cut == nil {
			continue // the number of writes varies a little
		}
		s, err = open(inMemory(t), cut)
		require.NoError(t, err, "cut at write %d of %d", nth, n)
		require.NoError(t, s.Append(t.Context(), batch(name("a"), 0, 1)))
		require.NoError(t, s.Close())
	}
}

// tries appends to a few executions, reads them and deletes one; it returns what was acknowledged.
func tries(t *testing.T, s *Store, classes ...error) map[string]uint64 {
	acknowledged := make(map[string]uint64)
	for i := range 12 {
		id := fmt.Sprint("x", i%3)
		err := s.Append(t.Context(), batch(name(id), acknowledged[id], 1+i%2))
		if err == nil {
			acknowledged[id] += uint64(1 + i%2)
		} else {
			assert.Contains(t, classes, faas.Class(err), err)
		}
		if i == 6 {
			s.flush() // tables are written too
		}
	}
	return acknowledged
}

// TestDiskFullAtEveryWrite: wherever the disk becomes full, what is refused leaves nothing, what is
// acknowledged stays, and the store goes on when there is space.
func TestDiskFullAtEveryWrite(t *testing.T) {
	n := writesOf(t, func(s *Store) { tries(t, s) })
	for nth := int64(1); nth <= n; nth++ {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			var full, space atomic.Bool
			s, err := open(inMemory(t), errorfs.Wrap(fs, &at{n: nth, do: func(int64) error {
				if space.Load() {
					return nil
				}
				full.Store(true)
				return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
			}}))
			var acknowledged map[string]uint64
			if err != nil {
				assert.Equal(t, faas.ErrExhausted, faas.Class(err), err)
			} else {
				returns := time.AfterFunc(3*pause, func() { space.Store(true) })
				acknowledged = tries(t, s, faas.ErrExhausted)
				returns.Stop()
				space.Store(true)
				began := time.Now()
				assert.EventuallyWithT(t, func(c *assert.CollectT) {
					assert.NoError(c, s.Append(t.Context(), batch(name("again"), length(t, s, name("again")), 1)))
				}, 30*time.Second, pause, "write %d of %d", nth, n)
				t.Logf("write %d: goes on after %v", nth, time.Since(began))
				for id, want := range acknowledged {
					assert.Equal(t, want, length(t, s, name(id)), "full at write %d of %d: what was refused is there, or the other way round", nth, n)
				}
				require.NoError(t, s.Close())
			}
			s, err = open(inMemory(t), fs)
			require.NoError(t, err, "full at write %d of %d", nth, n)
			for id, want := range acknowledged {
				assert.Equal(t, want, length(t, s, name(id)), "full at write %d of %d, opened again", nth, n)
			}
			require.NoError(t, s.Close())
		})
	}
}

// TestEveryWriteFails: wherever a write fails, nothing acknowledged is lost, nothing is acknowledged
// after it, and the process lives.
func TestEveryWriteFails(t *testing.T) {
	n := writesOf(t, func(s *Store) { tries(t, s) })
	for nth := int64(1); nth <= n; nth++ {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			s, err := open(inMemory(t), errorfs.Wrap(fs, &at{n: nth, do: func(at int64) error {
				if at == nth {
					return syscall.EIO
				}
				return nil
			}}))
			if err != nil {
				assert.Equal(t, faas.ErrUnavailable, faas.Class(err), err)
			}
			var acknowledged map[string]uint64
			if err == nil {
				acknowledged = tries(t, s, faas.ErrUnavailable)
				require.NoError(t, s.Close(), "write %d", nth)
			}
			s, err = open(inMemory(t), fs)
			require.NoError(t, err, "after write %d of %d failed", nth, n)
			for id, want := range acknowledged {
				assert.GreaterOrEqual(t, length(t, s, name(id)), want, "write %d lost what was acknowledged", nth)
			}
			require.NoError(t, s.Close())
		})
	}
}
