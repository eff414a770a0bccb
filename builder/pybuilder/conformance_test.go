package pybuilder_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/buildertest"
	"github.com/joinery/faas/builder/internal/instance"
	"github.com/joinery/faas/builder/pybuilder"
)

// wheel makes a wheel by hand (PEP 427): a zip with one module and its metadata.
func wheel(tb testing.TB, name, version, code string) string {
	tb.Helper()
	info := name + "-" + version + ".dist-info/"
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	record := ""
	for _, f := range [][2]string{
		{name + ".py", code},
		{info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	} {
		e, err := w.Create(f[0])
		require.NoError(tb, err)
		_, err = e.Write([]byte(f[1]))
		require.NoError(tb, err)
		record += f[0] + ",,\n"
	}
	e, err := w.Create(info + "RECORD")
	require.NoError(tb, err)
	_, err = e.Write([]byte(record + info + "RECORD,,\n"))
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return buf.String()
}

const greeter = `
import greetings


def handle(event, context):
    return greetings.greet(event)
`

const greetings = `
def greet(name):
    return "Hello, %s!" % name
`

func TestConformance(t *testing.T) { buildertest.Run(t, harness(t)) }

// TestConformanceWrapped: a wrapper that hands on the contract and nothing else keeps it.
func TestConformanceWrapped(t *testing.T) {
	h := harness(t)
	direct, other := h.New, h.Other
	h.New = func(tb testing.TB) builder.Builder { return wrapped{direct(tb)} }
	h.Other = func(tb testing.TB) builder.Builder { return wrapped{other(tb)} }
	buildertest.Run(t, h)
}

type wrapped struct{ builder.Builder }

func BenchmarkBuilder(b *testing.B) { buildertest.Bench(b, harness(b)) }

func harness(tb testing.TB) buildertest.Harness {
	newBuilder(tb, nil)                                                                                // on a machine without Python nothing of this can run
	python, err := exec.Command("python3", "-c", "import sys; print(sys.executable, end='')").Output() // past slow shims
	require.NoError(tb, err)
	return buildertest.Harness{
		New:   func(tb testing.TB) builder.Builder { return newBuilder(tb, &pybuilder.Options{Python: string(python)}) },
		Other: func(tb testing.TB) builder.Builder { return newBuilder(tb, &pybuilder.Options{Entry: "app:run"}) },
		Good: source(map[string]string{
			"main.py": greeter, "greetings/__init__.py": "from .words import greet\n", "greetings/words.py": greetings,
			"__pycache__/main.cpython-311.pyc": "stale", "data.txt": "kept",
		}),
		Start: func(tb testing.TB, dir string, a builder.Artifact) buildertest.Call {
			in := instance.Start(tb, dir, a)
			return func(ctx context.Context, request string) (string, error) {
				_, answer, err := in.Post(ctx, "text/plain", request)
				return answer, err
			}
		},
		Request: "Ada", Answer: "Hello, Ada!",
		Invalid: source(map[string]string{
			"main.py": "def handle(event):\n    return 1\n", "other.py": "x = (\n", "third.py": "def f():\nreturn 2\n",
			"requirements.txt": "somelib>=1\ngit+https://example.com/x\n",
		}),
		Faults: []string{
			"main.py:1", "does not take two arguments", "other.py:1", "third.py:2", `"somelib>=1"`, "git+https", `no directory "wheels"`,
		},
		Broken: source(map[string]string{
			"main.py": greeter, "requirements.txt": "greetings==1.0\n", "wheels/greetings-1.0-py3-none-any.whl": "not a zip",
		}),
		BrokenText: "greetings",
		Missing: source(map[string]string{
			"main.py": greeter, "requirements.txt": "nowhere==1.0\n",
			"wheels/greetings-1.0-py3-none-any.whl": wheel(tb, "greetings", "1.0", greetings),
		}),
		MissingText: "nowhere",
	}
}

func TestVendoredWheel(t *testing.T) {
	whl := wheel(t, "greetings", "1.0", greetings)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(whl)))
	files := map[string]string{
		"main.py": greeter, "wheels/greetings-1.0-py3-none-any.whl": whl,
		"requirements.txt": "# locked\n--require-hashes\ngreetings==1.0 \\\n    --hash=sha256:" + sum + "  # by hand\n",
	}
	in := start(t, files)
	_, answer, err := in.Post(t.Context(), "text/plain", "Grace")
	require.NoError(t, err)
	assert.Equal(t, "Hello, Grace!", answer)

	files["requirements.txt"] = "greetings==1.0 --hash=sha256:" + fmt.Sprintf("%064d", 0) + "\n"
	_, _, err = build(t, newBuilder(t, nil), files)
	require.ErrorIs(t, err, faas.ErrInvalidArgument, "a wheel that does not match its hash")
	assert.ErrorContains(t, err, "HASH")
}

func TestIndex(t *testing.T) {
	whl := wheel(t, "greetings", "1.0", greetings)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(whl)))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /simple/greetings/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!DOCTYPE html><html><body><a href="/f/greetings-1.0-py3-none-any.whl#sha256=%s">x</a></body></html>`, sum)
	})
	mux.HandleFunc("GET /f/greetings-1.0-py3-none-any.whl", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(whl)) })
	index := httptest.NewServer(mux)
	defer index.Close()

	files := map[string]string{"main.py": greeter, "requirements.txt": "greetings==1.0 --hash=sha256:" + sum + "\n"}
	_, _, err := build(t, newBuilder(t, nil), files)
	require.ErrorIs(t, err, faas.ErrInvalidArgument, "no index unless the embedder names one")

	b := newBuilder(t, &pybuilder.Options{Index: index.URL + "/simple/"})
	dir, a, err := build(t, b, files)
	require.NoError(t, err)
	_, answer, err := instance.Start(t, dir, a).Post(t.Context(), "text/plain", "Alan")
	require.NoError(t, err)
	assert.Equal(t, "Hello, Alan!", answer)

	files["requirements.txt"] = "greetings==1.0\n"
	_, _, err = build(t, b, files)
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.ErrorContains(t, err, "--hash")
}
