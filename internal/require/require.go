// Package require lets a test need something of the machine, such as a Python
// interpreter, without failing where it is missing and without ever being skipped unseen
// where it must be there: the environment variable JOINERY_REQUIRE lists what must be there.
//
//	require.Engine(t, "python", err == nil, "no python3 on the PATH")
package require

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Env names the environment variable: a comma-separated list of engines.
const Env = "JOINERY_REQUIRE"

// Engine returns when the engine is available. Otherwise it skips the test with the reason, in
// one line, or fails it when JOINERY_REQUIRE contains the name.
func Engine(tb testing.TB, name string, available bool, reason string) {
	tb.Helper()
	if available {
		return
	}
	required := strings.FieldsFunc(os.Getenv(Env), func(r rune) bool { return r == ',' || r == ' ' })
	if slices.Contains(required, name) {
		tb.Fatalf("%s requires %s, which is missing: %s", Env, name, reason)
	}
	tb.Skipf("needs %s: %s", name, reason)
}
