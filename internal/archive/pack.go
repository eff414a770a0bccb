package archive

import (
	"archive/tar"
	"context"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
)

// PackTar writes the content of dir as a plain tar that depends on names, content, links and
// executable bits alone: entries in lexical order, times zero, no owners, modes 0755 or 0644.
// It obeys the rules and default limits of unpacking, so that what it packs unpacks. A file that
// breaks them is ErrInvalidArgument; an error of w is returned with its class.
func PackTar(ctx context.Context, w io.Writer, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return faas.Errorf("archive", "pack", dir, faas.ErrInternal, "%w", err)
	}
	defer root.Close()
	tw := tar.NewWriter(w)
	t := newRules(Limits{})
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return faas.ContextError(ctx, "archive", "pack", "")
		case err != nil:
			return faas.Errorf("archive", "pack", clip.Text(name), faas.ErrInternal, "%w", err)
		case name == ".":
			return nil
		}
		return t.packEntry(ctx, tw, root, name, d.Type())
	})
	if err != nil {
		return err
	}
	return packError("", tw.Close())
}

func (t *rules) packEntry(ctx context.Context, tw *tar.Writer, root *os.Root, name string, mode fs.FileMode) error {
	h := &tar.Header{Name: name, ModTime: time.Unix(0, 0)}
	switch {
	case mode.IsDir():
		if _, err := t.add(name, directory); err != nil {
			return err
		}
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		return packError(name, tw.WriteHeader(h))
	case mode&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err != nil {
			return packError(name, err)
		}
		if _, err := t.add(name, link); err != nil {
			return err
		}
		if err := checkLink(name, target); err != nil {
			return err
		}
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, target, 0o777
		return packError(name, tw.WriteHeader(h))
	case !mode.IsRegular():
		return refuse(name, "is not a file, a directory or a symbolic link")
	}
	if _, err := t.add(name, file); err != nil {
		return err
	}
	f, err := root.Open(name)
	if err != nil {
		return packError(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return packError(name, err)
	}
	if err := t.grow(name, info.Size()); err != nil {
		return err
	}
	h.Typeflag, h.Size, h.Mode = tar.TypeReg, info.Size(), int64(normalise(info.Mode()))
	if err := tw.WriteHeader(h); err != nil {
		return packError(name, err)
	}
	n, err := io.Copy(tw, io.LimitReader(&input{ctx: ctx, r: f}, info.Size()))
	if err == nil && n != info.Size() {
		return faas.Errorf("archive", "pack", clip.Text(name), faas.ErrConflict, "the file changed while it was read")
	}
	return packError(name, err)
}

func packError(name string, err error) error {
	if err == nil {
		return nil
	}
	return faas.Errorf("archive", "pack", clip.Text(name), faas.Class(err), "%w", err)
}
