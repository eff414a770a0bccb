package gobuilder

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/scanner"
	"go/token"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/joinery/faas"
)

// maxFaults bounds the faults that one source is told of.
const maxFaults = 20

// source is what inspect found out.
type source struct {
	isMain   bool
	hasMod   bool
	vendored bool
}

// inspect parses the package at the root of a source, as far as the build would see it, and
// reports every fault at once.
func (b *Builder) inspect(src fs.FS) (source, error) {
	in := inspector{src: src, fset: token.NewFileSet()}
	in.found.hasMod = exists(src, "go.mod")
	in.found.vendored = exists(src, "vendor/modules.txt")
	if in.found.vendored && !in.found.hasMod {
		in.fault("vendor", "is there without a go.mod")
	}
	if exists(src, mainDir) {
		in.fault(mainDir, "is a name that the builder uses itself")
	}
	names, err := fs.Glob(src, "*.go")
	if err != nil {
		return source{}, faas.Errorf(component, "validate", "", faas.ErrInternal, "%w", err)
	}
	context := b.buildContext(src)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		in.file(context, name)
	}
	in.conclude(context)
	return in.found, errors.Join(in.faults...)
}

func exists(src fs.FS, name string) bool {
	_, err := fs.Stat(src, name)
	return err == nil
}

// buildContext decides by build constraints which files belong to the package.
func (b *Builder) buildContext(src fs.FS) *build.Context {
	c := build.Default
	c.GOOS, c.GOARCH, c.CgoEnabled, c.BuildTags = b.target.GOOS, b.target.GOARCH, false, nil
	for flag := range strings.FieldsSeq(b.env["GOFLAGS"]) {
		if tags, ok := strings.CutPrefix(flag, "-tags="); ok {
			c.BuildTags = strings.Split(tags, ",")
		}
	}
	c.JoinPath = path.Join
	c.OpenFile = func(name string) (io.ReadCloser, error) { return src.Open(name) }
	return &c
}

type inspector struct {
	src    fs.FS
	fset   *token.FileSet
	found  source
	faults []error

	files      []string
	pkg, first string // the package's name and the file that gave it
	main       bool   // there is func main
	handler    string // where func Handler is, "" if nowhere
	badHandler bool
}

func (in *inspector) fault(key, format string, args ...any) {
	if len(in.faults) < maxFaults {
		in.faults = append(in.faults, faas.Errorf(component, "validate", key, faas.ErrInvalidArgument, format, args...))
	}
}

func (in *inspector) file(c *build.Context, name string) {
	text, err := fs.ReadFile(in.src, name)
	if err != nil {
		in.fault(name, "cannot be read: %w", err)
		return
	}
	f, err := parser.ParseFile(in.fset, name, text, parser.AllErrors|parser.SkipObjectResolution)
	var list scanner.ErrorList
	if errors.As(err, &list) {
		for _, e := range list {
			in.fault(e.Pos.String(), "%s", e.Msg)
		}
		return
	}
	if err != nil {
		in.fault(name, "%w", err)
		return
	}
	cgo := slices.ContainsFunc(f.Imports, func(spec *ast.ImportSpec) bool { return spec.Path.Value == `"C"` })
	if ok, err := c.MatchFile(".", name); err != nil || !ok || cgo {
		return // not part of this build
	}
	in.files = append(in.files, name)
	if in.pkg == "" {
		in.pkg, in.first = f.Name.Name, name
	} else if f.Name.Name != in.pkg {
		in.fault(name, "is of package %s, but %s is of package %s", f.Name.Name, in.first, in.pkg)
	}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if first, _, _ := strings.Cut(p, "/"); err == nil && !in.found.hasMod && strings.Contains(first, ".") {
			in.fault(in.fset.Position(spec.Pos()).String(), "imports %s, but the source has no go.mod", p)
		}
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
			in.function(f, fn)
		}
	}
}

func (in *inspector) function(f *ast.File, fn *ast.FuncDecl) {
	switch fn.Name.Name {
	case "main":
		in.main = true
	case "Handler":
		in.handler = in.fset.Position(fn.Pos()).String()
		var params []ast.Expr
		for _, field := range fn.Type.Params.List {
			params = append(params, slices.Repeat([]ast.Expr{field.Type}, max(1, len(field.Names)))...)
		}
		ok := len(params) == 2 && fn.Type.Results == nil && fn.Type.TypeParams == nil && isHTTP(f, params[0], "ResponseWriter")
		if ok {
			star, isPointer := params[1].(*ast.StarExpr)
			ok = isPointer && isHTTP(f, star.X, "Request")
		}
		in.badHandler = !ok
	}
}

// isHTTP reports whether the expression is the type of that name in net/http.
func isHTTP(f *ast.File, e ast.Expr, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	for _, spec := range f.Imports {
		if spec.Path.Value == `"net/http"` && (spec.Name == nil && x.Name == "http" || spec.Name != nil && spec.Name.Name == x.Name) {
			return true
		}
	}
	return false
}

func (in *inspector) conclude(c *build.Context) {
	const signature = "func Handler(w http.ResponseWriter, r *http.Request)"
	switch {
	case len(in.files) == 0 && len(in.faults) == 0:
		in.fault("*.go", "the root of the source has no Go file for %s/%s without cgo", c.GOOS, c.GOARCH)
	case in.pkg == "main":
		in.found.isMain = true
		if !in.main && len(in.faults) == 0 {
			in.fault(in.first, "package main has no func main")
		}
	case in.pkg != "" && in.handler == "" && len(in.faults) == 0:
		in.fault(in.first, "package %s has no %s; export one, or make it package main and serve HTTP on 127.0.0.1:$PORT", in.pkg, signature)
	case in.badHandler && in.pkg != "main":
		in.fault(in.handler, "Handler has another signature than %s", signature)
	}
}
