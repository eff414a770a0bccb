package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

type entry struct {
	tar.Header
	body string
}

// tarOf writes the entries as they are, hostile or not.
func tarOf(entries ...entry) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if e.Typeflag == 0 {
			e.Typeflag = tar.TypeReg
		}
		if e.Size == 0 {
			e.Size = int64(len(e.body))
		}
		if e.Mode == 0 && e.Typeflag != tar.TypeXGlobalHeader {
			e.Mode = 0o644
		}
		if err := w.WriteHeader(&e.Header); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func named(names ...string) []byte {
	var es []entry
	for _, n := range names {
		es = append(es, entry{Header: tar.Header{Name: n}, body: "x"})
	}
	return tarOf(es...)
}

func typed(flag byte, name, target string) entry {
	return entry{Header: tar.Header{Name: name, Typeflag: flag, Linkname: target}}
}

func zipOf(names ...string) []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, n := range names {
		f, err := w.CreateHeader(&zip.FileHeader{Name: n, Method: zip.Store})
		if err != nil {
			panic(err)
		}
		if _, err := io.WriteString(f, "0123456789"); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func zipMode(name string, mode fs.FileMode, body string) []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(mode)
	f, err := w.CreateHeader(h)
	if err != nil {
		panic(err)
	}
	if _, err := io.WriteString(f, body); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// patch returns b with the bytes at off replaced.
func patch(b []byte, off int, v ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[off:], v)
	return b
}

func central(b []byte, n int) int {
	at := 0
	for ; n >= 0; n-- {
		at += bytes.Index(b[at:], []byte("PK\x01\x02")) + 1
	}
	return at - 1
}

func endRecord(b []byte) int { return bytes.LastIndex(b, []byte("PK\x05\x06")) }

func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

var tinyLimits = Limits{Bytes: 1 << 20, Entries: 50}

var hostileTars = []struct {
	name   string
	data   []byte
	reason string
}{
	{"dot dot", named("../evil"), `".."`},
	{"dot dot inside", named("a/../../evil"), `".."`},
	{"absolute", named("/etc/evil"), "absolute"},
	{"drive letter", named(`C:/evil`), "drive letter"},
	{"backslash", named(`a\..\evil`), "backslash"},
	{"control character", named("a\x1b[2Jb"), "control character"},
	{"not UTF-8", named("a\xffb"), "UTF-8"},
	{"name of 5 kB", named(strings.Repeat("a/", 2500) + "x"), "name of"},
	{"element of 300 bytes", named(strings.Repeat("e", 300)), "element"},
	{"root as a file", named("."), "root"},
	{"link out", tarOf(typed(tar.TypeSymlink, "l", "../evil")), "leads out"},
	{"link to absolute", tarOf(typed(tar.TypeSymlink, "l", "/etc/passwd")), "not a relative path"},
	{"link up after down", tarOf(typed(tar.TypeSymlink, "a/b/up", "../.."), typed(tar.TypeSymlink, "l", "a/b/up/../evil")), "leads out"},
	{"write through a link", tarOf(typed(tar.TypeSymlink, "l", "."), entry{Header: tar.Header{Name: "l/evil"}, body: "x"}), "through the symbolic link"},
	{"overwrite a link", tarOf(typed(tar.TypeSymlink, "l", "x"), entry{Header: tar.Header{Name: "l"}, body: "x"}), "twice"},
	{"directory over a link", tarOf(typed(tar.TypeSymlink, "l", "."), typed(tar.TypeDir, "l/", "")), "twice"},
	{"link name through a link", tarOf(typed(tar.TypeSymlink, "l", "."), typed(tar.TypeSymlink, "l/m", "..")), "through the symbolic link"},
	{"hard link out", tarOf(typed(tar.TypeLink, "l", "../../etc/passwd")), "hard link"},
	{"hard link inside", tarOf(entry{Header: tar.Header{Name: "a"}}, typed(tar.TypeLink, "l", "a")), "hard link"},
	{"character device", tarOf(typed(tar.TypeChar, "null", "")), "device"},
	{"block device", tarOf(typed(tar.TypeBlock, "sda", "")), "device"},
	{"named pipe", tarOf(typed(tar.TypeFifo, "pipe", "")), "named pipe"},
	{"unknown type", tarOf(typed('Z', "z", "")), "unknown type"},
	{"setuid", tarOf(entry{Header: tar.Header{Name: "su", Mode: 0o4755}}), "setuid"},
	{"setgid", tarOf(entry{Header: tar.Header{Name: "sg", Mode: 0o2755}}), "setgid"},
	{"duplicate", named("a", "a"), "twice"},
	{"duplicate after cleaning", named("a", "./a"), "twice"},
	{"case-fold clash", named("Main.go", "main.go"), "upper and lower case"},
	{"case-fold clash of parents", named("A/x", "a/y"), "upper and lower case"},
	{"file as a directory", named("a", "a/b"), "is a file"},
	{"directory over a file", tarOf(entry{Header: tar.Header{Name: "a"}}, typed(tar.TypeDir, "a/", "")), "twice"},
	{"pax path override", tarOf(entry{Header: tar.Header{Name: "../ünseen", Format: tar.FormatPAX}}), `".."`},
	{"pax attributes for all", tarOf(entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "../evil"}}}), "for all entries"},
	{"sparse by pax record", bytes.Replace(tarOf(entry{Header: tar.Header{Name: "s", Format: tar.FormatPAX, PAXRecords: map[string]string{"XXX.sparse.note": "1"}}}), []byte("XXX"), []byte("GNU"), 1), "sparse"},
	{"sparse by type", gnuSparse(), "sparse"},
	{"too large", tarOf(entry{Header: tar.Header{Name: "big"}, body: strings.Repeat("x", 1<<20+1)}), "larger than 1 MiB"},
	{"too many entries", tarOf(make51()...), "more than 50 entries"},
	{"claims more than it has", patchedSize(), "cut short"},
	{"truncated in an entry", named("a")[:600], "cut short"},
	{"truncated after an entry", named("a")[:1024], "cut short"},
	{"truncated header", named("a")[:100], "cut short"},
	{"empty", nil, "cut short"},
	{"junk", []byte(strings.Repeat("junk", 512)), "broken"},
	{"trailing junk", append(named("a"), "evil"...), "after the end"},
	{"a second archive behind the first", append(named("a"), named("b")...), "after the end"},
	{"endless padding", append(named("a"), make([]byte, 2<<20)...), "padding"},
}

func make51() []entry {
	es := make([]entry, 51)
	for i := range es {
		es[i] = entry{Header: tar.Header{Name: fmt.Sprintf("f%d", i)}}
	}
	return es
}

// gnuSparse turns the header of an empty file into that of an old GNU sparse file of 1 TB.
func gnuSparse() []byte {
	b := tarOf(entry{Header: tar.Header{Name: "s", Format: tar.FormatGNU}})
	b[156] = tar.TypeGNUSparse
	copy(b[386:], "00000000000\x0000000000000\x00") // one empty extent at 0
	copy(b[483:], "00000000000\x00")
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// patchedSize claims 1000 bytes and carries 5.
func patchedSize() []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1000, Mode: 0o644}); err != nil {
		panic(err)
	}
	return append(buf.Bytes(), "short"...)
}

// unpackHostile checks what holds for each of them: an error of the right class, nothing
// left in the target, and nothing written beside it.
func unpackHostile(t *testing.T, reason string, unpack func(dir string) error) {
	t.Helper()
	parent := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(parent, "canary"), []byte("untouched"), 0o600))
	existing := filepath.Join(parent, "b")
	require.NoError(t, os.Mkdir(existing, 0o755))
	for _, dir := range []string{filepath.Join(parent, "a"), existing} {
		err := unpack(dir)
		require.ErrorIs(t, err, faas.ErrInvalidArgument)
		assert.ErrorContains(t, err, reason)
	}
	assert.Equal(t, map[string]string{"canary": "untouched", "b": "dir"}, snapshot(t, parent))
}

func TestHostileTar(t *testing.T) {
	for _, c := range hostileTars {
		t.Run(c.name, func(t *testing.T) {
			unpackHostile(t, c.reason, func(dir string) error {
				return UnpackTar(t.Context(), bytes.NewReader(c.data), dir, tinyLimits)
			})
		})
	}
}

func TestHostileTarGz(t *testing.T) {
	good := gz(named("a"))
	for _, c := range []struct {
		name   string
		data   []byte
		reason string
		lim    Limits
	}{
		{"bomb", gz(tarOf(entry{Header: tar.Header{Name: "zeros"}, body: strings.Repeat("\x00", 8<<20)})), "times larger", Limits{}},
		{"bomb of padding", gz(append(named("a"), make([]byte, 8<<20)...)), "", Limits{}},
		{"junk", []byte("not gzip at all"), "broken", Limits{}},
		{"cut short", good[:len(good)-12], "cut short", Limits{}},
		{"cut in the checksum", good[:len(good)-2], "cut short", Limits{}},
		{"bad checksum", patch(good, len(good)-6, 0xff), "broken", Limits{}},
		{"trailing junk", append(bytes.Clone(good), "evil evil evil"...), "broken", Limits{}},
		{"dot dot", gz(named("../evil")), `".."`, Limits{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			unpackHostile(t, c.reason, func(dir string) error {
				return UnpackTarGz(t.Context(), bytes.NewReader(c.data), dir, c.lim)
			})
		})
	}
}

func TestHostileZip(t *testing.T) {
	two := zipOf("a", "b")
	c0, c1, end := central(two, 0), central(two, 1), endRecord(two)
	same := zipOf("a", "a")
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf("f%d", i)
	}
	for _, c := range []struct {
		name   string
		data   []byte
		reason string
	}{
		{"dot dot", zipOf("../evil"), `".."`},
		{"absolute", zipOf("/evil"), "absolute"},
		{"drive letter", zipOf("c:evil"), "drive letter"},
		{"backslash", zipOf(`..\evil`), "backslash"},
		{"NUL in a name", zipOf("a\x00b"), "control character"},
		{"empty name", zipOf(""), "empty name"},
		{"long name", zipOf(strings.Repeat("n", 5000)), "name of"},
		{"duplicate", zipOf("a", "a"), "twice"},
		{"case-fold clash", zipOf("a", "A"), "upper and lower case"},
		{"symbolic link out", zipMode("l", fs.ModeSymlink|0o777, "../../etc/passwd"), "leads out"},
		{"symbolic link with an endless target", zipMode("l", fs.ModeSymlink|0o777, strings.Repeat("x", 5000)), "target of more"},
		{"device", zipMode("d", fs.ModeDevice|0o644, ""), "not a file"},
		{"setuid", zipMode("su", fs.ModeSetuid|0o755, ""), "setuid"},
		{"directory by mode only", zipMode("d", fs.ModeDir|0o755, ""), "not by both"},
		{"bomb", zipMode("zeros", 0o644, strings.Repeat("\x00", 8<<20)), "times larger"},
		{"too many entries", zipOf(many...), "more than 50 entries"},
		{"overlapping entries", patch(two, c1+42, u32(0)...), "does not match"},
		{"same entry twice", patch(same, central(same, 1)+42, u32(0)...), "shares its data"},
		{"local header says another name", patch(two, 30, 'z'), "does not match"},
		{"zip64 sizes", patch(two, c0+24, u32(0xffffffff)...), "zip64"},
		{"zip64 end", patch(two, end+16, u32(0xffffffff)...), "zip64"},
		{"zip64 locator", slices.Concat(two[:end], u32(locatorSig), make([]byte, 16), two[end:]), "zip64"},
		{"claims a smaller size", patch(two, c0+24, u32(3)...), ""},
		{"claims a larger size", patch(two, c0+24, u32(30)...), ""},
		{"claims compressed data beyond the end", patch(two, c0+20, u32(1<<30)...), "beyond the end"},
		{"local header out of bounds", patch(two, c0+42, u32(1<<30)...), "no local header"},
		{"bad checksum", patch(two, c0+16, u32(1)...), "broken"},
		{"unknown method", patch(two, c0+10, 12, 0), "method 12"},
		{"encrypted", patch(two, c0+8, two[c0+8]|1), "encrypted"},
		{"fewer entries than claimed", patch(two, end+8, 3, 0, 3, 0), "fewer entries"},
		{"more entries than claimed", patch(two, end+8, 1, 0, 1, 0), "more entries"},
		{"split archive", patch(two, end+4, 1), "split"},
		{"central directory elsewhere", patch(two, end+16, u32(uint32(c1))...), "not where"},
		{"truncated", two[:len(two)-5], "not a zip archive"},
		{"trailing junk", append(bytes.Clone(two), "evil"...), "not a zip archive"},
		{"leading junk", append([]byte("#!/bin/sh\n"), two...), ""},
		{"empty", nil, "not a zip archive"},
		{"junk", []byte(strings.Repeat("junk", 100)), "not a zip archive"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lim := Limits{Entries: 50}
			unpackHostile(t, c.reason, func(dir string) error {
				return UnpackZip(t.Context(), bytes.NewReader(c.data), int64(len(c.data)), dir, lim)
			})
		})
	}
}

// A zip inside a zip is only a file.
func TestNestedZipIsAFile(t *testing.T) {
	inner := zipOf("../evil")
	data := zipMode("inner.zip", 0o644, string(inner))
	dir := t.TempDir()
	require.NoError(t, UnpackZip(t.Context(), bytes.NewReader(data), int64(len(data)), dir, Limits{}))
	assert.Equal(t, map[string]string{"inner.zip": string(inner)}, snapshot(t, dir))
}

// fuzzUnpack checks the promises for any input: no panic, nothing beside the target,
// nothing left after a failure, and what was accepted packs and unpacks to the same tree.
func fuzzUnpack(t *testing.T, unpack func(dir string) error) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	err := unpack(dir)
	entries, rerr := os.ReadDir(parent)
	require.NoError(t, rerr)
	if err != nil {
		require.NotErrorIs(t, err, faas.ErrInternal)
		require.Empty(t, entries)
		return
	}
	require.Len(t, entries, 1)
	var packed bytes.Buffer
	require.NoError(t, PackTar(context.Background(), &packed, dir))
	again := filepath.Join(parent, "again")
	require.NoError(t, UnpackTar(context.Background(), &packed, again, Limits{}))
	require.Equal(t, snapshot(t, dir), snapshot(t, again))
}

func FuzzUnpackTar(f *testing.F) {
	f.Add(goodTar())
	for _, c := range hostileTars {
		if len(c.data) < 64<<10 {
			f.Add(c.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzUnpack(t, func(dir string) error {
			return UnpackTar(context.Background(), bytes.NewReader(data), dir, tinyLimits)
		})
	})
}

func FuzzUnpackZip(f *testing.F) {
	f.Add(zipOf("a", "b/c"))
	f.Add(zipOf("../evil"))
	f.Add(zipMode("l", fs.ModeSymlink|0o777, "../x"))
	f.Add(zipMode("d/", fs.ModeDir|0o755, ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzUnpack(t, func(dir string) error {
			return UnpackZip(context.Background(), bytes.NewReader(data), int64(len(data)), dir, tinyLimits)
		})
	})
}
