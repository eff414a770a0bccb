package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
	"github.com/joinery/faas/orchestrator/driver/procdriver"
)

// openDriver returns the driver whose instances are not in this process: "proc", or "docker", which is
// a plugin like any third party's: a program of its own that speaks gRPC.
func openDriver(ctx context.Context, name, dir string) (driver.Driver, error) {
	switch name {
	case "proc":
		return procdriver.New(&procdriver.Options{Dir: filepath.Join(dir, "instances")})
	case "docker":
		const source = "github.com/joinery/faas/orchestrator/driver/dockerdriver/cmd/faas-driver-docker"
		plugin := filepath.Join(dir, "faas-driver-docker")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", plugin, source).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the Docker driver: %w\n%s", err, out)
		}
		env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "JOINERY_DOCKER_DIR=" + dir}
		if host, ok := os.LookupEnv("DOCKER_HOST"); ok {
			env = append(env, "DOCKER_HOST="+host)
		}
		return driverplugin.Open(ctx, plugin, &driverplugin.Options{Env: env})
	}
	return nil, fmt.Errorf("-driver %q: there are proc and docker", name)
}
