package pybuilder_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas/builder/internal/instance"
)

var wordCount = map[string]string{"main.py": `
def handle(event, context):
    return {"words": len(event.split())}
`}

// BenchmarkColdStart is from exec to the answer to the first request, which needs JSON.
func BenchmarkColdStart(b *testing.B) {
	dir, a, err := build(b, newBuilder(b, nil), wordCount)
	require.NoError(b, err)
	for b.Loop() {
		in := instance.Start(b, dir, a)
		_, _, err := in.Post(b.Context(), "text/plain", "one two")
		require.NoError(b, err)
	}
}

// BenchmarkReady is from exec to the answer to "OPTIONS *".
func BenchmarkReady(b *testing.B) {
	dir, a, err := build(b, newBuilder(b, nil), wordCount)
	require.NoError(b, err)
	for b.Loop() {
		instance.Start(b, dir, a)
	}
}

// BenchmarkInterpreter is the least that any Python function needs: the interpreter alone.
func BenchmarkInterpreter(b *testing.B) {
	_, err := exec.LookPath("python3")
	require.NoError(b, err)
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable, end='')").Output()
	require.NoError(b, err)
	for b.Loop() {
		require.NoError(b, exec.Command(string(out), "-IBSXutf8", "-c", "pass").Run())
	}
}

// BenchmarkWarm is a request to a running instance over one connection.
func BenchmarkWarm(b *testing.B) {
	in := start(b, wordCount)
	for b.Loop() {
		_, _, err := in.Post(b.Context(), "text/plain", "one two")
		require.NoError(b, err)
	}
}
