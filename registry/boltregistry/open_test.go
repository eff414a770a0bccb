package boltregistry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/boltregistry"
)

func spec(n int) faas.Spec {
	return faas.Spec{Contract: faas.ContractHandler, Command: []string{"run", fmt.Sprint(n)}, Env: map[string]string{"N": fmt.Sprint(n)}}
}

func open(t testing.TB, path string, o *boltregistry.Options) *boltregistry.Registry {
	t.Helper()
	r, err := boltregistry.Open(path, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	return r
}

func publish(t testing.TB, r registry.Registry, name string, n int) faas.Function {
	t.Helper()
	fn, err := r.Publish(t.Context(), faas.Ref{Name: name}, spec(n), nil)
	require.NoError(t, err)
	return fn
}

// everything is all that a registry says, to compare.
func everything(t testing.TB, r registry.Registry) string {
	t.Helper()
	page, err := r.List(t.Context(), registry.Query{AllVersions: true, Limit: registry.MaxPage})
	require.NoError(t, err)
	s := fmt.Sprintf("%+v\n", page)
	for _, fn := range page.Functions {
		aliases, err := r.ListAliases(t.Context(), fn.Ref)
		require.NoError(t, err)
		s += fmt.Sprintln(aliases)
	}
	return s
}

func TestOpenRefusesWhatIsNoRegistry(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	for path, class := range map[string]error{
		"":                                       faas.ErrInvalidArgument,
		dir:                                      faas.ErrInvalidArgument,
		filepath.Join(dir, "no", "functions.db"): faas.ErrNotFound,
		file("empty", ""):                        faas.ErrCorrupt,
		file("short", "text"):                    faas.ErrCorrupt,
		file("text", string(make([]byte, 100_000))):      faas.ErrCorrupt,
		filepath.Join(file("file", "x"), "functions.db"): faas.ErrUnavailable,
	} {
		_, err := boltregistry.Open(path, nil)
		assert.ErrorIs(t, err, class, path)
		assert.ErrorContains(t, err, path)
	}
	assert.Equal(t, "", read(t, filepath.Join(dir, "empty")), "the refused file was changed")
	_, err := boltregistry.Open(filepath.Join(dir, "new.db"), &boltregistry.Options{History: -1})
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.NoFileExists(t, filepath.Join(dir, "new.db"))
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestOneOpenerAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "functions.db")
	r := open(t, path, nil)
	publish(t, r, "a", 1)
	_, err := boltregistry.Open(path, nil)
	assert.ErrorIs(t, err, faas.ErrConflict)
	assert.ErrorContains(t, err, "open elsewhere")
	publish(t, r, "a", 2) // undisturbed
	require.NoError(t, r.Close())
	fn, err := open(t, path, nil).Get(t.Context(), faas.Ref{Name: "a"})
	require.NoError(t, err)
	assert.Equal(t, "2", fn.Ref.Version)
}

func TestManyCreatorsMakeOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "functions.db")
	opened := make(chan *boltregistry.Registry, 8)
	for range cap(opened) {
		go func() {
			r, err := boltregistry.Open(path, nil)
			if !errors.Is(err, faas.ErrConflict) {
				assert.NoError(t, err)
			}
			opened <- r
		}()
	}
	var winners []*boltregistry.Registry
	for range cap(opened) {
		if r := <-opened; r != nil {
			winners = append(winners, r)
		}
	}
	require.Len(t, winners, 1)
	require.NoError(t, winners[0].Close())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "temporary files are left")
}

func TestAbandonedCreationIsCleanedUp(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, ".functions.db.new-1")
	require.NoError(t, os.WriteFile(old, []byte("half"), 0o600))
	long := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(old, long, long))
	open(t, filepath.Join(dir, "functions.db"), nil)
	assert.NoFileExists(t, old)
}

func TestHistoryIsBoundedOnDiskToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "functions.db")
	watch := func(r registry.Registry, after faas.Revision) (n int, err error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for e, err := range r.Watch(ctx, after) {
			if err != nil {
				return n, err
			}
			if n++; e.Revision == 10 {
				break
			}
		}
		return n, nil
	}
	r, err := boltregistry.Open(path, &boltregistry.Options{History: 4})
	require.NoError(t, err)
	for i := range 10 {
		publish(t, r, "a", i)
	}
	require.NoError(t, r.Close())
	r, err = boltregistry.Open(path, nil) // a longer history cannot bring back what is forgotten
	require.NoError(t, err)
	_, err = watch(r, 5)
	assert.ErrorIs(t, err, faas.ErrExhausted)
	n, err := watch(r, 6)
	assert.NoError(t, err)
	assert.Equal(t, 4, n)
	require.NoError(t, r.Close())
	r = open(t, path, &boltregistry.Options{History: 2})
	_, err = watch(r, 7)
	assert.ErrorIs(t, err, faas.ErrExhausted)
	n, err = watch(r, 8)
	assert.NoError(t, err)
	assert.Equal(t, 2, n)
}

// TestEveryDamageIsNoticedOrHarmless flips bits all over a file: either Open says that the file is
// corrupt, or nothing is lost, also after more writes.
func TestEveryDamageIsNoticedOrHarmless(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "functions.db")
	r, err := boltregistry.Open(path, &boltregistry.Options{History: 20})
	require.NoError(t, err)
	for i := range 60 {
		name := fmt.Sprintf("f-%d", i%7)
		fn := publish(t, r, name, i)
		_, err := r.SetAlias(t.Context(), registry.Alias{Ref: faas.Ref{Name: name, Version: "live"}, Target: fn.Ref.Version}, nil)
		require.NoError(t, err)
	}
	require.NoError(t, r.Delete(t.Context(), faas.Ref{Name: "f-3"}, nil))
	want := everything(t, r)
	require.NoError(t, r.Close())
	good := read(t, path)

	noticed := 0
	check := func(what string, bad []byte) {
		victim := filepath.Join(dir, "victim.db")
		require.NoError(t, os.WriteFile(victim, bad, 0o600))
		r, err := boltregistry.Open(victim, &boltregistry.Options{History: 20})
		if err != nil {
			noticed++
			assert.ErrorIs(t, err, faas.ErrCorrupt, what)
			assert.ErrorContains(t, err, "victim.db", what)
			return
		}
		require.Equal(t, want, everything(t, r), what)
		publish(t, r, "f-1", 1)
		after := everything(t, r)
		require.NoError(t, r.Close())
		r, err = boltregistry.Open(victim, &boltregistry.Options{History: 20})
		require.NoError(t, err, what)
		require.Equal(t, after, everything(t, r), what)
		require.NoError(t, r.Close())
	}
	rng := rand.New(rand.NewPCG(1, 2))
	flip := func(offset int) {
		bad := []byte(good)
		bad[offset] ^= 1 << rng.IntN(8)
		check(fmt.Sprintf("byte %d was %#x, is %#x", offset, good[offset], bad[offset]), bad)
	}
	page := os.Getpagesize()
	for offset := 0; offset < 80; offset += 3 { // both roots
		flip(offset)
		flip(page + offset)
	}
	for used := 0; used < 80; {
		offset := rng.IntN(len(good))
		if good[offset] != 0 || used%3 == 0 { // mostly what is in use
			flip(offset)
			used++
		}
	}
	for _, size := range []int{1, page - 1, page, 2*page + 5, 3 * page, len(good) / 2} {
		check(fmt.Sprint("cut off at ", size), []byte(good[:size]))
	}
	t.Logf("%d of %d damages noticed, the others harmless", noticed, 2*27+80+6)
	assert.Greater(t, noticed, 60)
}
