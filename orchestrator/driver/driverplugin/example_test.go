//go:build linux

package driverplugin_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/memdriver"
)

// A plugin is opened by the path of its program, here that of the template.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "faas-driver-echo")
	if out, err := exec.Command("go", "build", "-o", path, "./template").CombinedOutput(); err != nil {
		fmt.Println(err, string(out))
		return
	}
	ctx := context.Background()
	p, err := driverplugin.Open(ctx, path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	info, err := p.Info(ctx)
	fmt.Println(info.Name, info.Contracts, err)
	st, err := p.Start(ctx, driver.Task{ID: "i1", Contract: faas.ContractSocket, Command: []string{"echo"}})
	fmt.Println(st.State, st.Endpoint.Network, err)
	// Output:
	// echo [http-socket] <nil>
	// running unix <nil>
}

// The main function of a plugin.
func ExampleServe() {
	main := func() {
		driverplugin.Serve(func(_ context.Context, log *slog.Logger) (driver.Driver, error) {
			return memdriver.New(&memdriver.Options{Logger: log}), nil
		})
	}
	_ = main // it would end this program: there is no platform
	// Output:
}

// A driver is seen across the wire without a process.
func ExamplePipe() {
	ctx := context.Background()
	d, err := driverplugin.Pipe(ctx, memdriver.New(nil))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	info, err := d.Info(ctx)
	fmt.Println(info.Contracts, err) // handlers cannot leave their process
	// Output:
	// [http-socket http] <nil>
}
