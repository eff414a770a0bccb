package buildertest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/joinery/faas"
)

// patience is how long something that must happen may take on a busy machine.
const patience = 30 * time.Second

// checkLog: the tools' output reaches the log, and none of it after the end.
func checkLog(tb testing.TB, h Harness) {
	b := h.New(tb)
	w := newWorkplace(tb, h.Broken)
	if _, err := w.run(tb.Context(), b); err == nil {
		tb.Fatal("a broken source builds")
	}
	w.log.end()
	if !strings.Contains(w.log.String(), h.BrokenText) {
		tb.Errorf("the log does not say %q:\n%s", h.BrokenText, w.log)
	}
	mustBuild(tb, b, h.Good) // time for what comes late
	if n := w.log.writesAfterEnd(); n > 0 {
		tb.Errorf("%d writes to the log after the end of the build", n)
	}
}

// checkCancelledBefore: nothing begins when the context has ended.
func checkCancelledBefore(tb testing.TB, h Harness) {
	b := h.New(tb)
	cancelled, cancel := context.WithCancel(tb.Context())
	cancel()
	late, cancel := context.WithDeadline(tb.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for class, ctx := range map[error]context.Context{faas.ErrCanceled: cancelled, faas.ErrTimeout: late} {
		w := newWorkplace(tb, h.Good)
		if err := b.Validate(ctx, h.Good); !errors.Is(err, class) {
			tb.Errorf("Validate = %v, want %v", err, class)
		}
		if _, err := b.Build(ctx, w.Job); !errors.Is(err, class) {
			tb.Errorf("Build = %v, want %v", err, class)
		}
	}
}

// checkCancel: a build that is cancelled while its tools run ends soon, with the class, and with it
// everything that it started.
func checkCancel(tb testing.TB, h Harness) {
	b := h.New(tb)
	if runtime.GOOS != "linux" {
		tb.Skip("needs /proc")
	}
	const attempts = 20
	for range attempts { // a build that was quicker than the cancel proves nothing
		w := newWorkplace(tb, h.Good)
		ctx, cancel := context.WithCancel(tb.Context())
		done := make(chan error, 1)
		go func() {
			_, err := w.run(ctx, b)
			done <- err
		}()
		err := error(nil)
		returned := false
		for !returned && len(processes(w.root)) == 0 {
			select {
			case err = <-done:
				returned = true
			default:
				runtime.Gosched()
			}
		}
		cancel()
		if !returned {
			select {
			case err = <-done:
			case <-time.After(patience):
				tb.Fatalf("a cancelled build goes on after %v", patience)
			}
		}
		if left := processes(w.root); len(left) > 0 {
			tb.Fatalf("a cancelled build has left processes: %v", left)
		}
		switch {
		case errors.Is(err, faas.ErrCanceled):
			return
		case err != nil:
			tb.Fatalf("a cancelled build: %v, want ErrCanceled", err)
		}
	}
	tb.Errorf("%d builds were cancelled while they ran a tool, and none noticed", attempts)
}

// processes are the processes that work in the directory or have it in their environment: what
// a build started there. Always none where there is no /proc.
func processes(dir string) (found []string) {
	if runtime.GOOS != "linux" {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		if name := e.Name(); name[0] < '0' || name[0] > '9' {
			continue
		}
		proc := filepath.Join("/proc", e.Name())
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		env, _ := os.ReadFile(filepath.Join(proc, "environ"))
		if strings.HasPrefix(cwd, dir) || strings.Contains(string(env), dir) {
			cmd, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
			found = append(found, e.Name()+" "+strings.ReplaceAll(string(cmd), "\x00", " "))
		}
	}
	return found
}

// checkPrivate: a build writes below its own directories and nowhere else.
func checkPrivate(tb testing.TB, h Harness) {
	b := h.New(tb) // finds the user's caches in the real environment
	home, cwd, tmp := tb.TempDir(), tb.TempDir(), tb.TempDir()
	tb.Setenv("HOME", home)
	tb.Setenv("TMPDIR", tmp)
	tb.Chdir(cwd)
	w := newWorkplace(tb, h.Good)
	if _, err := w.run(tb.Context(), b); err != nil {
		tb.Fatalf("a good source does not build: %v\n%s", err, w.log)
	}
	for what, dir := range map[string]string{
		"the home directory": home, "the working directory": cwd, "the shared temporary directory": tmp,
	} {
		if names := tree(tb, dir); len(names) > 0 {
			tb.Errorf("the build has written to %s: %v", what, names)
		}
	}
	entries, err := os.ReadDir(w.root)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n != "source" && n != "output" && n != "temp" {
			tb.Errorf("the build has written %q beside its directories", n)
		}
	}
}

// tree lists what is below a directory.
func tree(tb testing.TB, dir string) (names []string) {
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && name != "." {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return names
}
