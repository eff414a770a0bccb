//go:build unix

package httpinstance

import (
	"errors"
	"syscall"
)

// nothingToRead reports whether the socket is open and has no byte waiting.
func nothingToRead(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
	return errors.Is(err, syscall.EAGAIN)
}
