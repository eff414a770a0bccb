package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/platform"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
)

// broken is a plugin that does not start, in one of many ways.
func broken(how string) {
	switch how {
	case "junk":
		fmt.Println("Welcome to my driver!")
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot find my configuration")
		os.Exit(3)
	case "wrong-version":
		fmt.Println("1|99|unix|/tmp/x|grpc|")
	case "wrong-cookie":
		fmt.Fprintln(os.Stderr, "this is a plugin of something else")
		os.Exit(1)
	case "huge-line":
		fmt.Println(strings.Repeat("x", 1<<20))
	case "partial-line":
		fmt.Print("1|1|unix|/tmp/x")
	case "fork":
		self, _ := os.Executable()
		child := exec.Command(self, roleBroken, "silent")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		_ = child.Start()
		os.Exit(0)
	case "closed-stdout":
		_ = os.Stdout.Close()
	}
	time.Sleep(time.Hour)
}

// pluginStart opens plugins that do not start.
func pluginStart() ([]Figure, error) {
	dir, err := os.MkdirTemp("", "joinery-plugins-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	plugin := filepath.Join(dir, "plugin")
	if err := platform.CopySelf(plugin); err != nil {
		return nil, err
	}
	program, err := os.ReadFile(plugin)
	if err != nil {
		return nil, err
	}
	foreign := append([]byte(nil), program...)
	foreign[18] ^= 0x7f // e_machine of the ELF header
	unusable := map[string]struct {
		content []byte
		mode    os.FileMode
	}{"no-exec-bit": {program, 0o644}, "wrong-arch": {foreign, 0o755}, "world-writable": {program, 0o777}}
	for name, f := range unusable {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), f.content, f.mode), os.Chmod(filepath.Join(dir, name), f.mode)); err != nil {
			return nil, err
		}
	}
	const timeout = 2 * time.Second
	var told, late, unclear float64
	open := func(name, path string, o driverplugin.Options) {
		o.StartTimeout, o.Env = timeout, []string{"TMPDIR=" + dir}
		began := time.Now()
		p, err := driverplugin.Open(context.Background(), path, &o)
		took := time.Since(began)
		switch class := faas.Class(err); {
		case err == nil:
			unclear++
			fmt.Fprintf(os.Stderr, "plugin-start: %s was opened\n", name)
			_ = p.Close()
		case errors.Is(class, faas.ErrInternal), !strings.Contains(err.Error(), path):
			unclear++
			fmt.Fprintf(os.Stderr, "plugin-start: %s: %v\n", name, err)
		default:
			told++
		}
		if took > timeout+time.Second {
			late++
		}
	}
	for _, how := range []string{"junk", "exit", "silent", "wrong-version", "wrong-cookie", "huge-line", "partial-line", "fork", "closed-stdout"} {
		open(how, plugin, driverplugin.Options{Args: []string{roleBroken, how}})
	}
	for name := range unusable {
		open(name, filepath.Join(dir, name), driverplugin.Options{Args: []string{rolePlugin, dir}})
	}
	open("bad-checksum", plugin, driverplugin.Options{Args: []string{rolePlugin, dir}, SHA256: strings.Repeat("0", 64)})
	left, err := wait("plugins are left", 5*time.Second, func() bool { n, z := processesUnder(dir); return n+z == 0 })
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin-start:", err)
	}
	processes, zombies := processesUnder(dir)
	return []Figure{
		{Name: "plugin-start-told-clearly", Value: told, Unit: "failures", Op: "==", Bound: 13},
		{Name: "plugin-start-unclear", Value: unclear, Unit: "failures", Op: "==", Bound: 0},
		{Name: "plugin-start-told-late", Value: late, Unit: "failures", Op: "==", Bound: 0},
		{Name: "plugin-start-processes-left", Value: float64(processes + zombies), Unit: "processes", Op: "==", Bound: 0},
		{Name: "plugin-start-gone-after", Value: left.Seconds() * 1000, Unit: "ms"},
	}, nil
}
