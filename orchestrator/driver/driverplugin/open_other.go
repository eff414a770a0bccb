//go:build !linux

package driverplugin

import (
	"context"
	"runtime"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// Plugin is a driver in a child process. There is none on this operating system.
type Plugin struct{ driver.Driver }

// Open returns ErrUnimplemented on this operating system: a plugin is executed by a
// descriptor of its file, and killed as a process group, as Linux does it. Serve and Pipe work.
func Open(_ context.Context, path string, o *Options) (*Plugin, error) {
	if _, err := o.withDefaults(path); err != nil {
		return nil, err
	}
	return nil, faas.Errorf(component, "open", path, faas.ErrUnimplemented, "driver plugins need Linux, this is %s", runtime.GOOS)
}

// Health returns no process.
func (p *Plugin) Health() Health { return Health{} }

// Detach returns ErrUnimplemented on this operating system.
func (p *Plugin) Detach() error {
	return faas.Errorf(component, "detach", "", faas.ErrUnimplemented, "driver plugins need Linux, this is %s", runtime.GOOS)
}
