package builder

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/archive"
	"github.com/joinery/faas/registry"
)

// build is one run of the pipeline.
type build struct {
	*Request
	p       *Pipeline
	builder Builder
	log     *buildLog
	id      string // the value of LabelBuild
	res     Result
}

// run is the building pattern, step by step.
func (b *build) run(ctx context.Context) (err error) {
	work, err := os.MkdirTemp(b.p.cfg.WorkDir, "joinery-build-")
	if err != nil {
		return faas.Errorf(component, "build", b.Function.String(), faas.ErrInternal, "no private directory: %w", err)
	}
	defer func() {
		if rerr := removeAll(work); rerr != nil {
			err = errors.Join(err, faas.Errorf(component, "build", work, faas.ErrInternal, "the private directory cannot be removed: %w", rerr))
		}
	}()
	job := Job{Source: filepath.Join(work, "source"), Output: filepath.Join(work, "output"), Temp: filepath.Join(work, "temp"), Log: b.log}
	for _, dir := range []string{job.Source, job.Output, job.Temp} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return faas.Errorf(component, "build", b.Function.String(), faas.ErrInternal, "no private directory: %w", err)
		}
	}

	err = b.step(ctx, StepOpen, func() error { return b.open(ctx, job) })
	if err != nil || b.res.Unchanged {
		return err
	}
	err = b.step(ctx, StepValidate, func() error {
		root, err := os.OpenRoot(job.Source)
		if err != nil {
			return faas.Errorf(component, "validate", "", faas.ErrInternal, "%w", err)
		}
		defer root.Close()
		return b.builder.Validate(ctx, root.FS())
	})
	if err != nil {
		return err
	}
	if err := b.step(ctx, StepResolve, func() error { return b.builder.Resolve(ctx, job) }); err != nil {
		return err
	}
	var made Artifact
	err = b.step(ctx, StepBuild, func() (err error) {
		made, err = b.builder.Build(ctx, job)
		return err
	})
	if err != nil {
		return err
	}
	tarball := filepath.Join(work, "code.tar")
	if err := b.step(ctx, StepPackage, func() error { return pack(ctx, tarball, job.Output) }); err != nil {
		return err
	}
	if err := b.step(ctx, StepStore, func() error { return b.store(ctx, tarball) }); err != nil {
		return err
	}
	return b.step(ctx, StepRegister, func() error {
		return b.register(ctx, b.spec(made, b.res.Code.Digest, b.id))
	})
}

// step runs one step, times it and says in the log where it is. Once ctx ended, that is the error.
func (b *build) step(ctx context.Context, s Step, do func() error) error {
	fmt.Fprintf(b.log, "== %s %s\n", s, b.Function)
	begin := time.Now()
	err := do()
	b.res.Steps = append(b.res.Steps, StepTime{s, time.Since(begin)})
	if err != nil && ctx.Err() != nil {
		err = faas.ContextError(ctx, component, string(s), b.Function.String())
	}
	if err != nil {
		fmt.Fprintf(b.log, "== %s failed: %v\n", s, err)
	}
	return err
}

// open copies the source into the private directory and compares it with the latest version.
func (b *build) open(ctx context.Context, job Job) error {
	if err := b.Source.open(ctx, job.Source); err != nil {
		return err
	}
	fingerprint, err := b.builder.Fingerprint(ctx)
	if err != nil {
		return err
	}
	source := sha256.New()
	if err := archive.PackTar(ctx, source, job.Source); err != nil {
		return err
	}
	id, err := json.Marshal(struct {
		Source                []byte
		Language, Fingerprint string
		Spec                  faas.Spec
	}{source.Sum(nil), b.Language, fingerprint, b.Spec})
	if err != nil {
		return faas.Errorf(component, "open", "spec", faas.ErrInvalidArgument, "%w", err)
	}
	b.id = fmt.Sprintf("sha256:%x", sha256.Sum256(id))
	_, err = b.latest(ctx)
	return err
}

// latest returns the revision of the function's latest version, 0 if there is none, and sees
// whether that version is what this build would make.
func (b *build) latest(ctx context.Context) (faas.Revision, error) {
	fn, err := b.p.cfg.Registry.Get(ctx, b.Function)
	if errors.Is(err, faas.ErrNotFound) {
		return 0, nil
	}
	if err != nil || fn.Spec.Labels[LabelBuild] != b.id {
		return fn.Revision, err
	}
	blob, err := b.p.cfg.Code.Stat(ctx, fn.Spec.Code)
	if errors.Is(err, faas.ErrNotFound) {
		return fn.Revision, nil // its code was lost: build it again
	}
	if err != nil {
		return fn.Revision, err
	}
	b.res.Function, b.res.Code, b.res.Unchanged = fn, blob, true
	fmt.Fprintf(b.log, "== unchanged since %s\n", fn.Ref)
	return fn.Revision, nil
}

func pack(ctx context.Context, tarball, dir string) error {
	f, err := os.Create(tarball)
	if err != nil {
		return faas.Errorf(component, "package", "", faas.ErrInternal, "%w", err)
	}
	defer f.Close()
	if err := archive.PackTar(ctx, f, dir); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return faas.Errorf(component, "package", "", faas.ErrInternal, "%w", err)
	}
	return nil
}

func (b *build) store(ctx context.Context, tarball string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return faas.Errorf(component, "store", "", faas.ErrInternal, "%w", err)
	}
	defer f.Close()
	b.res.Code, err = b.p.cfg.Code.Put(ctx, f)
	return err
}

// register publishes the function, unless another build has just published the same.
func (b *build) register(ctx context.Context, spec faas.Spec) error {
	for {
		if ctx.Err() != nil {
			return faas.ContextError(ctx, component, "register", b.Function.String())
		}
		revision, err := b.latest(ctx)
		if err != nil || b.res.Unchanged {
			return err
		}
		fn, err := b.p.cfg.Registry.Publish(ctx, b.Function, spec, &registry.PublishOptions{IfRevision: &revision})
		if err == nil {
			b.res.Function = fn
			fmt.Fprintf(b.log, "== published %s\n", fn.Ref)
		}
		if !errors.Is(err, faas.ErrConflict) {
			return err
		}
	}
}

// removeAll removes a directory also where a tool has left read-only directories in it.
func removeAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
