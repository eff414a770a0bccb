// Package disk holds what stores in files share: the class of a file
// system's error, and a directory entry that survives a power cut.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/joinery/faas"
)

// Class returns the class of an error of the file system: ErrExhausted for no space, quota or
// file descriptors, ErrDenied for missing rights, ErrNotFound, and ErrUnavailable for the rest,
// such as an I/O error. An error that already has a class keeps it.
func Class(err error) error {
	if c := faas.Class(err); c != faas.ErrInternal {
		return c
	}
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, full) {
			return faas.ErrExhausted
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return faas.ErrNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return faas.ErrDenied
	}
	return faas.ErrUnavailable
}

// SyncDir makes the entries of a directory durable.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil // has no such call; NTFS journals its directories
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
