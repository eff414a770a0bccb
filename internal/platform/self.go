package platform

import (
	"os"
	"syscall"
)

// CopySelf copies this program to a place where nobody else may change it, as plugins must be.
func CopySelf(path string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	syscall.ForkLock.RLock() // a child that is just being born would keep the file busy
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, program, 0o755)
}
