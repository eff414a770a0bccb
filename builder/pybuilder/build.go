package pybuilder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
)

// Resolve implements builder.Builder: pip installs the wheels of the lock file.
func (b *Builder) Resolve(ctx context.Context, job builder.Job) error {
	lock, err := os.ReadFile(filepath.Join(job.Source, lockFile))
	if err != nil || len(requirements(lock)) == 0 {
		return nil // Validate has seen that there is nothing to install
	}
	if errs := b.checkLock(os.DirFS(job.Source), lock); len(errs) > 0 {
		return errors.Join(errs...)
	}
	if b.python.Pip == "" {
		e := faas.Errorf(component, "resolve", lockFile, faas.ErrUnimplemented, "%s has no pip", b.python.Executable)
		e.Next = "install pip (python3 -m ensurepip), or set Options.Python to an interpreter that has it"
		return e
	}
	args := []string{"-I", "-B", "-m", "pip", "install", "--isolated", "--disable-pip-version-check", "--no-input", "--no-cache-dir",
		"--no-compile", "--no-warn-script-location", "--progress-bar=off", "--only-binary=:all:",
		"--target", filepath.Join(job.Temp, "deps"), "-r", filepath.Join(job.Source, lockFile)}
	if wheels := filepath.Join(job.Source, wheelDir); isDir(wheels) {
		args = append(args, "--no-index", "--find-links", wheels)
	} else {
		args = append(args, "--index-url", b.index, "--require-hashes")
	}
	return b.command(job, "resolve", args...).Run(ctx)
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// Build implements builder.Builder: the sources go to app, the dependencies to deps, the runtime
// beside them, and all of it is compiled.
func (b *Builder) Build(ctx context.Context, job builder.Job) (builder.Artifact, error) {
	failed := func(err error) (builder.Artifact, error) {
		return builder.Artifact{}, faas.Errorf(component, "build", "", faas.ErrInternal, "%w", err)
	}
	app := filepath.Join(job.Output, "app")
	if err := os.Rename(job.Source, app); err != nil {
		return failed(err)
	}
	if err := os.RemoveAll(filepath.Join(app, wheelDir)); err != nil {
		return failed(err)
	}
	if err := removeCaches(app); err != nil {
		return failed(err)
	}
	deps := filepath.Join(job.Output, "deps")
	err := os.Rename(filepath.Join(job.Temp, "deps"), deps)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Mkdir(deps, 0o755)
	}
	if err != nil {
		return failed(err)
	}
	entry, module, ok := b.entry(func(name string) bool { _, err := os.Stat(filepath.Join(app, name)); return err == nil })
	if !ok {
		return builder.Artifact{}, faas.Errorf(component, "build", entry, faas.ErrInvalidArgument, "is missing")
	}
	start := strings.NewReplacer("PYTHON", b.python.Executable, "MODULE", module, "HANDLER", b.fn).Replace(file("start.txt"))
	if err := os.WriteFile(filepath.Join(job.Output, "start"), []byte(start), 0o755); err != nil {
		return failed(err)
	}
	if err := os.WriteFile(filepath.Join(job.Output, "_joinery_function.py"), []byte(file("_joinery_function.py")), 0o644); err != nil {
		return failed(err)
	}
	script := filepath.Join(job.Temp, "compile.py")
	if err := os.WriteFile(script, []byte(file("compile.py")), 0o644); err != nil {
		return failed(err)
	}
	// Not isolated, for PYTHONHASHSEED: the order of a compiled set must not depend on chance.
	if err := b.command(job, "build", "-s", "-S", "-B", script, job.Output).Run(ctx); err != nil {
		return builder.Artifact{}, err
	}
	return builder.Artifact{Contract: faas.ContractInherit, Command: []string{"./start"}}, nil
}

// removeCaches removes compiled files that came with the source: they may not match it.
func removeCaches(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "__pycache__" {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".pyc") {
			return os.Remove(name)
		}
		return nil
	})
}
