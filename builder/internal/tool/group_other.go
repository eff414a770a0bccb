//go:build !unix

package tool

import "os/exec"

// Without process groups only the tool itself can be killed.
func group(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) error { return cmd.Process.Kill() }

func endGroup(*exec.Cmd) {}
