package testcall

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Limits are proofs that limits bite, for drivertest.Harness. start starts the test function with limits; milliCPU is
// the proof that the function cannot give of itself.
func Limits(start func(tb testing.TB, d driver.Driver, l faas.Resources) driver.Endpoint, milliCPU func(tb testing.TB, d driver.Driver)) map[string]func(tb testing.TB, d driver.Driver) {
	return map[string]func(tb testing.TB, d driver.Driver){
		"milliCPU": milliCPU,
		"memory": func(tb testing.TB, d driver.Driver) {
			memory(tb, start(tb, d, faas.Resources{Memory: 64 << 20}))
		},
		"pids": func(tb testing.TB, d driver.Driver) {
			pids(tb, start(tb, d, faas.Resources{Pids: 40}))
		},
		"files": func(tb testing.TB, d driver.Driver) {
			files(tb, start(tb, d, faas.Resources{Files: 32}))
		},
		"fileSize": func(tb testing.TB, d driver.Driver) {
			fileSize(tb, start(tb, d, faas.Resources{FileSize: 1 << 20}))
		},
	}
}

func memory(tb testing.TB, e driver.Endpoint) {
	if got := MustGet(tb, e, "/alloc?mb=16"); got != "16" {
		tb.Errorf("16 MiB of 64 are refused: %q", got)
	}
	if got, err := Get(tb, e, "/alloc?mb=256"); err == nil {
		tb.Errorf("256 MiB of 64 are given: %q", got)
	}
}

func pids(tb testing.TB, e driver.Endpoint) {
	body, err := Get(tb, e, "/fork-bomb?max=100")
	if err != nil {
		return // it could not even get the threads to answer with
	}
	if n := number(tb, body); n >= 40 {
		tb.Errorf("%d children, with a limit of 40", n)
	}
}

func files(tb testing.TB, e driver.Endpoint) {
	if n := number(tb, MustGet(tb, e, "/open?n=100")); n <= 10 || n >= 32 {
		tb.Errorf("%d files, with a limit of 32", n)
	}
}

func fileSize(tb testing.TB, e driver.Endpoint) {
	if got := MustGet(tb, e, "/write?bytes=1048576"); got != "written" {
		tb.Errorf("1 MiB of 1 is refused: %q", got)
	}
	body, err := Get(tb, e, "/write?bytes=1048577")
	if err == nil && !strings.Contains(body, syscall.EFBIG.Error()) { // SIGXFSZ kills programs that do not ignore it
		tb.Errorf("one byte more: %q", body)
	}
}

func number(tb testing.TB, text string) int {
	tb.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}
