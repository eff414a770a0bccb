//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package dirdefinitions

import (
	"os"

	"github.com/joinery/faas"
)

// lock is refused where there is no flock: without it a second process would give numbers twice.
func lock(path string) (*os.File, error) {
	return nil, faas.Errorf("workflow registry", "lock", path, faas.ErrUnimplemented, "this system has no advisory locks on files")
}
