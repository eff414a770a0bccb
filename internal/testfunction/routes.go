//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// routes maps paths to behaviours. Sizes and times come from the query.
//
//	/echo                     the body and its content type back; any other path too
//	/env /cwd /pid            environment as a JSON object; working directory; process id
//	/sleep?ms=                answers after a while, or when the caller goes away
//	/slow?ms=&for=            answers its process id, and for so many ms every request so much later
//	/burn?ms=                 keeps one CPU busy
//	/alloc?mb=                takes memory and keeps it
//	/open?n=                  holds n files open; answers how many it got
//	/write?bytes=             writes a file of that size into the working directory
//	/stream?n=&ms=            n flushed chunks, one line each
//	/headers?n=               an answer with n bytes of headers
//	/log?text=&stream=        one line to stdout or stderr
//	/flood?bytes=             that much on stdout: lines, one giant line, NUL bytes
//	/exit?code= /crash        ends without an answer: by os.Exit, by SIGKILL
//	/die-mid-response         promises 1000 bytes, sends 10, exits
//	/garbage                  answers something that is not HTTP
//	/fork-bomb?max=           starts processes until it cannot; answers how many
//	/daemon                   leaves a process in a session of its own; answers its pid
func routes() http.Handler {
	mux := http.NewServeMux()
	for path, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"/": echo, "/echo": echo, "/env": env, "/cwd": cwd, "/pid": pid,
		"/sleep": sleep, "/slow": slow, "/burn": burn, "/alloc": alloc, "/open": open, "/write": write,
		"/stream": stream, "/headers": headers, "/log": logLine, "/flood": flood,
		"/exit": exit, "/crash": crash, "/die-mid-response": dieMidResponse, "/garbage": garbage,
		"/fork-bomb": forkBomb, "/daemon": daemon,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if path != "/slow" {
				pause(r, time.Duration(slowness.Load()))
			}
			if err := h(w, r); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return mux
}

func query(r *http.Request, key string, otherwise int) int {
	return number(r.URL.Query().Get(key), otherwise)
}

func ms(r *http.Request, otherwise int) time.Duration {
	return time.Duration(query(r, "ms", otherwise)) * time.Millisecond
}

func echo(w http.ResponseWriter, r *http.Request) error {
	if t := r.Header.Get("Content-Type"); t != "" {
		w.Header().Set("Content-Type", t)
	}
	_, err := io.Copy(w, r.Body)
	return err
}

func env(w http.ResponseWriter, _ *http.Request) error {
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(vars)
}

func cwd(w http.ResponseWriter, _ *http.Request) error {
	dir, err := os.Getwd()
	if err == nil {
		_, err = io.WriteString(w, dir)
	}
	return err
}

func pid(w http.ResponseWriter, _ *http.Request) error {
	_, err := fmt.Fprint(w, os.Getpid())
	return err
}

func sleep(w http.ResponseWriter, r *http.Request) error {
	pause(r, ms(r, 1000))
	_, err := io.WriteString(w, "slept")
	return err
}

// pause waits for d, or until the caller goes away.
func pause(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// slowness is what /slow asked for, as a time.Duration.
var slowness atomic.Int64

func slow(w http.ResponseWriter, r *http.Request) error {
	slowness.Store(int64(ms(r, 1000)))
	time.AfterFunc(time.Duration(query(r, "for", 1000))*time.Millisecond, func() { slowness.Store(0) })
	return pid(w, r)
}

func burn(w http.ResponseWriter, r *http.Request) error {
	n := uint64(0)
	for end := time.Now().Add(ms(r, 100)); time.Now().Before(end); {
		for i := range uint64(1000) {
			n += n ^ i
		}
	}
	_, err := fmt.Fprint(w, n)
	return err
}

// held keeps what /alloc and /open took; requests of those come one at a time.
var held struct {
	memory [][]byte
	files  []*os.File
}

func alloc(w http.ResponseWriter, r *http.Request) error {
	const mb = 1 << 20
	for range query(r, "mb", 1) {
		held.memory = append(held.memory, bytes.Repeat([]byte{1}, mb)) // written, so that it is real
	}
	_, err := fmt.Fprint(w, len(held.memory))
	return err
}

func open(w http.ResponseWriter, r *http.Request) error {
	n := 0
	for ; n < query(r, "n", 1); n++ {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held.files = append(held.files, f)
	}
	_, err := fmt.Fprint(w, n)
	return err
}

func write(w http.ResponseWriter, r *http.Request) error {
	name := filepath.Join(".", "written")
	if err := os.WriteFile(name, make([]byte, query(r, "bytes", 1)), 0o600); err != nil {
		return err
	}
	_, err := io.WriteString(w, name)
	return err
}

func stream(w http.ResponseWriter, r *http.Request) error {
	out := http.NewResponseController(w)
	for i := range query(r, "n", 3) {
		if _, err := fmt.Fprintf(w, "chunk %d\n", i); err != nil {
			return nil // the caller has gone
		}
		_ = out.Flush()
		time.Sleep(ms(r, 0))
	}
	return nil
}

func headers(w http.ResponseWriter, r *http.Request) error {
	const piece = 1 << 10
	for n, i := query(r, "n", piece), 0; n > 0; n, i = n-piece, i+1 {
		w.Header().Set(fmt.Sprintf("X-Filler-%d", i), strings.Repeat("h", min(n, piece)))
	}
	_, err := io.WriteString(w, "headers")
	return err
}

func logLine(w http.ResponseWriter, r *http.Request) error {
	out := os.Stdout
	if r.URL.Query().Get("stream") == "stderr" {
		out = os.Stderr
	}
	if _, err := fmt.Fprintln(out, r.URL.Query().Get("text")); err != nil {
		return err
	}
	_, err := io.WriteString(w, "logged")
	return err
}

func flood(w http.ResponseWriter, r *http.Request) error {
	n := query(r, "bytes", 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	line := strings.Repeat("flood ", 16) + "\n"
	for left := n / 2; left > 0; left -= len(line) {
		_, _ = out.WriteString(line)
	}
	giant := bytes.Repeat([]byte("G"), n/4)
	_, _ = out.Write(append(giant, '\n'))
	_, _ = out.Write(append(make([]byte, n/4), '\n'))
	if err := out.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, "flooded")
	return err
}

func exit(_ http.ResponseWriter, r *http.Request) error {
	os.Exit(query(r, "code", 1))
	return nil
}

func crash(http.ResponseWriter, *http.Request) error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		return err
	}
	select {}
}

func dieMidResponse(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Length", "1000")
	if _, err := io.WriteString(w, "ten bytes."); err != nil {
		return err
	}
	_ = http.NewResponseController(w).Flush()
	os.Exit(1)
	return nil
}

func garbage(w http.ResponseWriter, _ *http.Request) error {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("\x00\xffthis is not HTTP\r\n\r\n"))
	return nil
}
