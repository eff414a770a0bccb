//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dirdefinitions

import (
	"errors"
	"os"
	"syscall"

	"github.com/joinery/faas"
)

// lock takes the lock of a directory until the file is closed, or its process ends in whatever way.
// ErrConflict if it is taken.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
			return f, nil
		case syscall.EINTR:
		case syscall.EWOULDBLOCK:
			e := faas.Errorf("workflow registry", "lock", path, faas.ErrConflict, "the directory is open elsewhere")
			e.Next = "close the other user of the directory"
			return nil, errors.Join(e, f.Close())
		default:
			return nil, errors.Join(err, f.Close())
		}
	}
}
