//go:build unix

package tool

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// group starts the tool as the leader of a process group.
func group(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// endGroup kills what is left of the group of an ended tool and waits until none of it runs. It
// cannot wait for the group to be empty: the dead stay in it until their new parent, the
// system's init process for instance, reaps them, and some never do.
func endGroup(cmd *exec.Cmd) {
	for range 500 {
		if killGroup(cmd) != nil || !running(cmd.Process.Pid) {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// running reports whether a process of the group is more than a zombie; true where there is no /proc.
func running(pgid int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return true
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // gone meanwhile
		}
		// pid (name) state ppid pgrp ...; the name may hold anything (proc(5))
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 2 && string(fields[2]) == strconv.Itoa(pgid) && string(fields[0]) != "Z" && string(fields[0]) != "X" {
			return true
		}
	}
	return false
}
