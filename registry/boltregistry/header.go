package boltregistry

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"os"
)

// bbolt keeps its root in two pages, written in turn, and falls back to the older one when the
// newer does not match its checksum. That is right for a commit that was cut off, and silently
// loses the last commit when the page was damaged later. The two cannot be told apart, but the
// root fits into one disk sector, which is written whole or not at all: so a damaged one is
// corruption. checkRoots reports it; the caller holds the file's lock.
func checkRoots(path string, pageSize int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const (
		offset = 16 // behind the page's own header
		size   = 56 // of what the checksum covers; layout as of bbolt's internal/common.Meta
		magic  = 0xED0CDAED
	)
	var root [size + 8]byte
	for page := range 2 {
		_, err := f.ReadAt(root[:], int64(page*pageSize+offset))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		h := fnv.New64a()
		h.Write(root[:size])
		if err != nil || binary.NativeEndian.Uint32(root[:]) != magic || h.Sum64() != binary.NativeEndian.Uint64(root[size:]) {
			return corrupt("header", "root page %d does not match its checksum", page)
		}
	}
	return nil
}
