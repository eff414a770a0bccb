//go:build unix

package tool

import (
	"os/exec"
	"syscall"
	"time"
)

// group starts the tool as the leader of a process group.
func group(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// endGroup kills what is left of the group of an ended tool and waits until it is gone. The
// bound is for a system whose init process reaps nothing: the dead stay in the group there.
func endGroup(cmd *exec.Cmd) {
	for range 500 {
		if killGroup(cmd) != nil {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}
