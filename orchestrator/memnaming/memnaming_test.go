package memnaming

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLeaseExpiresAtItsTimeAndRenewalMovesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		short, err := s.Grant(t.Context(), time.Second)
		require.NoError(t, err)
		long, err := s.Grant(t.Context(), time.Hour)
		require.NoError(t, err)
		_, err = s.Put(t.Context(), "a", nil, &orchestrator.PutOptions{Lease: short})
		require.NoError(t, err)
		_, err = s.Put(t.Context(), "b", nil, &orchestrator.PutOptions{Lease: long})
		require.NoError(t, err)

		time.Sleep(900 * time.Millisecond)
		require.NoError(t, s.Renew(t.Context(), short))
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		_, err = s.Get(t.Context(), "a")
		require.NoError(t, err, "one millisecond is left")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		_, err = s.Get(t.Context(), "a")
		require.ErrorIs(t, err, faas.ErrNotFound)
		require.ErrorIs(t, s.Renew(t.Context(), short), faas.ErrNotFound)
		_, err = s.Get(t.Context(), "b")
		require.NoError(t, err)
		require.NoError(t, s.Revoke(t.Context(), long))
		require.True(t, s.leases.armed.IsZero(), "no lease, no timer")
	})
}

func TestManyLeasesExpireInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil)
		defer s.Close()
		for i := range 100 {
			id, err := s.Grant(t.Context(), time.Duration((i*37)%100+1)*time.Second)
			require.NoError(t, err)
			_, err = s.Put(t.Context(), fmt.Sprint("n", i), nil, &orchestrator.PutOptions{Lease: id})
			require.NoError(t, err)
		}
		for left := 100; left >= 0; left-- {
			synctest.Wait()
			entries, _, err := s.List(t.Context(), "n")
			require.NoError(t, err)
			require.Len(t, entries, left)
			time.Sleep(time.Second)
		}
		require.Empty(t, s.leases.queue)
	})
}

func TestAWatchThatFallsBehindTheHistoryIsTold(t *testing.T) {
	s := New(&Options{History: 4})
	defer s.Close()
	put := func(name string) {
		_, err := s.Put(t.Context(), name, nil, nil)
		require.NoError(t, err)
	}
	put("a/0")
	var seen []string
	for e, err := range s.Watch(t.Context(), "a/", 0) {
		if err != nil {
			require.ErrorIs(t, err, faas.ErrExhausted)
			break
		}
		seen = append(seen, e.Entry.Name)
		for i := range 5 {
			put(fmt.Sprint("a/x", i))
		}
	}
	require.Equal(t, []string{"a/0"}, seen)

	// Changes elsewhere do not make a watch fall behind.
	put("a/first")
	seen = nil
	for e, err := range s.Watch(t.Context(), "a/", s.rev-1) {
		require.NoError(t, err)
		seen = append(seen, e.Entry.Name)
		if len(seen) == 2 {
			break
		}
		for i := range 50 {
			put(fmt.Sprint("b/", i))
		}
		put("a/last")
	}
	require.Equal(t, []string{"a/first", "a/last"}, seen)
}

func TestHistoryIsBoundedInBytes(t *testing.T) {
	s := New(nil)
	defer s.Close()
	value := make([]byte, orchestrator.MaxValueBytes)
	for range historyBytes/len(value) + 10 {
		_, err := s.Put(t.Context(), "big", value, nil)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, s.history.bytes, historyBytes)
	require.EqualValues(t, 11, s.history.oldest())
}

// The index must hold what a sorted slice holds, over many insertions, removals and splits.
func TestIndexAgainstASortedSlice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var x index
	items := make(map[string]*item)
	for step := range 20_000 {
		name := fmt.Sprintf("%c/%d", 'a'+r.IntN(3), r.IntN(3000))
		if it := items[name]; it != nil {
			x.remove(it)
			delete(items, name)
		} else {
			items[name] = &item{Entry: orchestrator.Entry{Name: name}}
			x.insert(items[name])
		}
		if step%1000 != 0 {
			continue
		}
		for _, prefix := range []string{"", "a", "b/", "b/1", "c/299", "zz"} {
			var want, got []string
			for n := range items {
				if strings.HasPrefix(n, prefix) {
					want = append(want, n)
				}
			}
			slices.Sort(want)
			for it := range x.withPrefix(prefix) {
				got = append(got, it.Name)
			}
			require.Equal(t, want, got, prefix)
		}
	}
}

func TestAnIdleServiceKeepsNothingOfItsWatches(t *testing.T) {
	s := New(nil)
	defer s.Close()
	_, err := s.Put(t.Context(), "a", nil, nil)
	require.NoError(t, err)
	for range s.Watch(t.Context(), "a", 0) {
		require.Len(t, s.watches.byPrefix, 1)
		break
	}
	require.Empty(t, s.watches.byPrefix)
	require.Empty(t, s.watches.lengths)
}
