// Package imagebuilder makes OCI images of built functions (function builder, F2 of the SPEC-RG reference
// architecture) without a daemon: the function's code is one layer on a base, scratch unless there is
// another. The images go to a Docker Engine or a registry.
//
//	images, err := imagebuilder.New(imagebuilder.Config{
//		Code: code, // a registry.CodeStore
//		Target: imagebuilder.Engine{},   // or imagebuilder.Registry{Repository: "registry.example/functions"}
//	})
//	res, err := pipeline.Build(ctx, request)        // source to code, as ever
//	spec, err := images.Image(ctx, res.Function)    // code to image
//	fn, err := reg.Publish(ctx, faas.Ref{Name: "hello-image"}, spec, nil)
//
// # The image
//
// The code is at /code, owned by root; the command is that of the function; the working directory is
// /tmp; the user is 65532. Equal code and configuration make an image that is equal to the byte, whatever
// machine, time or Go version: times are 0, names in order, and the layer is not compressed.
//
// # Errors
//
// ErrInvalidArgument (a function without code, or code that is not a tar), ErrNotFound (the code is not in
// the store), ErrDenied and ErrUnavailable (engine or registry), ErrExhausted (a full disk), ErrCanceled,
// ErrTimeout.
//
// # Concurrency
//
// All methods are safe for concurrent use. Nothing here starts a goroutine that outlives its call.
package imagebuilder

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
)

const component = "image builder"

// CodeStore is what is needed of a code store (F1); every registry.CodeStore fits.
type CodeStore interface {
	// Open returns the content; see registry.CodeStore.
	Open(ctx context.Context, d faas.Digest) (io.ReadCloser, error)
}

// Target is where images go: Engine, Registry, or the embedder's own.
type Target interface {
	// Put stores the image and returns the reference under which a driver finds this very
	// image. repository is "namespace/name" of the function.
	Put(ctx context.Context, repository string, img v1.Image) (string, error)
}

// Config of New.
type Config struct {
	// Code is where the code of functions is. Required.
	Code CodeStore
	// Target is where images go. Required.
	Target Target
	// Base is the image below the code: one with an interpreter, for instance. Nil: nothing
	// (scratch), which is enough for static programs.
	Base v1.Image
	// TempDir holds the layer while an image is made. Empty: os.TempDir().
	TempDir string
}

// Builder makes images. Create it with New.
type Builder struct{ cfg Config }

// New returns a Builder, or ErrInvalidArgument with every fault of the configuration.
func New(cfg Config) (*Builder, error) {
	var errs []error
	if cfg.Code == nil {
		errs = append(errs, faas.Errorf(component, "configure", "Code", faas.ErrInvalidArgument, "is nil"))
	}
	if cfg.Target == nil {
		errs = append(errs, faas.Errorf(component, "configure", "Target", faas.ErrInvalidArgument, "is nil"))
	}
	return &Builder{cfg}, errors.Join(errs...)
}

// Image makes the image of a function, puts it to the target, and returns the function's configuration
// with the image in place of code and command, to be published. A contract that a container cannot
// have, http-inherit, becomes http-socket: what the builders of this project make keeps both.
func (b *Builder) Image(ctx context.Context, fn faas.Function) (faas.Spec, error) {
	key := fn.Ref.String()
	spec := fn.Spec.Clone()
	var errs []error
	if spec.Code == "" {
		errs = append(errs, faas.Errorf(component, "build", key, faas.ErrInvalidArgument, "the function has no code"))
	}
	if err := errors.Join(append(errs, fn.Ref.Validate(), spec.Validate())...); err != nil {
		return faas.Spec{}, err
	}
	file, err := os.CreateTemp(b.cfg.TempDir, "joinery-layer-")
	if err != nil {
		return faas.Spec{}, diskError(key, err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	img, err := b.assemble(ctx, key, &spec, file)
	if err != nil {
		return faas.Spec{}, err
	}
	ref := fn.Ref.WithDefaults()
	image, err := b.cfg.Target.Put(ctx, ref.Namespace+"/"+ref.Name, img)
	if err != nil {
		return faas.Spec{}, err
	}
	spec.Image, spec.Code, spec.Command = image, "", nil
	if spec.Contract == faas.ContractInherit {
		spec.Contract = faas.ContractSocket
	}
	delete(spec.Labels, builder.LabelBuild) // is about a build of code
	return spec, spec.Validate()
}

// assemble makes the image with its layer in file.
func (b *Builder) assemble(ctx context.Context, key string, spec *faas.Spec, file *os.File) (v1.Image, error) {
	code, err := b.cfg.Code.Open(ctx, spec.Code)
	if err != nil {
		return nil, err
	}
	defer code.Close()
	sum := sha256.New()
	if err := writeLayer(ctx, key, io.MultiWriter(file, sum), code); err != nil {
		return nil, err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, diskError(key, err)
	}
	layer := &fileLayer{path: file.Name(), size: size, digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}}
	base := b.cfg.Base
	if base == nil {
		base = mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	}
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: component, Created: v1.Time{Time: time.Unix(0, 0).UTC()}}})
	if err != nil {
		return nil, failed("build", key, err)
	}
	old, err := img.ConfigFile()
	if err != nil {
		return nil, failed("build", key, err)
	}
	cfg := old.DeepCopy()
	cfg.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	cfg.OS, cfg.Architecture = cmp.Or(cfg.OS, "linux"), cmp.Or(cfg.Architecture, runtime.GOARCH)
	cfg.Config.Entrypoint, cfg.Config.Cmd = slices.Clone(spec.Command), nil
	if program := spec.Command[0]; strings.HasPrefix(program, "./") {
		cfg.Config.Entrypoint[0] = codeDir + program[1:]
	}
	cfg.Config.WorkingDir, cfg.Config.User = "/tmp", "65532:65532"
	env := map[string]string{}
	for _, kv := range cfg.Config.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	maps.Copy(env, spec.Env)
	cfg.Config.Env = nil
	for _, k := range slices.Sorted(maps.Keys(env)) {
		cfg.Config.Env = append(cfg.Config.Env, k+"="+env[k])
	}
	img, err = mutate.ConfigFile(img, cfg)
	if err != nil {
		return nil, failed("build", key, err)
	}
	return img, nil
}

// codeDir is where the code is in an image.
const codeDir = "/code"

// writeLayer writes the layer: the directories that a container needs, and the code.
func writeLayer(ctx context.Context, key string, to io.Writer, code io.Reader) error {
	out := tar.NewWriter(to)
	for _, d := range []tar.Header{{Name: codeDir[1:] + "/", Mode: 0o755}, {Name: "tmp/", Mode: 0o1777}} {
		d.Typeflag = tar.TypeDir
		if err := out.WriteHeader(&d); err != nil {
			return diskError(key, err)
		}
	}
	for in := tar.NewReader(code); ; {
		if ctx.Err() != nil {
			return faas.ContextError(ctx, component, "build", key)
		}
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return codeError(key, err)
		}
		clean := path.Clean("/" + h.Name)
		if clean == "/" {
			continue
		}
		entry := tar.Header{Typeflag: h.Typeflag, Name: codeDir[1:] + clean, Mode: h.Mode & 0o777, Size: h.Size, Linkname: h.Linkname}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeSymlink:
		case tar.TypeDir:
			entry.Name += "/"
		default:
			return faas.Errorf(component, "build", key, faas.ErrInvalidArgument, "the code has %q, which is no file, directory or symbolic link", h.Name)
		}
		if err := out.WriteHeader(&entry); err != nil {
			return diskError(key, err)
		}
		if _, err := io.Copy(out, in); err != nil {
			return codeError(key, err)
		}
	}
	if _, err := io.Copy(io.Discard, code); err != nil { // to the end, where the store has checked it
		return codeError(key, err)
	}
	if err := out.Close(); err != nil {
		return diskError(key, err)
	}
	return nil
}

// codeError classes an error of reading the code or writing it.
func codeError(key string, err error) error {
	var own *faas.Error
	var file *os.PathError
	switch {
	case errors.As(err, &own):
		return err
	case errors.As(err, &file):
		return diskError(key, err)
	}
	return faas.Errorf(component, "build", key, faas.ErrInvalidArgument, "the code is not a tar: %w", err)
}

func diskError(key string, err error) error {
	class := faas.ErrInternal
	if errors.Is(err, syscall.ENOSPC) {
		class = faas.ErrExhausted
	}
	return faas.Errorf(component, "build", key, class, "%w", err)
}

func failed(op, key string, err error) error {
	return faas.Errorf(component, op, key, faas.ErrInternal, "%w", err)
}

// fileLayer is a layer in a file, as it is: compressing it would cost time on both sides, and the bytes
// would depend on who compresses.
type fileLayer struct {
	path   string
	size   int64
	digest v1.Hash
}

func (l *fileLayer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *fileLayer) DiffID() (v1.Hash, error)             { return l.digest, nil }
func (l *fileLayer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *fileLayer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
func (l *fileLayer) Size() (int64, error)                 { return l.size, nil }
func (l *fileLayer) MediaType() (types.MediaType, error)  { return types.OCIUncompressedLayer, nil }
