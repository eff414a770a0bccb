//go:build !linux

package procdriver

import (
	"runtime"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Driver starts instances as processes. There is none on this operating system.
type Driver struct {
	driver.Driver
	driver.LogSource
}

// New returns ErrUnimplemented on this operating system.
func New(o *Options) (*Driver, error) {
	if _, err := o.withDefaults(); err != nil {
		return nil, err
	}
	return nil, faas.Errorf(component, "configure", "proc", faas.ErrUnimplemented, "processes as instances need Linux, this is %s", runtime.GOOS)
}
