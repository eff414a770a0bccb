package archive

import (
	"context"
	"io/fs"
	"path"
)

// CopyFS copies a file system into dir by the rules of unpacking. Directories of version control
// (.git, .hg, .svn) are left out. The copy is private: a later change of fsys does not reach it.
func CopyFS(ctx context.Context, fsys fs.FS, dir string, lim Limits) error {
	return unpack(ctx, dir, lim, func(t *tree) error {
		return fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return refuse(name, "cannot be read: %w", err)
			}
			switch base := path.Base(name); {
			case name == ".":
				return nil
			case base == ".git" || base == ".hg" || base == ".svn":
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			return t.copyEntry(fsys, name, d)
		})
	})
}

func (t *tree) copyEntry(fsys fs.FS, name string, d fs.DirEntry) error {
	switch mode := d.Type(); {
	case mode.IsDir():
		return t.addDir(name)
	case mode&fs.ModeSymlink != 0:
		target, err := fs.ReadLink(fsys, name)
		if err != nil {
			return refuse(name, "is a symbolic link that cannot be read: %w", err)
		}
		return t.addLink(name, target)
	case !mode.IsRegular():
		return refuse(name, "is not a file, a directory or a symbolic link")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return refuse(name, "cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return refuse(name, "cannot be read: %w", err)
	}
	in := &input{ctx: t.ctx, r: f}
	if err := t.addFile(name, info.Mode(), -1, in); err != nil {
		return in.fault(name, err)
	}
	return nil
}
