// Command faas-driver-proc is package procdriver as a driver plugin: instances that are
// processes, started by a process that is not the platform's.
//
//	p, err := driverplugin.Open(ctx, "/usr/lib/joinery/faas-driver-proc", &driverplugin.Options{
//		Args: []string{"-dir", "/var/lib/joinery/proc"},
//	})
package main

import (
	"context"
	"flag"
	"log/slog"

	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

func main() {
	var o procdriver.Options
	flag.StringVar(&o.Dir, "dir", "", "where private directories are made, and those of predecessors found (default: the temporary directory)")
	flag.BoolVar(&o.NoCgroups, "no-cgroups", false, "leave the machine's cgroups alone")
	flag.Parse()
	driverplugin.Serve(func(_ context.Context, log *slog.Logger) (driver.Driver, error) {
		o.Logger = log
		return procdriver.New(&o)
	})
}
