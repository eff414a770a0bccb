//go:build linux

package procdriver_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// show is this program as a function: it tells on stderr what it was given, and ends.
func show() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "/sys/fs/cgroup/") || to == "anon_inode:[eventpoll]" || to == "anon_inode:[eventfd]" {
			continue // the directory itself; what the Go runtime reads its share of CPU from; its poller
		}
		kind, _, _ := strings.Cut(to, ":")
		fmt.Fprintf(os.Stderr, "fd %s %s\n", e.Name(), kind)
	}
	env := os.Environ()
	sort.Strings(env)
	for _, kv := range env {
		fmt.Fprintln(os.Stderr, "env", kv)
	}
	wd, err := os.Getwd()
	fmt.Fprintln(os.Stderr, "cwd", wd, err)
	pid := os.Getpid()
	sid, _, _ := syscall.Syscall(syscall.SYS_GETSID, 0, 0, 0)
	fmt.Fprintln(os.Stderr, "leads", int(sid) == pid, syscall.Getpgrp() == pid)
	for _, file := range []string{"status", "limits"} {
		text, _ := os.ReadFile("/proc/self/" + file)
		for line := range strings.Lines(string(text)) {
			for _, want := range []string{"Umask:", "Max core file size", "Max open files", "Max file size"} {
				if rest, ok := strings.CutPrefix(line, want); ok {
					fmt.Fprintln(os.Stderr, want, strings.Fields(rest)[0])
				}
			}
		}
	}
	os.Exit(3)
}

// answer is this program as a function that is run for each request; the path says
// what it does.
func answer() {
	query, _ := url.ParseQuery(os.Getenv("Http_Query"))
	number := func(key string) int {
		n, _ := strconv.Atoi(query.Get(key))
		return n
	}
	switch os.Getenv("Http_Path") {
	case "/env":
		vars := map[string]string{}
		for _, kv := range os.Environ() {
			k, v, _ := strings.Cut(kv, "=")
			vars[k] = v
		}
		_ = json.NewEncoder(os.Stdout).Encode(vars)
	case "/stream":
		for i := range number("n") {
			fmt.Println("chunk", i)
			time.Sleep(time.Duration(number("ms")) * time.Millisecond)
		}
	case "/log":
		out := os.Stderr
		if query.Get("stream") == "stdout" {
			fmt.Fprintln(os.Stderr, "stdout is the answer")
			out = os.Stdout
		}
		fmt.Fprintln(out, query.Get("text"))
	case "/daemon":
		leaveDaemon()
	case "/exit":
		fmt.Print("so far")
		os.Exit(number("code"))
	case "/crash":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "/big": // fails only after its output is on the way
		w := bufio.NewWriter(os.Stdout)
		for range number("kb") {
			_, _ = w.WriteString(strings.Repeat("x", 1024))
		}
		_ = w.Flush()
		os.Exit(number("code"))
	case "/alloc":
		var held [][]byte
		for range number("mb") {
			held = append(held, []byte(strings.Repeat("x", 1<<20)))
		}
		fmt.Print(len(held))
	case "/hang": // reads nothing
		fmt.Fprintln(os.Stderr, "hanging", os.Getpid())
		time.Sleep(time.Hour)
	case "/overlap": // answers whether another call ran meanwhile
		if f, err := os.OpenFile("busy", os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_ = f.Close()
			time.Sleep(20 * time.Millisecond)
			_ = os.Remove("busy")
			fmt.Print("alone")
		} else {
			fmt.Print("together")
		}
	default:
		_, _ = io.Copy(os.Stdout, os.Stdin)
	}
}

// garbage answers the inherited socket with something that is not HTTP.
func garbage() {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		os.Exit(1)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		_, _ = conn.Write([]byte("SSH-2.0-something else\r\n"))
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

// leaveDaemon forks twice into sessions of their own, and answers the last one's id.
func leaveDaemon() {
	again := func(mode string) *exec.Cmd {
		c := exec.Command("/proc/self/exe", mode)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return c
	}
	switch os.Args[1] {
	case "answer":
		out, err := again("daemon-parent").Output()
		fmt.Print(string(out))
		if err != nil {
			os.Exit(1)
		}
	case "daemon-parent":
		c := again("daemon")
		if err := c.Start(); err != nil {
			os.Exit(1)
		}
		fmt.Print(c.Process.Pid)
	default:
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		time.Sleep(time.Hour)
	}
}

// beFunction runs this program as a function if it was started as one.
func beFunction() bool {
	if len(os.Args) < 2 {
		return false
	}
	switch os.Args[1] {
	case "show":
		show()
	case "answer":
		answer()
	case "garbage":
		garbage()
	case "daemon-parent", "daemon":
		leaveDaemon()
	default:
		return false
	}
	return true
}
