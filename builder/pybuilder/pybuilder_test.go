package pybuilder_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/internal/instance"
	"github.com/joinery/faas/builder/pybuilder"
	"github.com/joinery/faas/internal/archive"
	machine "github.com/joinery/faas/internal/require"
)

var shared = sync.OnceValues(func() (*pybuilder.Builder, error) { return pybuilder.New(nil) })

// newBuilder returns a builder, on a machine that has Python; nil options share one.
func newBuilder(tb testing.TB, o *pybuilder.Options) *pybuilder.Builder {
	tb.Helper()
	b, err := shared()
	machine.Engine(tb, "python", err == nil, fmt.Sprint(err))
	if o != nil {
		b, err = pybuilder.New(o)
		require.NoError(tb, err)
	}
	return b
}

func source(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// build runs all three steps and returns where the code is.
func build(tb testing.TB, b builder.Builder, files map[string]string) (string, builder.Artifact, error) {
	tb.Helper()
	src := source(files)
	job := builder.Job{Source: tb.TempDir() + "/source", Output: tb.TempDir(), Temp: tb.TempDir(), Log: io.Discard}
	require.NoError(tb, archive.CopyFS(context.Background(), src, job.Source, archive.Limits{}))
	if err := b.Validate(tb.Context(), src); err != nil {
		return "", builder.Artifact{}, err
	}
	if err := b.Resolve(tb.Context(), job); err != nil {
		return "", builder.Artifact{}, err
	}
	a, err := b.Build(tb.Context(), job)
	return job.Output, a, err
}

// start builds and starts a function.
func start(tb testing.TB, files map[string]string) *instance.Instance {
	tb.Helper()
	dir, a, err := build(tb, newBuilder(tb, nil), files)
	require.NoError(tb, err)
	return instance.Start(tb, dir, a)
}

func TestContextAndEvents(t *testing.T) {
	in := start(t, map[string]string{"handler.py": `
import sys

def handle(event, context):
    print("called", context.function)  # must reach the log at once
    return {
        "event": event if not isinstance(event, bytes) else "bytes:" + event.hex(),
        "context": [context.function, context.revision, context.request_id, context.deadline, context.method,
                    context.path, context.query, context.headers.get("x-mine")],
        "remaining": context.remaining() is not None and context.remaining() > 1,
    }
`})
	for _, c := range []struct{ contentType, body, event string }{
		{"application/json", `{"a": [1, 2.5, null, "\u00fc"]}`, `{"a": [1, 2.5, null, "ü"]}`},
		{"application/cloudevents+json; charset=utf-8", ` [1] `, `[1]`},
		{"application/json", "", `null`},
		{"text/plain; charset=utf-8", "grüezi", `"grüezi"`},
		{"text/plain", "\xff", `"bytes:ff"`},
		{"application/octet-stream", "\x00\x01", `"bytes:0001"`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://f/a/b%20c?x=1&y", strings.NewReader(c.body))
		require.NoError(t, err)
		req.Header = http.Header{"Content-Type": {c.contentType}, "X-Mine": {"1", "2"}, "X-Request-Id": {"r-1"}, "X-Request-Deadline": {"99999999999500"}}
		resp, err := in.Client.Do(req)
		require.NoError(t, err)
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
		assert.JSONEq(t, `{"event": `+c.event+`, "context": ["hello", "hello-7", "r-1", 99999999999.5, "PUT", "/a/b%20c", "x=1&y", "1, 2"], "remaining": true}`, string(answer))
	}
	assert.Contains(t, in.Output(), "called hello\n")

	for _, bad := range []string{"{", "NaN", "[1] [2]", "\xff"} {
		status, answer, err := in.Post(t.Context(), "application/json", bad)
		require.NoError(t, err)
		assert.Equal(t, 400, status, "%q: %s", bad, answer)
	}
}

func TestResults(t *testing.T) {
	in := start(t, map[string]string{"main.py": `
import sys

results = {
    "none": None, "str": "ü", "bytes": b"\x00", "list": [1], "dict": {"a": 1}, "number": 1.5, "bool": True,
    "created": {"statusCode": 201, "headers": {"X-A": "1", "Set-Cookie": ["a=1", "b=2"], "Content-Length": "99"}, "body": {"x": 1}},
    "teapot": {"statusCode": 418}, "html": {"statusCode": 200, "headers": {"content-type": "text/html"}, "body": "<p>"},
    "status": {"statusCode": 99}, "inject": {"statusCode": 200, "headers": {"X-A": "1\r\nX-B: 2"}}, "object": object(),
    "nan": float("nan"), "empty": {"statusCode": 204, "body": "nothing"},
}

def handle(event, context):
    if event == "raise":
        raise KeyError("the message")
    if event == "exit":
        sys.exit(3)
    return results[event]
`})
	for _, c := range []struct {
		event       string
		status      int
		contentType string
		body        string
	}{
		{"none", 200, "", ""},
		{"str", 200, "text/plain; charset=utf-8", "ü"},
		{"bytes", 200, "application/octet-stream", "\x00"},
		{"list", 200, "application/json", "[1]"},
		{"dict", 200, "application/json", `{"a": 1}`},
		{"number", 200, "application/json", "1.5"},
		{"bool", 200, "application/json", "true"},
		{"created", 201, "application/json", `{"x": 1}`},
		{"teapot", 418, "", ""},
		{"html", 200, "text/html", "<p>"},
		{"empty", 204, "text/plain; charset=utf-8", ""},
		{"status", 500, "application/json", `{"errorType": "ValueError", "errorMessage": "statusCode 99 is not a number from 200 to 599"}`},
		{"inject", 500, "application/json", `{"errorType": "ValueError", "errorMessage": "header 'X-A' has a value or a name that is not allowed"}`},
		{"object", 500, "application/json", `{"errorType": "TypeError", "errorMessage": "Object of type object is not JSON serializable"}`},
		{"nan", 500, "application/json", `{"errorType": "ValueError", "errorMessage": "Out of range float values are not JSON compliant`}, // and the value, in newer versions
		{"raise", 500, "application/json", `{"errorType": "KeyError", "errorMessage": "'the message'"}`},
		{"exit", 500, "application/json", `{"errorType": "SystemExit", "errorMessage": "3"}`},
	} {
		resp, err := in.Client.Post("http://f/", "text/plain", strings.NewReader(c.event))
		require.NoError(t, err, c.event)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, c.status, resp.StatusCode, c.event)
		assert.Equal(t, c.contentType, resp.Header.Get("Content-Type"), c.event)
		if c.status == 500 {
			assert.True(t, strings.HasPrefix(string(body), c.body), "%s: %s", c.event, body)
		} else {
			assert.Equal(t, c.body, string(body), c.event)
		}
		if c.event == "created" {
			assert.Equal(t, []string{"a=1", "b=2"}, resp.Header["Set-Cookie"])
			assert.EqualValues(t, len(body), resp.ContentLength)
		}
		assert.Empty(t, resp.Header.Get("X-B"))
	}
	assert.Contains(t, in.Output(), "KeyError: 'the message'", "the traceback goes to stderr")
	assert.Contains(t, in.Output(), "main.py")
}

func TestFaultsAtStart(t *testing.T) {
	for name, c := range map[string]struct {
		o     *pybuilder.Options
		files map[string]string
		part  string
	}{
		"no entry":   {nil, map[string]string{"app.py": "x = 1\n"}, `"main.py"`},
		"no handler": {nil, map[string]string{"main.py": "def other(e, c): pass\n"}, "has no function handle"},
		"async":      {nil, map[string]string{"main.py": "async def handle(e, c): pass\n"}, "is async"},
		"keyword":    {nil, map[string]string{"main.py": "def handle(e, c, *, k): pass\n"}, "two arguments"},
		"encoding":   {nil, map[string]string{"main.py": "x = \"\xff\"\ndef handle(e, c): pass\n"}, "utf-8"},
		"NUL":        {nil, map[string]string{"main.py": "def handle(e, c): pass\n\x00"}, "null bytes"},
		"deep":       {nil, map[string]string{"main.py": "x = " + strings.Repeat("(", 100_000) + "\n"}, "main.py"},
		"no module":  {&pybuilder.Options{Entry: "app.api:run"}, map[string]string{"main.py": ""}, `"app/api.py"`},
	} {
		_, _, err := build(t, newBuilder(t, c.o), c.files)
		require.ErrorIs(t, err, faas.ErrInvalidArgument, name)
		assert.ErrorContains(t, err, c.part, name)
	}
	for _, good := range []string{
		"def handle(event, context=None): pass", "def handle(*args): pass", "handle = lambda e, c: 1", "from other import handle",
		"try:\n    from a import handle\nexcept ImportError:\n    def handle(e, c): pass", "class handle:\n    def __init__(self, e, c): pass",
	} {
		require.NoError(t, newBuilder(t, nil).Validate(t.Context(), source(map[string]string{"main.py": good})), good)
	}
}

func TestEntry(t *testing.T) {
	b := newBuilder(t, &pybuilder.Options{Entry: "app.api:run"})
	dir, a, err := build(t, b, map[string]string{"app/__init__.py": "", "app/api.py": "def run(e, c): return 'ran'\n", "json.py": "raise SystemExit\n"})
	require.NoError(t, err)
	assert.Equal(t, builder.Artifact{Contract: faas.ContractInherit, Command: []string{"./start"}}, a)
	_, answer, err := instance.Start(t, dir, a).Post(t.Context(), "", "")
	require.NoError(t, err)
	assert.Equal(t, "ran", answer)
}

func TestOptionFaultsAreReportedAtOnce(t *testing.T) {
	_, err := pybuilder.New(&pybuilder.Options{Entry: "no colon", Index: "ftp://x", Env: map[string]string{"A=B": ""}})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, part := range []string{"Entry", "Index", "Env"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = pybuilder.New(&pybuilder.Options{Python: "/does/not/exist/python3"})
	require.ErrorIs(t, err, faas.ErrUnimplemented)
	assert.ErrorContains(t, err, "install Python")
	_, err = pybuilder.New(&pybuilder.Options{Python: "/bin/true"})
	require.ErrorIs(t, err, faas.ErrUnimplemented)
}

// runOnce runs the program without any socket until it ends.
func runOnce(tb testing.TB, dir, program string) (string, error) {
	tb.Helper()
	c := exec.Command(filepath.Join(dir, program))
	c.Env, c.Dir = []string{}, tb.TempDir()
	out, err := c.CombinedOutput()
	return string(out), err
}
