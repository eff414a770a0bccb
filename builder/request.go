package builder

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

const component = "builder"

// LabelBuild is the label under which a published function keeps the digest of everything that
// decided it: source, language, builder fingerprint and requested configuration. It is how a
// later build, also by another process, sees that nothing changed. Requests may not set it.
const LabelBuild = "joinery.build"

// Request asks for one build.
type Request struct {
	// Function is what to publish. Its Version must be empty: the registry numbers it.
	Function faas.Ref
	// Language chooses the builder: a key of PipelineConfig.Builders.
	Language string
	// Source is the function's source.
	Source Source
	// Spec is the configuration to publish: resources, concurrency, timeout, scale, env, ... Command
	// and Code are the builder's and must be empty. Contract, when not empty, wins over the
	// builder's choice: for a program that serves another one. Env wins over the builder's.
	Spec faas.Spec
	// Log receives the build log as it comes, from one goroutine at a time; nil means nowhere. A
	// write error ends the stream, not the build. Build does not return before the last write has:
	// a Log that blocks holds the build up, also past its timeout.
	Log io.Writer
}

// Result is the outcome of a build. That of a failed build has Steps and Log.
type Result struct {
	// Function is the published version; the existing one when Unchanged.
	Function faas.Function
	// Unchanged: the latest version was built from the same source, by the same builder, with
	// the same configuration. Nothing was published, and nothing built unless its code was lost.
	Unchanged bool
	// Code is what the code store keeps: a plain tar.
	Code registry.Blob
	// Steps are the steps that ran, in order, the last one perhaps failed.
	Steps []StepTime
	// Log is the end of the build log, at most PipelineConfig.MaxLog bytes.
	Log string
	// LogDropped is how many bytes of the log are missing before Log.
	LogDropped int64
}

// Step is one step of the building pattern.
type Step string

// The steps, in their order.
const (
	// StepOpen copies the source into the private directory and compares it with the latest version.
	StepOpen     Step = "open"
	StepValidate Step = "validate"
	StepResolve  Step = "resolve"
	StepBuild    Step = "build"
	StepPackage  Step = "package"
	StepStore    Step = "store"
	StepRegister Step = "register"
)

// StepTime is how long a step took.
type StepTime struct {
	Step     Step
	Duration time.Duration
}

// validate reports every fault of the request at once.
func (p *Pipeline) validate(req *Request) error {
	var errs []error
	bad := func(field string, class error, format string, args ...any) {
		errs = append(errs, faas.Errorf(component, "validate", field, class, format, args...))
	}
	if err := req.Function.Validate(); err != nil {
		errs = append(errs, err)
	}
	if req.Function.Version != "" {
		bad("function", faas.ErrInvalidArgument, "has the version %q; the registry numbers versions itself", req.Function.Version)
	}
	if _, ok := p.cfg.Builders[req.Language]; !ok {
		known := strings.Join(slices.Sorted(maps.Keys(p.cfg.Builders)), ", ")
		bad("language", faas.ErrUnimplemented, "there is no builder for %q, only for: %s", req.Language, known)
	}
	if req.Source.open == nil {
		bad("source", faas.ErrInvalidArgument, "is missing; use Dir, FS, Zip or TarGz")
	}
	if len(req.Spec.Command) > 0 {
		bad("spec.command", faas.ErrInvalidArgument, "is set; the builder decides it")
	}
	if req.Spec.Code != "" {
		bad("spec.code", faas.ErrInvalidArgument, "is set; the build decides it")
	}
	if _, ok := req.Spec.Labels[LabelBuild]; ok {
		bad("spec.labels", faas.ErrInvalidArgument, "the label %q is the builder's own", LabelBuild)
	}
	spec := req.Spec
	spec.Code, spec.Command = "", []string{"./function"}
	if spec.Contract == "" {
		spec.Contract = faas.ContractHTTP
	}
	if err := spec.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// spec joins what was asked for and what was built.
func (req *Request) spec(a Artifact, code faas.Digest, build string) faas.Spec {
	s := req.Spec
	s.Code, s.Command = code, a.Command
	if s.Contract == "" {
		s.Contract = a.Contract
	}
	s.Env = merge(a.Env, s.Env)
	s.Labels = merge(s.Labels, map[string]string{LabelBuild: build})
	return s
}

// merge returns the union of two maps, neither of them changed; b wins.
func merge(a, b map[string]string) map[string]string {
	if len(a)+len(b) == 0 {
		return nil
	}
	m := make(map[string]string, len(a)+len(b))
	maps.Copy(m, a)
	maps.Copy(m, b)
	return m
}
