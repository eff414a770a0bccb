// Command faas-driver-docker is the driver plugin whose instances are containers of the Docker Engine on
// this machine; see package dockerdriver. A platform opens it with driverplugin.Open. Its environment
// configures it:
//
//	DOCKER_HOST              where the engine listens: "unix:///path" (default unix:///var/run/docker.sock)
//	JOINERY_DOCKER_DIR       where private directories are made (default: the system's for temporary files)
//	JOINERY_DOCKER_BASE      the image of functions without one (default: an empty one)
//	JOINERY_DOCKER_NETWORK   the network that instances join (default: none)
//	JOINERY_DOCKER_PULL      missing, never or always (default: missing)
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
)

func main() {
	driverplugin.Serve(func(ctx context.Context, log *slog.Logger) (driver.Driver, error) {
		pull, known := map[string]dockerdriver.Pull{"": dockerdriver.PullMissing, "missing": dockerdriver.PullMissing,
			"never": dockerdriver.PullNever, "always": dockerdriver.PullAlways}[os.Getenv("JOINERY_DOCKER_PULL")]
		if !known {
			return nil, faas.Errorf("driver", "configure", "JOINERY_DOCKER_PULL", faas.ErrInvalidArgument, "is not missing, never or always")
		}
		return dockerdriver.New(ctx, &dockerdriver.Options{Host: os.Getenv("DOCKER_HOST"), Dir: os.Getenv("JOINERY_DOCKER_DIR"),
			Base: os.Getenv("JOINERY_DOCKER_BASE"), Network: os.Getenv("JOINERY_DOCKER_NETWORK"), Pull: pull, Logger: log})
	})
}
