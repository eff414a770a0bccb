package dockerdriver_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
)

func ExampleNew() {
	ctx := context.Background()
	d, err := dockerdriver.New(ctx, &dockerdriver.Options{Host: "unix:///run/no-engine.sock"})
	if errors.Is(err, faas.ErrUnavailable) {
		fmt.Println("no Docker Engine listens there")
		return
	}
	defer d.Close()
	st, err := d.Start(ctx, driver.Task{ID: "hello-1", Contract: faas.ContractSocket, Image: "registry.example/hello:1"})
	fmt.Println(st.Endpoint.Address, err)
	// Output: no Docker Engine listens there
}
