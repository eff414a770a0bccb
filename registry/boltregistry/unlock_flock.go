//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package boltregistry

import (
	"os"
	"syscall"
)

// release lets go of a file that bbolt panicked over. Closing is not enough: the mapping, which
// stays, holds the lock too.
func release(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	_ = f.Close()
}
