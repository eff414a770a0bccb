package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/joinery/faas"
)

// The library takes the first invalid chunk of its last log for the place where a crash cut the log off,
// unless a later block of 32 KiB tells that the place had been synced. So it would drop acknowledged batches in silence
// when damage lies in the last block. checkTail looks into that block as well: each chunk
// (record.LogWriter, format FormatWALSyncChunks) carries the offset up to which the log was synced when it was written.

const (
	walBlock  = 32 << 10
	walHeader = 19 // crc32c 4, length 2, type 1, log number 4, synced offset 8
	walFirst  = 9  // the types of such chunks
	walLast   = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// walChunk reads the chunk of a log that begins a block's rest; size is 0 if it is none, or not valid.
func walChunk(rest []byte, log uint32) (size int, synced uint64) {
	if len(rest) < walHeader || rest[6] < walFirst || rest[6] > walLast || binary.LittleEndian.Uint32(rest[7:]) != log {
		return 0, 0
	}
	size = walHeader + int(binary.LittleEndian.Uint16(rest[4:]))
	if size > len(rest) {
		return 0, 0
	}
	sum := crc32.Checksum(rest[6:size], castagnoli)
	if (sum>>15|sum<<17)+0xa282ead8 != binary.LittleEndian.Uint32(rest) {
		return 0, 0
	}
	return size, binary.LittleEndian.Uint64(rest[11:])
}

// damagedAt returns where a log is damaged although it had been synced there; ok is false if it
// is whole, or only cut off.
func damagedAt(data []byte, log uint32) (offset int, ok bool) {
	block := func(at int) []byte { return data[at:min(len(data), at-at%walBlock+walBlock)] }
	at := 0
	for at < len(data) {
		if rest := block(at); len(rest) < walHeader {
			at += len(rest) // padding
		} else if size, _ := walChunk(rest, log); size > 0 {
			at += size
		} else {
			break
		}
	}
	for later := at + 1; later+walHeader <= len(data); later++ {
		if data[later+6] < walFirst || data[later+6] > walLast {
			continue
		}
		if size, synced := walChunk(block(later), log); size > 0 && synced > uint64(at) {
			return at, true
		}
	}
	return 0, false
}

// checkTail returns ErrCorrupt if the last log in the library's directory is damaged where it was synced.
func checkTail(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return openError(dir, err)
	}
	last, name := uint64(0), ""
	for _, n := range names {
		if number, ok := strings.CutSuffix(n, ".log"); ok {
			if i, err := strconv.ParseUint(number, 10, 64); err == nil && i > last {
				last, name = i, fs.PathJoin(dir, n)
			}
		}
	}
	if name == "" {
		return nil
	}
	f, err := fs.Open(name)
	if err != nil {
		return openError(name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return openError(name, err)
	}
	if at, ok := damagedAt(data, uint32(last)); ok {
		e := faas.Errorf("workflow store", "open", name, faas.ErrCorrupt, "offset %d: the log is damaged where it had been synced", at)
		e.Next = fmt.Sprintf("restore %s from a backup", dir)
		return e
	}
	return nil
}
