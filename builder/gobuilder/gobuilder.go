// Package gobuilder builds Go functions: a builder.Builder (F2 of the SPEC-RG reference
// architecture) around a real `go build`. The result is one static binary, built the same way to
// the same bytes everywhere: CGO_ENABLED=0, -trimpath, no build id, no version-control stamp.
//
//	gob, err := gobuilder.New(nil)
//	p, err := builder.NewPipeline(builder.PipelineConfig{
//		Builders: map[string]builder.Builder{"go": gob}, Code: code, Registry: reg,
//	})
//
// # Two forms of source
//
// The package at the root of the source is either
//
//   - package main, built as it is. It serves HTTP/1.1 on 127.0.0.1:$PORT: the contract is
//     "http". A program that serves another contract says so in builder.Request.Spec.Contract.
//   - a package of any other name that exports
//     func Handler(w http.ResponseWriter, r *http.Request)
//     which is Fission's signature. A small main is generated around it that serves on the
//     listener it inherits, else on $SOCKET, else on 127.0.0.1:$PORT, gives the request's context
//     the deadline of the X-Request-Deadline field (milliseconds since the Unix epoch), and
//     drains on SIGTERM. The contract is "http-inherit": the fastest start.
//
// # Dependencies
//
// A source with a vendor directory is built from it. Without one, modules come from the module
// cache, and from the network only where Options.Env sets GOPROXY: it is "off" otherwise. A
// source without go.mod may import the standard library alone. Replacements by a local path
// must stay inside the source. The go command runs nothing of the source: no cgo, no go
// generate, no toolchain switch. It is no sandbox: compiler and assembler read with the rights of
// the platform, so build the sources of strangers in a container.
//
// # Errors
//
// As builder.Builder says; New returns ErrUnimplemented when there is no go command.
package gobuilder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/internal/tool"
)

const component = "go builder"

// Options of New; nil means the defaults.
type Options struct {
	// Go is the go command. Empty: the one on the PATH.
	Go string
	// Cache is the build cache (GOCACHE). Empty: the user's own. A build trusts what is in it.
	Cache string
	// ModCache is the module cache (GOMODCACHE). Empty: the user's own.
	ModCache string
	// Env is further environment for the go command and wins over everything that this
	// package sets, for instance {"GOPROXY": "https://proxy.example.com"}.
	Env map[string]string
}

// Builder builds Go functions. Safe for concurrent use.
type Builder struct {
	gocmd       string
	env         map[string]string
	target      goEnv
	fingerprint string
}

var _ builder.Builder = (*Builder)(nil)

type goEnv struct{ GOVERSION, GOOS, GOARCH, GOCACHE, GOMODCACHE, GOROOT string }

// New finds the go command and asks it for its version. Errors: ErrUnimplemented (there is none),
// ErrInvalidArgument (an option breaks a rule).
func New(o *Options) (*Builder, error) {
	if o == nil {
		o = &Options{}
	}
	var errs []error
	for field, dir := range map[string]string{"Cache": o.Cache, "ModCache": o.ModCache} {
		if dir != "" && !filepath.IsAbs(dir) {
			errs = append(errs, faas.Errorf(component, "new", field, faas.ErrInvalidArgument, "%q is not an absolute path", dir))
		}
	}
	for k, v := range o.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			errs = append(errs, faas.Errorf(component, "new", "Env", faas.ErrInvalidArgument, "%q is not the name of a variable, or its value has a NUL byte", k))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	name := o.Go
	if name == "" {
		name = "go"
	}
	gocmd, err := exec.LookPath(name)
	if err == nil {
		gocmd, err = filepath.Abs(gocmd)
	}
	if err != nil {
		e := faas.Errorf(component, "new", "Go", faas.ErrUnimplemented, "there is no go command: %w", err)
		e.Next = "install Go (https://go.dev/dl) or set Options.Go"
		return nil, e
	}
	b := &Builder{gocmd: gocmd}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	asked, err := exec.CommandContext(ctx, gocmd, "env", "-json").Output() // with the user's environment, to find the caches
	if err == nil {
		err = json.Unmarshal(asked, &b.target)
	}
	if err != nil {
		return nil, faas.Errorf(component, "new", gocmd, faas.ErrUnimplemented, "the go command does not work: %w", err)
	}
	b.env = map[string]string{
		"PATH": filepath.Dir(gocmd) + ":/usr/local/bin:/usr/bin:/bin", "GOCACHE": b.target.GOCACHE, "GOMODCACHE": b.target.GOMODCACHE,
		"GOOS": b.target.GOOS, "GOARCH": b.target.GOARCH, "CGO_ENABLED": "0",
		"GO111MODULE": "on", "GOENV": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off",
		"GOPROXY": "off", "GOVCS": "*:off",
	}
	if o.Cache != "" {
		b.env["GOCACHE"] = o.Cache
	}
	if o.ModCache != "" {
		b.env["GOMODCACHE"] = o.ModCache
	}
	maps.Copy(b.env, o.Env)
	b.target.GOOS, b.target.GOARCH = b.env["GOOS"], b.env["GOARCH"]
	b.fingerprint = fmt.Sprintf("gobuilder 1, %s %s/%s, %q, %q", b.target.GOVERSION, b.target.GOOS, b.target.GOARCH, settings(o.Env), mainSource)
	return b, nil
}

// settings are the variables in a fixed order.
func settings(env map[string]string) []string {
	list := tool.Environ(env)
	slices.Sort(list)
	return list
}

// Fingerprint implements builder.Builder: the versions of this package and of Go, the
// target system, Options.Env.
func (b *Builder) Fingerprint(context.Context) (string, error) { return b.fingerprint, nil }

// Validate implements builder.Builder. It parses the package at the root.
func (b *Builder) Validate(ctx context.Context, src fs.FS) error {
	if ctx.Err() != nil {
		return faas.ContextError(ctx, component, "validate", "")
	}
	_, err := b.inspect(src)
	return err
}

// Resolve implements builder.Builder: it finds every package that the build needs.
func (b *Builder) Resolve(ctx context.Context, job builder.Job) error {
	pkg, err := b.prepare(ctx, job)
	if err != nil || pkg.vendored || !pkg.requires {
		return err
	}
	var list bytes.Buffer
	c := b.command(job, "resolve", "list", "-deps", "./"+pkg.dir)
	c.Stdout = &list // the packages; of no interest unless one is missing
	if err := c.Run(ctx); err != nil {
		var e *faas.Error
		if errors.As(err, &e) && errors.Is(err, faas.ErrInvalidArgument) {
			e.Next = "vendor the dependencies (go mod vendor), or let the builder fetch them (GOPROXY in Options.Env)"
		}
		return err
	}
	return nil
}

// Build implements builder.Builder.
func (b *Builder) Build(ctx context.Context, job builder.Job) (builder.Artifact, error) {
	pkg, err := b.prepare(ctx, job)
	if err != nil {
		return builder.Artifact{}, err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", filepath.Join(job.Output, "function")}
	if pkg.vendored {
		args = append(args, "-mod=vendor")
	}
	c := b.command(job, "build", append(args, "./"+pkg.dir)...)
	c.Env = append(c.Env, "GOPROXY=off") // the last one wins: Resolve had the network
	if err := c.Run(ctx); err != nil {
		return builder.Artifact{}, err
	}
	a := builder.Artifact{Contract: faas.ContractInherit, Command: []string{"./function"}}
	if pkg.isMain {
		a.Contract = faas.ContractHTTP
	}
	return a, nil
}

func (b *Builder) command(job builder.Job, op string, args ...string) *tool.Cmd {
	// No HOME: the go command has a place for its telemetry there, and a process that looks after
	// it in a session of its own, which would outlive the build.
	private := map[string]string{"TMPDIR": job.Temp, "GOTMPDIR": job.Temp, "GOPATH": job.Temp, "PWD": job.Source}
	return &tool.Cmd{
		Op: op, Path: b.gocmd, Args: args, Dir: job.Source, Log: job.Log,
		Env: tool.Environ(private, b.env),
	}
}
