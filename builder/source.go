package builder

import (
	"io"
	"io/fs"
)

// Source is where a function's source comes from. Make one with Dir, FS, Zip or TarGz.
type Source struct {
	dir  string
	fsys fs.FS
	zip  io.ReaderAt
	size int64
	tgz  io.Reader
}

// Dir is a directory of this machine. Symbolic links that lead out of it are refused.
func Dir(path string) Source { return Source{dir: path} }

// FS is a file system, for instance an embed.FS.
func FS(fsys fs.FS) Source { return Source{fsys: fsys} }

// Zip is a zip archive of the given size. Hostile archives are refused.
func Zip(r io.ReaderAt, size int64) Source { return Source{zip: r, size: size} }

// TarGz is a gzip-compressed tar archive. Hostile archives are refused.
func TarGz(r io.Reader) Source { return Source{tgz: r} }
