package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// postgres is a server of our own on a unix socket, with settings as shipped.
type postgres struct {
	server *exec.Cmd
	url    string
}

// startPostgres makes a database below a directory of its own and serves it; as user
// postgres when this process is root, as whom Postgres refuses to run.
func startPostgres(dir string) (_ *postgres, err error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "pg")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT}
	if os.Getuid() == 0 {
		if attr.Credential, err = asPostgres(dir); err != nil {
			return nil, err
		}
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr = dir, attr
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := command("initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, lastLine(out))
	}
	// fsync and synchronous_commit are on by default.
	server := command("postgres", "-D", data, "-k", dir, "-h", "")
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		return nil, err
	}
	p := &postgres{server: server, url: "postgres://bench@/postgres?" + url.Values{"host": {dir}}.Encode()}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := command("pg_isready", "-q", "-h", dir).Run()
		if err == nil {
			return p, nil
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("postgres is not ready after 15 s: %w", err), p.Close())
		}
	}
}

func (p *postgres) Close() error {
	if err := p.server.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	return p.server.Wait()
}

// postgresBin is the directory of Debian's or the PATH's server.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(slices.Max(found)), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("no Postgres on this machine (Debian: apt-get install postgresql)")
	}
	return filepath.Dir(path), nil
}

// asPostgres gives the directory to user postgres, who can reach it if every directory
// above can be entered.
func asPostgres(dir string) (*syscall.Credential, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.Chown(dir, uid, gid), os.Chmod(filepath.Dir(dir), 0o711)); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}
