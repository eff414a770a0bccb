package main

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/archive"
	"github.com/joinery/faas/router/httpfront"
)

// listen serves the handler on loopback.
func listen(h http.Handler) (url string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := httpfront.NewServer(h)
	go srv.Serve(l)
	return "http://" + l.Addr().String(), srv.Close, nil
}

// hostileHTTP sends raw requests to the HTTP front. Each must be refused with one of
// the statuses, or hang up, and the next ordinary call must work.
func hostileHTTP() ([]Figure, error) {
	w, err := newWorld(faas.Spec{Concurrency: 4})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	url, stop, err := listen(httpfront.New(w.Router, nil))
	if err != nil {
		return nil, err
	}
	defer stop()
	addr := strings.TrimPrefix(url, "http://")
	const hangUp = 0
	type hostile struct {
		name, raw string
		want      []int
	}
	long := strings.Repeat("a", 10_000)
	cases := []hostile{
		{"two lengths", "POST /function/victim/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", []int{400}},
		{"negative length", "POST /function/victim/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", []int{400}},
		{"unknown coding", "POST /function/victim/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", []int{400, 501}},
		{"space before colon", "POST /function/victim/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n", []int{400}},
		{"no host", "GET /function/victim/echo HTTP/1.1\r\n\r\n", []int{400}},
		{"two hosts", "GET /function/victim/echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", []int{400}},
		{"space in target", "GET /function/victim/ echo HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		{"chunk overflow", "POST /function/victim/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", []int{400, hangUp}},
		{"bad chunk", "POST /function/victim/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", []int{400, hangUp}},
		{"huge header", "GET /function/victim/echo HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 2<<20) + "\r\n\r\n", []int{431, hangUp}},
		{"control byte in header", "GET /function/victim/echo HTTP/1.1\r\nHost: x\r\nX: a\x01b\r\n\r\n", []int{400}},
		{"NUL in header", "GET /function/victim/echo HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", []int{400}},
		{"connect", "CONNECT /function/victim/echo HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404, 405, 501}},
		{"upgrade", "GET /function/victim/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", []int{501}},
		{"name with dots", "GET /function/../victim/echo HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"name with encoded dots", "GET /function/%2e%2e/victim HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"name with NUL", "GET /function/vic%00tim/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"name with slash", "GET /function/vic%2ftim/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"name in upper case", "GET /function/VICTIM/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"name that looks alike", "GET /function/vict%C4%B1m/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"name right to left", "GET /function/%E2%80%AEvictim/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"name of 10 kB", "GET /function/" + long + "/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404, 414}},
		{"no name", "GET /function/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"three parts", "GET /function/a.b.c/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"unknown function", "GET /function/nobody/ HTTP/1.1\r\nHost: x\r\n\r\n", []int{404}},
		{"unknown path", "GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n", []int{404}},
		{"oversize by length", "POST /function/victim/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", []int{413}},
		{"garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400, hangUp}},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 404, 505, hangUp}},
		{"version 9", "GET /function/victim/echo HTTP/9.9\r\nHost: x\r\n\r\n", []int{400, 505}},
	}
	var right, healthy float64
	for _, c := range cases {
		status, err := rawStatus(addr, c.raw)
		if err != nil {
			return nil, err
		}
		ok := false
		for _, s := range c.want {
			ok = ok || s == status
		}
		if !ok {
			fmt.Printf("# %s: answered %d, want one of %v\n", c.name, status, c.want)
		}
		right += count(ok)
		resp, err := http.Get(url + "/function/victim/echo")
		if err == nil {
			resp.Body.Close()
			healthy += count(resp.StatusCode == http.StatusOK)
		}
	}
	// net/http obeys the chunks of a request that also has a length, and hides the length from
	// handlers. Nothing behind such a request may be taken for a second one.
	smuggled, err := responses(addr, "POST /function/victim/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"0\r\n\r\nGET /function/victim/echo HTTP/1.1\r\nHost: x\r\n\r\n")
	if err != nil {
		return nil, err
	}
	return []Figure{
		{Name: "hostile-http-smuggled", Value: float64(smuggled - 1), Unit: "requests", Op: "<=", Bound: 0},
		{Name: "hostile-http-refused", Value: right, Unit: "cases", Op: "==", Bound: float64(len(cases))},
		{Name: "hostile-http-serving-after", Value: healthy, Unit: "cases", Op: "==", Bound: float64(len(cases))},
	}, nil
}

// dialRaw connects for one exchange of at most 5 s.
func dialRaw(addr string) (net.Conn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(5 * time.Second))
}

// rawStatus sends bytes and returns the status of the answer; 0 when there is none.
func rawStatus(addr, raw string) (int, error) {
	conn, err := dialRaw(addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	go io.WriteString(conn, raw)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, nil
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// responses sends bytes and counts the answers until the connection is closed.
func responses(addr, raw string) (int, error) {
	conn, err := dialRaw(addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(conn)
	return strings.Count(string(answer), "HTTP/1.1 "), err
}

// hostileArchives unpacks archives that try to do harm. Each must be refused as
// an invalid argument, and nothing may be written outside or left behind.
func hostileArchives() ([]Figure, error) {
	dir, err := os.MkdirTemp("", "joinery-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	type entry struct {
		name, link string
		kind       byte
		mode       int64
		body       string
	}
	var cases [][]entry
	for _, name := range []string{"../evil", "/evil", "a/../../evil", `..\evil`, `C:\evil`, "a\x00b", strings.Repeat("a", 5000), ".."} {
		cases = append(cases, []entry{{name: name, kind: tar.TypeReg, body: "x"}})
	}
	cases = append(cases,
		[]entry{{name: "l", kind: tar.TypeSymlink, link: "/etc"}, {name: "l/evil", kind: tar.TypeReg, body: "x"}},
		[]entry{{name: "l", kind: tar.TypeSymlink, link: "../.."}},
		[]entry{{name: "h", kind: tar.TypeLink, link: "/etc/passwd"}},
		[]entry{{name: "d", kind: tar.TypeChar}},
		[]entry{{name: "b", kind: tar.TypeBlock}},
		[]entry{{name: "f", kind: tar.TypeFifo}},
		[]entry{{name: "same", kind: tar.TypeReg, body: "1"}, {name: "same", kind: tar.TypeReg, body: "2"}},
		[]entry{{name: "Case", kind: tar.TypeReg, body: "1"}, {name: "case", kind: tar.TypeReg, body: "2"}},
	)
	var refused, total float64
	for i, c := range cases {
		var plain bytes.Buffer
		w := tar.NewWriter(&plain)
		for _, e := range c {
			h := &tar.Header{Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: 0o644 | e.mode, Size: int64(len(e.body))}
			if err := w.WriteHeader(h); err != nil {
				break // what the writer refuses cannot arrive either
			}
			io.WriteString(w, e.body)
		}
		w.Close()
		if plain.Len() <= 1024 {
			continue
		}
		total++
		refused += count(tryUnpack(dir, i, func(to string) error {
			return archive.UnpackTar(context.Background(), &plain, to, archive.Limits{})
		}))
	}
	// Bombs: a small archive of much, plain and in the zip format.
	zeros := make([]byte, 1<<20)
	var tgz bytes.Buffer
	gz := gzip.NewWriter(&tgz)
	tw := tar.NewWriter(gz)
	tw.WriteHeader(&tar.Header{Name: "bomb", Typeflag: tar.TypeReg, Size: 300 << 20, Mode: 0o644})
	for range 300 {
		tw.Write(zeros)
	}
	tw.Close()
	gz.Close()
	var zipped bytes.Buffer
	zw := zip.NewWriter(&zipped)
	f, err := zw.Create("bomb")
	if err != nil {
		return nil, err
	}
	for range 300 {
		f.Write(zeros)
	}
	zw.Close()
	total += 2
	refused += count(tryUnpack(dir, 1000, func(to string) error {
		return archive.UnpackTarGz(context.Background(), &tgz, to, archive.Limits{})
	}))
	refused += count(tryUnpack(dir, 1001, func(to string) error {
		return archive.UnpackZip(context.Background(), bytes.NewReader(zipped.Bytes()), int64(zipped.Len()), to, archive.Limits{})
	}))
	escaped := 0
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			escaped++
		}
		return nil
	})
	return []Figure{
		{Name: "hostile-archives-refused", Value: refused, Unit: "archives", Op: "==", Bound: total},
		{Name: "hostile-archives-files-left", Value: float64(escaped), Unit: "files", Op: "==", Bound: 0},
	}, nil
}

func tryUnpack(dir string, i int, unpack func(string) error) bool {
	to := filepath.Join(dir, fmt.Sprint(i))
	if err := os.Mkdir(to, 0o755); err != nil {
		return false
	}
	err := unpack(to)
	if !errors.Is(err, faas.ErrInvalidArgument) && !errors.Is(err, faas.ErrExhausted) {
		fmt.Printf("# archive %d: %v\n", i, err)
		return false
	}
	return true
}
