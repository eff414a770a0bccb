package boltregistry

import (
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"github.com/joinery/faas"
)

// FuzzPages feeds damaged files to the page check, with roots whose checksums are right: it never panics.
func FuzzPages(f *testing.F) {
	const size = 4096
	path := filepath.Join(f.TempDir(), "functions.db")
	r, err := Open(path, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{"run"}}
		if _, err := r.Publish(f.Context(), faas.Ref{Name: name}, spec, nil); err != nil {
			f.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(2*size+8), uint64(1))
	f.Add(uint32(3*size+16), uint64(0xffffffff))
	f.Add(uint32(pageHeader+40), uint64(1<<63))
	f.Fuzz(func(t *testing.T, at uint32, value uint64) {
		data := append([]byte(nil), good...)
		at %= uint32(len(data) - 8)
		binary.NativeEndian.PutUint64(data[at:], value)
		for i := range 2 {
			m := data[i*size+pageHeader:]
			h := fnv.New64a()
			h.Write(m[:metaSize])
			binary.NativeEndian.PutUint64(m[metaSize:], h.Sum64())
		}
		_ = (&pages{data: data, size: size, seen: make(map[uint64]bool)}).check()
	})
}
