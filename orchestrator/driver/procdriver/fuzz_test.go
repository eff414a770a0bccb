//go:build linux

package procdriver_test

import (
	"testing"

	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

// A process may call itself what it likes.
func FuzzStat(f *testing.F) {
	const rest = ") S 7 8 9 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0"
	f.Add("sh")
	f.Add("a) Z 1 1 1 (b")
	f.Add("\n\x00)(")
	f.Fuzz(func(t *testing.T, name string) {
		ppid, session, zombie, ok := procdriver.ParseStat([]byte("42 (" + name + rest))
		if !ok || ppid != 7 || session != 9 || zombie {
			t.Errorf("%q: parent %d, session %d, zombie %v, ok %v", name, ppid, session, zombie, ok)
		}
		procdriver.ParseStat([]byte(name)) // must not panic
	})
}
