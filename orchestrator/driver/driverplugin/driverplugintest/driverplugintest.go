// Package driverplugintest puts a driver where its users will find it, for the conformance
// kit: on the other side of the wire, and in a process of its own.
//
//	func TestConformance(t *testing.T)       { drivertest.Run(t, h) }
//	func TestConformancePiped(t *testing.T)  { drivertest.Run(t, driverplugintest.Piped(h)) }
//	func TestConformanceBinary(t *testing.T) { drivertest.Run(t, driverplugintest.Binary(h, path, nil)) }
//
// A driver that keeps its contract in the first position and loses it in another has a value
// that does not survive the wire, or something that only exists in its own process.
package driverplugintest

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/drivertest"
)

// Piped returns a harness whose drivers are those of h behind a gRPC pipe in one process.
func Piped(h drivertest.Harness) drivertest.Harness {
	open := h.Open
	h.Open = func(tb testing.TB) driver.Driver {
		d, err := driverplugin.Pipe(tb.Context(), open(tb))
		if err != nil {
			tb.Fatalf("driverplugintest: %v", err)
		}
		return d
	}
	return h
}

// Binary returns a harness whose drivers are those of the plugin at path, each a process of
// its own. Of h it takes everything but Open and Crash. o is for driverplugin.Open; nil is allowed.
func Binary(h drivertest.Harness, path string, o *driverplugin.Options) drivertest.Harness {
	h.Open = func(tb testing.TB) driver.Driver {
		d, err := driverplugin.Open(tb.Context(), path, o)
		if err != nil {
			tb.Fatalf("driverplugintest: %v", err)
		}
		return d
	}
	h.Crash = func(tb testing.TB, d driver.Driver) driver.Driver {
		if err := d.(*driverplugin.Plugin).Detach(); err != nil { // by SIGKILL
			tb.Fatalf("driverplugintest: %v", err)
		}
		return h.Open(tb)
	}
	return h
}

// Build builds the plugin of a package, "." or what else go build takes, and returns its path.
func Build(tb testing.TB, pkg string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "plugin")
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		tb.Fatalf("driverplugintest: build %s: %v\n%s", pkg, err, out)
	}
	return path
}
