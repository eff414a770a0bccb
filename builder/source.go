package builder

import (
	"context"
	"io"
	"io/fs"
	"os"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/archive"
)

// Source is where a function's source comes from. Make one with Dir, FS, Zip or TarGz.
//
// All of them obey one set of rules: names are relative, clean and no two differ only in case;
// symbolic links stay inside; no hard links, devices, setuid bits; at most 250 MiB and 10,000
// entries, and 100 times the size of the archive. Anything else is ErrInvalidArgument.
type Source struct {
	open func(ctx context.Context, dir string) error
}

// Dir is a directory of this machine. Directories of version control (.git, .hg, .svn) are left out.
func Dir(path string) Source {
	return Source{func(ctx context.Context, dir string) error {
		root, err := os.OpenRoot(path)
		if err != nil {
			return faas.Errorf(component, "open", path, faas.ErrInvalidArgument, "the source directory cannot be opened: %w", err)
		}
		defer root.Close()
		return archive.CopyFS(ctx, root.FS(), dir, archive.Limits{})
	}}
}

// FS is a file system, for instance an embed.FS; as Dir.
func FS(fsys fs.FS) Source {
	return Source{func(ctx context.Context, dir string) error {
		return archive.CopyFS(ctx, fsys, dir, archive.Limits{})
	}}
}

// Zip is a zip archive of the given size.
func Zip(r io.ReaderAt, size int64) Source {
	return Source{func(ctx context.Context, dir string) error {
		return archive.UnpackZip(ctx, r, size, dir, archive.Limits{})
	}}
}

// TarGz is a gzip-compressed tar archive. It is read once.
func TarGz(r io.Reader) Source {
	return Source{func(ctx context.Context, dir string) error {
		return archive.UnpackTarGz(ctx, r, dir, archive.Limits{})
	}}
}
