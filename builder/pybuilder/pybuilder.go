// Package pybuilder builds Python 3 functions: a builder.Builder (F2 of the SPEC-RG
// reference architecture) around a real interpreter, CPython 3.9 or later. The result is a
// directory with the sources and their dependencies, all compiled, and an executable that
// serves the contract "http-inherit" with nothing but the interpreter's own modules.
//
//	py, err := pybuilder.New(nil)
//	p, err := builder.NewPipeline(builder.PipelineConfig{
//		Builders: map[string]builder.Builder{"python": py}, Code: code, Registry: reg,
//	})
//
// # The source
//
// A file main.py or handler.py (Options.Entry says otherwise) with
//
//	def handle(event, context):
//		return {"words": len(event.split())}
//
// event is the request's body: parsed where the content type is JSON, a str where it is
// text/*, else bytes. context has function, revision, request_id, deadline (seconds since the
// epoch, or None), remaining(), method, path, query and headers (names in lower case). A result of
// None is an empty answer, str is text, bytes are an octet stream, a dict with the key "statusCode" is
// {"statusCode", "headers", "body"}, and anything else is JSON. An exception is answered with 500
// and {"errorType", "errorMessage"}; its traceback goes to stderr. Each connection has a thread, so a
// function with Spec.Concurrency above 1 must be safe for threads. Bodies are at most 64 MiB.
//
// The interpreter runs isolated (-I -S): no site-packages of the machine, no PYTHON* variables, no
// .pth files. Modules are looked for in the source, then in the standard library, then in the dependencies.
//
// # Dependencies
//
// requirements.txt is a lock file: every line is name==version, with --hash if you like. The wheels
// come from the directory wheels in the source and nowhere else. Without that directory, and only
// with Options.Index, they come from that index, and then every package needs its hashes. Source
// distributions are never built: nothing of the source runs while it is built.
//
// # The interpreter
//
// New finds it and asks it for its real path (past pyenv's and others' shims), which is written into the
// artifact's first line: the function runs where that interpreter is at that path.
//
// # Errors
//
// As builder.Builder says; New returns ErrUnimplemented when there is no usable interpreter.
package pybuilder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/internal/tool"
)

const component = "python builder"

// maxInterpreter keeps the first line of a script within what Linux reads of it
// (BINPRM_BUF_SIZE, 127 bytes before 5.1).
const maxInterpreter = 127 - len("#! -IBSXutf8\n")

//go:embed runtime/*
var runtime embed.FS

func file(name string) string {
	b, err := runtime.ReadFile("runtime/" + name)
	if err != nil {
		panic(err) // embedded at compile time
	}
	return string(b)
}

// Options of New; nil means the defaults.
type Options struct {
	// Python is the interpreter. Empty: python3 on the PATH.
	Python string
	// Entry is "module:function", for instance "app.api:handle". Empty: the function
	// handle in main.py or, where there is none, in handler.py.
	Entry string
	// Index is the URL of a package index. Empty: dependencies must be vendored.
	Index string
	// Env is further environment for pip, for instance HTTPS_PROXY.
	Env map[string]string
}

// Builder builds Python functions. Safe for concurrent use.
type Builder struct {
	python      interpreter
	module, fn  string // of Options.Entry; module "" means the usual ones
	index       string
	env         map[string]string
	fingerprint string
}

var _ builder.Builder = (*Builder)(nil)

// interpreter is what probe.py prints.
type interpreter struct {
	Executable     string `json:"executable"`
	Version        [3]int `json:"version"`
	Full           string `json:"full"`
	Implementation string `json:"implementation"`
	CacheTag       string `json:"cache_tag"`
	Pip            string `json:"pip"`
}

var entryRule = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*):([A-Za-z_][A-Za-z0-9_]*)$`)

// New finds the interpreter and asks it what it is. Errors: ErrUnimplemented (there is none, or it is
// too old), ErrInvalidArgument (an option breaks a rule).
func New(o *Options) (*Builder, error) {
	if o == nil {
		o = &Options{}
	}
	b := &Builder{fn: "handle", index: o.Index, env: o.Env}
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, faas.Errorf(component, "new", field, faas.ErrInvalidArgument, format, args...))
	}
	if o.Entry != "" {
		if m := entryRule.FindStringSubmatch(o.Entry); m != nil {
			b.module, b.fn = m[1], m[2]
		} else {
			bad("Entry", `%q is not "module:function"`, o.Entry)
		}
	}
	if o.Index != "" {
		if u, err := url.Parse(o.Index); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			bad("Index", "is not an http or https URL")
		}
	}
	for k, v := range o.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			bad("Env", "%q is not the name of a variable, or its value has a NUL byte", k)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := b.probe(o.Python); err != nil {
		return nil, err
	}
	h := sha256.New()
	for _, name := range []string{"_joinery_function.py", "start.txt", "compile.py"} {
		h.Write([]byte(file(name)))
	}
	b.fingerprint = fmt.Sprintf("pybuilder 1, %s at %s, pip %s, entry %q, index %q, runtime %x",
		b.python.Full, b.python.Executable, b.python.Pip, o.Entry, o.Index, h.Sum(nil)[:8])
	return b, nil
}

// probe finds the interpreter's real path and version.
func (b *Builder) probe(name string) error {
	missing := func(format string, args ...any) error {
		e := faas.Errorf(component, "new", "Python", faas.ErrUnimplemented, format, args...)
		e.Next = "install Python 3.9 or later, or set Options.Python"
		return e
	}
	if name == "" {
		name = "python3"
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return missing("there is no Python interpreter: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// With the user's environment: a shim needs it to find the interpreter.
	out, err := exec.CommandContext(ctx, found, "-I", "-c", file("probe.py")).Output()
	if err == nil {
		err = json.Unmarshal(out, &b.python)
	}
	py := b.python
	switch {
	case err != nil:
		return missing("%s does not work: %w", found, err)
	case py.Implementation != "cpython" || py.Version[0] != 3 || py.Version[1] < 9:
		return missing("%s is %s %v", found, py.Implementation, py.Version)
	case !filepath.IsAbs(py.Executable):
		return missing("%s does not know its own path", found)
	case len(py.Executable) > maxInterpreter || strings.ContainsAny(py.Executable, " \t\n"):
		return missing("the path %q has a space or more than %d bytes, which the first line of a script cannot carry", py.Executable, maxInterpreter)
	}
	return nil
}

// Fingerprint implements builder.Builder: the interpreter, pip, the options and this package.
func (b *Builder) Fingerprint(context.Context) (string, error) { return b.fingerprint, nil }

// command runs the interpreter with cwd as its working directory.
func (b *Builder) command(job builder.Job, op string, args ...string) *tool.Cmd {
	return &tool.Cmd{Op: op, Path: b.python.Executable, Args: args, Dir: job.Temp, Log: job.Log,
		Env: tool.Environ(map[string]string{
			"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": job.Temp, "TMPDIR": job.Temp, "LANG": "C.UTF-8",
			"PIP_CONFIG_FILE": "/dev/null", "PYTHONHASHSEED": "0",
		}, b.env)}
}

// run runs a script that reads JSON and prints JSON.
func (b *Builder) run(ctx context.Context, op, script string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return faas.Errorf(component, op, "", faas.ErrInternal, "%w", err)
	}
	var printed bytes.Buffer
	c := &tool.Cmd{Op: op, Path: b.python.Executable, Args: []string{"-I", "-S", "-B", "-c", script},
		Dir: "/", Env: []string{"LANG=C.UTF-8"}, Stdin: bytes.NewReader(text), Stdout: &printed}
	if err := c.Run(ctx); err != nil {
		if errors.Is(err, faas.ErrInvalidArgument) { // it reports faults of the source in what it prints
			return faas.Errorf(component, op, "", faas.ErrInternal, "%w", err)
		}
		return err
	}
	if err := json.Unmarshal(printed.Bytes(), out); err != nil {
		return faas.Errorf(component, op, "", faas.ErrInternal, "%w", err)
	}
	return nil
}
