// Command template is a whole driver plugin, to copy and to change. Its instances are HTTP
// servers that answer with the body of the request.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
)

func main() {
	driverplugin.Serve(func(_ context.Context, log *slog.Logger) (driver.Driver, error) {
		log.Info("the driver is made")
		return driver.Simple(driver.Info{
			Name:      "echo",
			Version:   "0.1.0",
			Contracts: []faas.Contract{faas.ContractSocket},
			// Declare a limit only where it is really applied: the kit tries it out.
		}, start), nil
	})
}

// start starts one instance and returns when it serves. What it cannot start it names with
// a class of package faas; a start that fails leaves nothing behind.
func start(_ context.Context, t driver.Task) (driver.Run, error) {
	if t.Command[0] != "echo" {
		return driver.Run{}, faas.Errorf("echo", "start", t.ID, faas.ErrNotFound, "there is no program %q", t.Command[0])
	}
	dir, err := os.MkdirTemp("", "echo-")
	if err != nil {
		return driver.Run{}, faas.Errorf("echo", "start", t.ID, faas.ErrExhausted, "%w", err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		_ = os.RemoveAll(dir)
		return driver.Run{}, faas.Errorf("echo", "start", t.ID, faas.ErrInternal, "%w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(echo)}
	go server.Serve(l)
	return driver.Run{
		Endpoint: driver.Endpoint{Network: "unix", Address: socket},
		End: func(ctx context.Context) {
			_ = server.Shutdown(ctx) // politely, until ctx ends
			_ = server.Close()       // by force
			_ = os.RemoveAll(dir)
		},
	}, nil
}

func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/stream" {
		_, _ = io.Copy(w, r.Body)
		return
	}
	n, _ := strconv.Atoi(r.FormValue("n")) // for the kit, which wants to see a call in flight
	ms, _ := strconv.Atoi(r.FormValue("ms"))
	for i := range n {
		fmt.Fprintln(w, "chunk", i)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
}
