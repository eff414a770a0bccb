package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// workflowPeers measures other engines beside ours in a program of its own, built from
// a module and a workspace of its own.
func workflowPeers() ([]Figure, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/joinery/faas/internal/bench").Output()
	if err != nil {
		return nil, fmt.Errorf("find the sources of the peers: %w", err)
	}
	src := filepath.Join(strings.TrimSpace(string(out)), "peers")
	dir, err := os.MkdirTemp("", "joinery-peers-bin")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "peers")
	fmt.Fprintln(os.Stderr, "workflow-peers: building the peers; the first time this takes minutes")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Dir = src
	build.Env = append(os.Environ(), "GOWORK="+filepath.Join(src, "go.work"))
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the peers: %w: %s", err, bytes.TrimSpace(out))
	}
	peers := exec.Command(bin)
	peers.Stderr = os.Stderr
	printed, err := peers.Output()
	if err != nil {
		return nil, err
	}
	var figures []Figure
	return figures, json.Unmarshal(printed, &figures)
}
