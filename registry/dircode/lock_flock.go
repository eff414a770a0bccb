//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dircode

import (
	"os"
	"syscall"
)

// lock marks f as in use until it is closed, or its process ends in whatever way.
func lock(f *os.File) error { return flock(f, syscall.LOCK_EX) }

// abandoned reports whether nobody holds the lock.
func abandoned(f *os.File) bool { return flock(f, syscall.LOCK_EX|syscall.LOCK_NB) == nil }

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			return err
		}
	}
}
