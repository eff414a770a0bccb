package gobuilder

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
)

// mainDir is where the generated main goes, inside the function's own module.
const mainDir = "joinery_function_main"

// mainSource is the generated main; its import path FUNCTION is replaced by the function's.
//
//go:embed main.go.txt
var mainSource string

// prepared is what the go command is to build.
type prepared struct {
	source
	dir      string // below the source, "" for its root
	requires bool   // the module requires others
}

type goMod struct {
	Module  struct{ Path string }
	Require []struct{ Path string }
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
}

// prepare makes the source a module with a main package. Doing it again changes nothing.
func (b *Builder) prepare(ctx context.Context, job builder.Job) (prepared, error) {
	root, err := os.OpenRoot(job.Source)
	if err != nil {
		return prepared{}, faas.Errorf(component, "prepare", "", faas.ErrInternal, "%w", err)
	}
	defer root.Close()
	generated := exists(root.FS(), mainDir)
	if generated {
		if err := root.RemoveAll(mainDir); err != nil {
			return prepared{}, faas.Errorf(component, "prepare", mainDir, faas.ErrInternal, "%w", err)
		}
	}
	found, err := b.inspect(root.FS())
	if err != nil {
		return prepared{}, err
	}
	p := prepared{source: found}
	if !p.hasMod {
		text := "module function\n\ngo " + languageVersion(b.target.GOVERSION) + "\n"
		if err := root.WriteFile("go.mod", []byte(text), 0o644); err != nil {
			return p, faas.Errorf(component, "prepare", "go.mod", faas.ErrInternal, "%w", err)
		}
	}
	mod, err := b.readMod(ctx, job)
	if err != nil {
		return p, err
	}
	p.requires = len(mod.Require) > 0
	if p.isMain {
		return p, nil
	}
	p.dir = mainDir
	text := strings.Replace(mainSource, `"FUNCTION"`, strconv.Quote(mod.Module.Path), 1)
	err = root.Mkdir(mainDir, 0o755)
	if err == nil {
		err = root.WriteFile(mainDir+"/main.go", []byte(text), 0o644)
	}
	if err != nil {
		return p, faas.Errorf(component, "prepare", mainDir, faas.ErrInternal, "%w", err)
	}
	return p, nil
}

// readMod asks the go command for go.mod and refuses replacements that lead out of the source.
func (b *Builder) readMod(ctx context.Context, job builder.Job) (goMod, error) {
	var mod goMod
	var out bytes.Buffer
	c := b.command(job, "resolve", "mod", "edit", "-json")
	c.Stdout = &out
	if err := c.Run(ctx); err != nil {
		return mod, err
	}
	if err := json.Unmarshal(out.Bytes(), &mod); err != nil {
		return mod, faas.Errorf(component, "resolve", "go.mod", faas.ErrInternal, "%w", err)
	}
	var errs []error
	if mod.Module.Path == "" {
		errs = append(errs, faas.Errorf(component, "resolve", "go.mod", faas.ErrInvalidArgument, "has no module line"))
	}
	for _, r := range mod.Replace {
		if r.New.Version == "" && !inside(job.Source, r.New.Path) {
			errs = append(errs, faas.Errorf(component, "resolve", "go.mod", faas.ErrInvalidArgument,
				"replaces %s by %q, which is outside of the source", r.Old.Path, r.New.Path))
		}
	}
	return mod, errors.Join(errs...)
}

// inside reports whether a relative path stays in the root, without a symbolic link on its way.
func inside(root, p string) bool {
	p = filepath.Clean(filepath.FromSlash(p))
	if !filepath.IsLocal(p) {
		return false
	}
	for ; p != "."; p = filepath.Dir(p) {
		if info, err := os.Lstat(filepath.Join(root, p)); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			return false
		}
	}
	return true
}

// languageVersion is "1.26" for "go1.26.8".
func languageVersion(goversion string) string {
	v, _, _ := strings.Cut(strings.TrimPrefix(goversion, "go"), " ")
	major, rest, _ := strings.Cut(v, ".")
	minor := strings.FieldsFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if len(minor) == 0 {
		return major
	}
	return major + "." + minor[0]
}
