package pybuilder

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
)

const (
	lockFile = "requirements.txt"
	wheelDir = "wheels"
)

// Validate implements builder.Builder. It parses every file of the source, finds the handler,
// and checks that the dependencies are pinned and can be had.
func (b *Builder) Validate(ctx context.Context, src fs.FS) error {
	files := map[string][]byte{}
	err := fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return err
		}
		if d.IsDir() && (name == wheelDir || d.Name() == "__pycache__") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && path.Ext(name) == ".py" {
			files[name], err = fs.ReadFile(src, name)
		}
		return err
	})
	if ctx.Err() != nil {
		return faas.ContextError(ctx, component, "validate", "")
	}
	if err != nil {
		return faas.Errorf(component, "validate", "", faas.ErrInternal, "%w", err)
	}
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, faas.Errorf(component, "validate", key, faas.ErrInvalidArgument, format, args...))
	}
	entry, _, ok := b.entry(func(name string) bool { _, ok := files[name]; return ok })
	if !ok {
		fault(entry, "is missing; it is where the function %s(event, context) is expected", b.fn)
	}
	var faults [][2]string
	err = b.run(ctx, "validate", file("check.py"), map[string]any{"files": files, "entry": entry, "handler": b.fn}, &faults)
	if err != nil {
		return err
	}
	for _, f := range faults {
		fault(f[0], "%s", f[1])
	}
	if lock, err := fs.ReadFile(src, lockFile); err == nil {
		errs = append(errs, b.checkLock(src, lock)...)
	}
	return errors.Join(errs...)
}

// entry returns the file and the module of the function; ok is false if the file is missing.
func (b *Builder) entry(exists func(string) bool) (name, module string, ok bool) {
	if b.module == "" {
		for _, module := range []string{"main", "handler"} {
			if exists(module + ".py") {
				return module + ".py", module, true
			}
		}
		return "main.py", "main", false
	}
	base := strings.ReplaceAll(b.module, ".", "/")
	if exists(base + "/__init__.py") {
		return base + "/__init__.py", b.module, true
	}
	return base + ".py", b.module, exists(base + ".py")
}

// pinned is one requirement of a lock file: a name, extras, an exact version (PEP 440), a marker, hashes.
var pinned = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9,._ -]*\])?\s*===?\s*[A-Za-z0-9.!+_-]+(?:\s*;[^#]*?)?((?:\s+--hash=sha(?:256|384|512):[0-9a-f]+)*)$`)

// pin reads one requirement: is it exactly pinned, has it hashes. No option but --hash is allowed.
func pin(line string) (exact, hashed bool) {
	m := pinned.FindStringSubmatch(line)
	if m == nil || strings.Contains(strings.TrimSuffix(line, m[1]), " -") {
		return false, false
	}
	return true, m[1] != ""
}

// checkLock checks each line of a lock file and where its packages are to come from.
func (b *Builder) checkLock(src fs.FS, lock []byte) (errs []error) {
	fault := func(format string, args ...any) *faas.Error {
		e := faas.Errorf(component, "validate", lockFile, faas.ErrInvalidArgument, format, args...)
		errs = append(errs, e)
		return e
	}
	_, err := fs.Stat(src, wheelDir)
	vendored := err == nil
	found := requirements(lock)
	for _, line := range found {
		exact, hashed := pin(line)
		switch {
		case !exact:
			fault("%q is not an exactly pinned package, name==version", clip.Text(line))
		case !hashed && !vendored && b.index != "":
			fault("%q has no --hash; packages from an index need one", clip.Text(line))
		}
	}
	if len(found) > 0 && !vendored && b.index == "" {
		fault("the source has no directory %q", wheelDir).Next =
			"vendor the packages (pip wheel -r requirements.txt -w wheels), or set Options.Index"
	}
	return errs
}

// requirements are the lines of a lock file that ask for something, joined and without comments.
func requirements(lock []byte) (lines []string) {
	s := bufio.NewScanner(bytes.NewReader(lock))
	s.Buffer(nil, len(lock)+1)
	joined := ""
	for s.Scan() {
		line := s.Text()
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			line = ""
		} else if i := strings.Index(line, " #"); i >= 0 {
			line = line[:i]
		}
		if rest, ok := strings.CutSuffix(strings.TrimRight(line, " \t\r"), `\`); ok {
			joined += rest + " "
			continue
		}
		line, joined = strings.TrimSpace(joined+line), ""
		if line != "" && line != "--require-hashes" {
			lines = append(lines, line)
		}
	}
	if line := strings.TrimSpace(joined); line != "" {
		lines = append(lines, line)
	}
	return lines
}
