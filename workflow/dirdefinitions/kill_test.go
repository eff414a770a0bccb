package dirdefinitions_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dirdefinitions"
)

// childDir makes the test binary a process that registers and deletes until it is killed.
const childDir = "DIRDEFINITIONS_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		registerUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// registerUntilKilled says what it does when it is done, one line a change.
func registerUntilKilled(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
	}
	languages, err := workflow.NewLanguages(text{})
	fail(err)
	r, err := dirdefinitions.Open(dir, languages, nil)
	fail(err)
	for n := 0; ; n++ {
		name := faas.Ref{Name: fmt.Sprintf("w-%d", n%3)}
		d, err := r.Register(context.Background(), workflow.Definition{Ref: name, Language: "text", Source: strconv.FormatUint(rand.Uint64(), 36)})
		fail(err)
		fmt.Println("registered", d.Ref, d.Source)
		switch n % 7 {
		case 3:
			fail(r.Delete(context.Background(), d.Ref))
			fmt.Println("deleted", d.Ref)
		case 5:
			fail(r.Delete(context.Background(), name))
			fmt.Println("deleted", name)
		}
	}
}

// TestKillLosesNothing kills a registering process again and again: what it acknowledged stays, and no number is given twice.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	sources := map[string]string{} // of every version that was ever acknowledged
	last := map[string]int{}       // number of each workflow
	there := map[string]bool{}
	for range 15 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		most, lines := 1+rand.IntN(40), bufio.NewScanner(out)
		for n := 1; lines.Scan(); n++ {
			fields := strings.Fields(lines.Text())
			require.NotEqual(t, "failed", fields[0], lines.Text())
			ref, err := faas.ParseRef(fields[1])
			require.NoError(t, err)
			switch {
			case fields[0] == "registered":
				number, err := strconv.Atoi(ref.Version)
				require.NoError(t, err)
				require.Greater(t, number, last[ref.Name], "a number was given twice")
				last[ref.Name] = number
				sources[fields[1]], there[fields[1]] = fields[2], true
			case ref.Version == "":
				for name := range there {
					if strings.HasPrefix(name, fields[1]+"@") {
						delete(there, name)
					}
				}
			default:
				delete(there, fields[1])
			}
			if n == most {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait(), "the child ended by itself")

		r := open(t, dir)
		page, err := r.List(t.Context(), workflow.DefinitionQuery{AllVersions: true, Limit: workflow.MaxPage})
		require.NoError(t, err)
		listed := map[string]bool{}
		for _, d := range page.Definitions {
			name := d.Ref.String()
			listed[name] = true
			if source, acknowledged := sources[name]; acknowledged {
				assert.Equal(t, source, d.Source, name)
			} else { // registered, and killed before it was told
				number, err := strconv.Atoi(d.Ref.Version)
				require.NoError(t, err)
				assert.Equal(t, last[d.Ref.Name]+1, number)
				last[d.Ref.Name], sources[name], there[name] = number, d.Source, true
			}
		}
		gone := map[string]bool{}
		for name := range there {
			if !listed[name] { // deleted, and killed before it was told
				of, _, _ := strings.Cut(name, "@")
				gone[of] = true
				delete(there, name)
			}
		}
		assert.LessOrEqual(t, len(gone), 1, "only the last deletion can be one that was not told: %v", gone)
		for name := range listed {
			assert.True(t, there[name], "%s was deleted", name)
			there[name] = true
		}
		require.NoError(t, r.Close())
	}
}
