package driverplugin

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
)

// openBinary opens the plugin's file, once: what is checked is what is executed, whatever
// becomes of the path meanwhile. It refuses what somebody else could have put there.
func openBinary(path, digest string) (*os.File, error) {
	denied := func(next, format string, args ...any) error {
		e := faas.Errorf(component, "open", path, faas.ErrDenied, format, args...)
		e.Next = next
		return e
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, openError(path, err)
	}
	if err := safeDir(dir); err != nil {
		return nil, denied("chmod o-w it, or put the plugin elsewhere", "%w", err)
	}
	fd, err := unix.Open(filepath.Join(dir, filepath.Base(path)), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, denied("name the file itself", "is a symbolic link")
	}
	if err != nil {
		return nil, openError(path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	err = func() error {
		st, err := f.Stat()
		switch {
		case err != nil:
			return openError(path, err)
		case !st.Mode().IsRegular():
			return faas.Errorf(component, "open", path, faas.ErrInvalidArgument, "is not a regular file")
		case st.Mode()&0o002 != 0:
			return denied("chmod o-w it", "anybody may write to the file (mode %v)", st.Mode())
		case st.Mode()&0o111 == 0:
			return faas.Errorf(component, "open", path, faas.ErrInvalidArgument, "is not executable (mode %v)", st.Mode())
		case digest == "":
			return nil
		}
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return openError(path, err)
		}
		if got := fmt.Sprintf("%x", h.Sum(nil)); got != digest {
			return denied("install the file that was meant, or correct Options.SHA256", "its SHA-256 is %s, not the %s that is asked", got, digest)
		}
		return nil
	}()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// safeDir checks that nobody but its owner and the administrator can change which file a path in dir means.
func safeDir(dir string) error {
	for child := ""; ; child, dir = dir, filepath.Dir(dir) {
		st, err := os.Lstat(dir)
		if err != nil {
			return err
		}
		if st.Mode()&0o002 != 0 {
			// In a directory such as /tmp only the owner of an entry can rename it.
			if st.Mode()&fs.ModeSticky == 0 || !trusted(child) {
				return fmt.Errorf("anybody may write to the directory %s (mode %v)", dir, st.Mode())
			}
		}
		if dir == "/" {
			return nil
		}
	}
}

// trusted reports whether the directory belongs to this user or the administrator.
func trusted(path string) bool {
	if path == "" {
		return false
	}
	st, err := os.Lstat(path)
	if err != nil {
		return false
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && (sys.Uid == 0 || int(sys.Uid) == os.Geteuid())
}

func openError(path string, err error) error {
	class := faas.ErrInternal
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		class = faas.ErrNotFound
	case errors.Is(err, fs.ErrPermission):
		class = faas.ErrDenied
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		class = faas.ErrExhausted
	}
	return faas.Errorf(component, "open", path, class, "%w", err)
}
