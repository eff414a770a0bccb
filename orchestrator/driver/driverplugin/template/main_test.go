package main

import (
	"testing"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin/driverplugintest"
	"github.com/joinery/faas/orchestrator/driver/drivertest"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, driverplugintest.Binary(drivertest.Harness{Task: task}, driverplugintest.Build(t, "."), nil))
}

// task tells the kit how to start what it needs, and says what this driver has no instances for.
func task(tb testing.TB, b drivertest.Behaviour) driver.Task {
	program, ok := map[drivertest.Behaviour]string{drivertest.Serve: "echo", drivertest.Missing: "nothing"}[b]
	if !ok {
		tb.Skipf("an echo cannot %s", b)
	}
	return driver.Task{Contract: faas.ContractSocket, Command: []string{program}}
}
