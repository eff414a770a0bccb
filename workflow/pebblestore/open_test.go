package pebblestore

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// holdDir names the directory that a child process of the tests holds open.
const holdDir = "PEBBLESTORE_TEST_HOLD"

// holdOpen opens the store, says so, and keeps it until its input ends.
func holdOpen(dir string) {
	s, err := Open(Config{Dir: dir, Reserve: MinReserve})
	fmt.Println(err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if err == nil {
		_ = s.Close()
	}
}

func TestSecondOpener(t *testing.T) {
	c := small(t, t.TempDir())
	s, err := Open(c)
	require.NoError(t, err)
	_, err = Open(c)
	assert.ErrorIs(t, err, faas.ErrConflict)
	assert.ErrorContains(t, err, fmt.Sprintf("process %d has it open", os.Getpid()))
	require.NoError(t, s.Append(t.Context(), batch(name("a"), 0, 1)), "the first one goes on")
	require.NoError(t, s.Close())

	exe, err := os.Executable()
	require.NoError(t, err)
	child := exec.Command(exe)
	child.Env = append(os.Environ(), holdDir+"="+c.Dir)
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "<nil>\n", line, "the child opens it")

	began := time.Now()
	_, err = Open(c)
	t.Logf("refused after %v", time.Since(began))
	assert.ErrorIs(t, err, faas.ErrConflict)
	assert.ErrorContains(t, err, "process "+strconv.Itoa(child.Process.Pid))
	require.NoError(t, in.Close())
	require.NoError(t, child.Wait())
	s, err = Open(c)
	require.NoError(t, err, "after the child has closed it")
	assert.EqualValues(t, 1, length(t, s, name("a")))
	require.NoError(t, s.Close())
}

func TestConfigIsCheckedAtOnce(t *testing.T) {
	_, err := Open(Config{Reserve: 1, Cache: -1})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, field := range []string{"Dir", "Reserve", "Cache"} {
		assert.ErrorContains(t, err, strconv.Quote(field))
	}
	_, err = Open(Config{Dir: "/proc/no/such"})
	assert.Error(t, err)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Open(Config{Dir: file})
	assert.Error(t, err)
}

func TestFormat(t *testing.T) {
	c := small(t, t.TempDir())
	s, err := Open(c)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	format := filepath.Join(c.Dir, "FORMAT")
	good, err := os.ReadFile(format)
	require.NoError(t, err)
	for text, class := range map[string]error{
		formatName + "2\n": faas.ErrUnimplemented, "": faas.ErrCorrupt, "something else 1\n": faas.ErrCorrupt,
		formatName + "0\n": faas.ErrCorrupt, formatName + "x\n": faas.ErrCorrupt,
	} {
		require.NoError(t, os.WriteFile(format, []byte(text), 0o600))
		_, err := Open(c)
		assert.Equal(t, class, faas.Class(err), "%q: %v", text, err)
	}
	require.NoError(t, os.Remove(format))
	_, err = Open(c)
	assert.ErrorIs(t, err, faas.ErrCorrupt)
	assert.ErrorContains(t, err, "FORMAT")

	require.NoError(t, os.WriteFile(format, good, 0o600))
	markers, err := filepath.Glob(filepath.Join(c.Dir, "db", "marker.format-version.*"))
	require.NoError(t, err)
	require.Len(t, markers, 1)
	newer := strings.TrimSuffix(markers[0], filepath.Ext(markers[0]))
	require.NoError(t, os.Rename(markers[0], newer+".999"))
	_, err = Open(c)
	assert.ErrorIs(t, err, faas.ErrUnimplemented, "a newer format of the library")
	require.NoError(t, os.Rename(newer+".999", markers[0]))
	s, err = Open(c)
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// TestSpaceIsGivenBack: what is trimmed and deleted leaves the disk.
func TestSpaceIsGivenBack(t *testing.T) {
	c := small(t, t.TempDir())
	s, err := Open(c)
	require.NoError(t, err)
	defer s.Close()
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	used := func() (n int64) {
		require.NoError(t, s.db.Flush())
		require.NoError(t, s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
		tables, err := filepath.Glob(filepath.Join(c.Dir, "db", "*.sst"))
		require.NoError(t, err)
		for _, name := range tables {
			if st, err := os.Stat(name); err == nil { // it may just have gone
				n += st.Size()
			}
		}
		return n
	}
	const executions, each = 40, 4
	for i := range executions {
		x := name(fmt.Sprint("x", i))
		for n := range uint64(each) {
			b := batch(x, n, 1)
			b.Events[0].Payload = workflow.Bytes("text/plain", append(noise[:len(noise)-8:len(noise)-8], fmt.Sprintf("%08d", i*each+int(n))...))
			require.NoError(t, s.Append(t.Context(), b))
		}
	}
	before := used()
	for i := range executions {
		x := name(fmt.Sprint("x", i))
		b := batch(x, each, 1) // the first event stays in half of them
		b.Snapshot, b.SnapshotAt, b.TrimBefore = []byte("s"), each+1, each+2
		if i%2 == 0 {
			b.Record = &workflow.Execution{Ref: x, Status: workflow.StatusSucceeded, Started: time.Unix(1, 0)}
		}
		require.NoError(t, s.Append(t.Context(), b))
		if i%2 == 0 {
			require.NoError(t, s.Delete(t.Context(), x))
		}
	}
	assert.EventuallyWithT(t, func(t *assert.CollectT) { // files go in the background
		after := used()
		assert.Less(t, after, before/4, "%d bytes of %d are left", after, before)
	}, 30*time.Second, pause)
	assert.EqualValues(t, 1, length(t, s, name("x1")))
}
