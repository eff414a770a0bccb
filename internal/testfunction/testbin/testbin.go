// Package testbin builds the test function for the tests that start it.
//
//	bin := testbin.Build(t)
//	st, err := d.Start(ctx, driver.Task{ID: "i1", Contract: faas.ContractInherit, Command: []string{bin}})
package testbin

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const program = "github.com/joinery/faas/internal/testfunction"

var build = sync.OnceValues(buildProgram)

// Path returns the path of the test function, for programs that are no tests.
func Path() (string, error) { return build() }

// Build returns the path of the test function, a static binary. It is built once
// for each state of its sources and kept in the temporary directory. tb is failed when
// it cannot be built.
func Build(tb testing.TB) string {
	tb.Helper()
	bin, err := Path()
	if err != nil {
		tb.Fatalf("testbin: build the test function: %v", err)
	}
	return bin
}

func buildProgram() (string, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", program).Output()
	if err != nil {
		return "", fmt.Errorf("find its sources: %w", err)
	}
	src := strings.TrimSpace(string(out))
	key, err := sourceKey(src)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("joinery-testfunction-%d", os.Getuid()))
	bin := filepath.Join(dir, key)
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Under a name of its own first: another test process may build it at the same time.
	tmp := fmt.Sprintf("%s.%d", bin, os.Getpid())
	defer os.Remove(tmp)
	c := exec.Command("go", "build", "-trimpath", "-o", tmp, ".")
	c.Dir = src
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return bin, os.Rename(tmp, bin)
}

// sourceKey names the state of the sources and of the compiler.
func sourceKey(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, filepath.Base(f), len(text))
		h.Write(text)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}
