package boltregistry_test

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/boltregistry"
)

// childFile makes the test binary a publisher that is going to be killed.
const childFile = "BOLTREGISTRY_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		publishUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

// publishUntilKilled says what it does when it is done, one line a change.
func publishUntilKilled(path string) {
	fmt.Println("begin")
	r, err := boltregistry.Open(path, nil)
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			name := faas.Ref{Name: fmt.Sprintf("f-%d", worker)}
			for n := 0; ; n++ {
				fn, err := r.Publish(ctx, name, spec(n), nil)
				if err != nil {
					fmt.Println("failed", err)
					os.Exit(1)
				}
				fmt.Println("published", fn.Ref, n, uint64(fn.Revision)) // one write
				live := fn.Ref
				live.Version = "live"
				if a, err := r.SetAlias(ctx, registry.Alias{Ref: live, Target: fn.Ref.Version}, nil); err == nil {
					fmt.Println("alias", live, a.Target, uint64(a.Revision))
				}
				switch n % 5 {
				case 3: // the version before this one
					old := fn.Ref
					last, _ := strconv.Atoi(fn.Ref.Version)
					old.Version = strconv.Itoa(last - 1)
					if r.Delete(ctx, old, nil) == nil {
						fmt.Println("deleted", old, 0, 0)
					}
				case 4:
					if r.Delete(ctx, name, nil) == nil {
						fmt.Println("deleted", fn.Ref, 0, 0)
					}
				}
			}
		})
	}
	wg.Wait()
}

// killed runs a child until it has told of n things, kills it, and returns what it told.
func killed(t *testing.T, path string, n int) (told []string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childFile+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if told = append(told, lines.Text()); len(told) == n {
			require.NoError(t, cmd.Process.Kill()) // what is still in the pipe was told too
		}
	}
	require.Error(t, cmd.Wait(), "the child ended by itself")
	return told
}

// TestKillLosesNothing kills a publishing process again and again. The changes that the file remembers
// must hold every acknowledged one, use no version number twice, and add up to what is listed.
func TestKillLosesNothing(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 8
	}
	path := filepath.Join(t.TempDir(), "functions.db")
	var told []string
	for round := range rounds {
		told = append(told, killed(t, path, 1+rand.IntN(60))...)
		r, err := boltregistry.Open(path, nil)
		require.NoError(t, err, "round %d", round)
		events := history(t, r)
		page, err := r.List(t.Context(), registry.Query{AllVersions: true, Limit: registry.MaxPage})
		require.NoError(t, err)
		listed := make(map[string]faas.Function)
		for _, fn := range page.Functions {
			listed[fn.Ref.String()] = fn
		}

		versions, deleted, last := make(map[string]bool), make(map[string]bool), make(map[string]int)
		for i, e := range events {
			require.EqualValues(t, i+1, e.Revision, "a change is missing")
			switch name := e.Ref.String(); e.Kind {
			case registry.Published:
				number, err := strconv.Atoi(e.Ref.Version)
				require.NoError(t, err)
				require.Equal(t, last[e.Ref.Name]+1, number, "%s: a number was used twice or left out", name)
				last[e.Ref.Name] = number
				versions[name] = true
			case registry.Deleted:
				delete(versions, name)
				deleted[name] = true
			}
		}
		require.ElementsMatch(t, slices.Collect(maps.Keys(versions)), slices.Collect(maps.Keys(listed)))

		for _, line := range told {
			var kind, name string
			var n, rev int
			if line == "begin" {
				continue
			}
			_, err := fmt.Sscan(line, &kind, &name, &n, &rev)
			require.NoError(t, err, line)
			switch kind {
			case "published":
				require.Less(t, rev-1, len(events), line)
				require.Equal(t, "published "+name, string(events[rev-1].Kind)+" "+events[rev-1].Ref.String())
				if fn, ok := listed[name]; ok {
					require.Equal(t, fmt.Sprint(n), fn.Spec.Env["N"], line)
					require.EqualValues(t, rev, fn.Revision, line)
				}
			case "alias":
				require.Less(t, rev-1, len(events), line)
				require.Equal(t, fmt.Sprint(name, n), fmt.Sprint(events[rev-1].Ref.String(), events[rev-1].Target))
			case "deleted":
				require.True(t, deleted[name], line)
			default:
				t.Fatal(line)
			}
		}
		require.NoError(t, r.Close())
	}
	t.Logf("%d rounds, %d changes acknowledged, none lost", rounds, len(told)-rounds)
	assert.Greater(t, len(told), 3*rounds)
}

// history is all that ever happened; the rounds make less than is kept.
func history(t *testing.T, r registry.Registry) (events []registry.Event) {
	t.Helper()
	page, err := r.List(t.Context(), registry.Query{Limit: 1})
	require.NoError(t, err)
	if page.Revision == 0 {
		return nil
	}
	for e, err := range r.Watch(t.Context(), 0) {
		require.NoError(t, err)
		if events = append(events, e); e.Revision == page.Revision {
			break
		}
	}
	return events
}
