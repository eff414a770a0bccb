//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Modes in which the program starts itself.
const (
	modeDaemonParent = "daemon-parent" // starts a sleeper in a new session, prints its pid, exits
	modeSleeper      = "sleeper"       // ignores SIGTERM and sleeps
)

func child(mode string) int {
	if mode == modeDaemonParent {
		c, err := startSleeper(true)
		if err != nil {
			fatal(err)
		}
		fmt.Println(c.Process.Pid)
		return 0
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	time.Sleep(time.Hour)
	return 0
}

func startSleeper(newSession bool) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.Command(self, modeSleeper)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: newSession}
	return c, c.Start()
}

// daemon does what a daemon does to get away from its parent: it forks twice,
// into a new session each time.
func daemon(w http.ResponseWriter, _ *http.Request) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.Command(self, modeDaemonParent)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := c.Output()
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(w, strings.TrimSpace(string(out)))
	return err
}

// forkBomb is bounded by max, so that it does no harm where no limit holds it.
func forkBomb(w http.ResponseWriter, r *http.Request) error {
	n := 0
	for ; n < query(r, "max", 200); n++ {
		if _, err := startSleeper(false); err != nil {
			break
		}
	}
	_, err := fmt.Fprint(w, n)
	return err
}
