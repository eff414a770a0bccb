package archive

import (
	"archive/zip"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// UnpackZip unpacks a zip of the given size into dir, which must be missing or empty. Beside
// the rules of the package, the archive must be one that every reader understands alike:
// the central directory, the local headers and the bytes between them agree and fill it exactly.
// Zip64 (the form for over 65,535 entries or 4 GiB) is refused.
func UnpackZip(ctx context.Context, r io.ReaderAt, size int64, dir string, lim Limits) error {
	return unpack(ctx, dir, lim, func(t *tree) error {
		in := &inputAt{input: input{ctx: ctx}, r: r}
		if err := checkZip(in, size, t.limits); err != nil {
			return in.fault("", err)
		}
		z, err := zip.NewReader(in, size)
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // our own rule says it better
			return in.fault("", err)
		}
		packed := int64(0)
		guard := &ratioGuard{ratio: t.limits.Ratio, packed: func() int64 { return packed }}
		for _, f := range z.File {
			packed += int64(f.CompressedSize64)
			if err := t.zipEntry(f, guard); err != nil {
				return in.fault(f.Name, err)
			}
		}
		return nil
	})
}

func (t *tree) zipEntry(f *zip.File, guard *ratioGuard) error {
	if f.Flags&1 != 0 {
		return refuse(f.Name, "is encrypted")
	}
	if f.Method != zip.Store && f.Method != zip.Deflate {
		return refuse(f.Name, "is compressed with method %d; only store and deflate are supported", f.Method)
	}
	mode := f.Mode()
	if strings.HasSuffix(f.Name, "/") != mode.IsDir() {
		return refuse(f.Name, "is a directory by its name or by its mode, not by both")
	}
	switch {
	case mode.IsDir():
		if f.UncompressedSize64 != 0 {
			return refuse(f.Name, "is a directory with content")
		}
		return t.addDir(f.Name)
	case mode&fs.ModeSymlink != 0:
		if f.UncompressedSize64 > maxName {
			return refuse(f.Name, "is a symbolic link with a target of more than %d bytes", maxName)
		}
		rc, err := f.Open()
		if err != nil {
			return err
		}
		defer rc.Close()
		target, err := io.ReadAll(rc)
		if err != nil {
			return err
		}
		return t.addLink(f.Name, string(target))
	case !mode.IsRegular():
		return refuse(f.Name, "is not a file, a directory or a symbolic link")
	}
	if f.UncompressedSize64 > uint64(t.limits.Bytes) {
		return t.grow(f.Name, t.limits.Bytes+1)
	}
	rc, err := f.Open()
	if err != nil {
		return err
	}
	defer rc.Close()
	guard.r = rc
	return t.addFile(f.Name, mode, int64(f.UncompressedSize64), guard)
}

// inputAt is input for a ReaderAt.
type inputAt struct {
	input
	r io.ReaderAt
}

func (in *inputAt) ReadAt(p []byte, off int64) (int, error) {
	section := input{ctx: in.ctx, r: io.NewSectionReader(in.r, off, int64(len(p)))}
	n, err := io.ReadFull(&section, p)
	if section.err != nil && in.err == nil {
		in.err = section.err
	}
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// Sizes and signatures of PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12, 4.3.15 and 4.3.16.
const (
	localLen, localSig     = 30, 0x04034b50
	centralLen, centralSig = 46, 0x02014b50
	endLen, endSig         = 22, 0x06054b50
	locatorLen, locatorSig = 20, 0x07064b50 // of the zip64 end
)

// checkZip walks the archive's structure without unpacking anything.
func checkZip(r io.ReaderAt, size int64, lim Limits) error {
	le := binary.LittleEndian
	tail := make([]byte, min(size, endLen+0xffff))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	end := len(tail) - endLen
	for end >= 0 && (le.Uint32(tail[end:]) != endSig || end+endLen+int(le.Uint16(tail[end+20:])) != len(tail)) {
		end--
	}
	if end < 0 {
		return refuse("", "it is not a zip archive, is cut short, or has data after its end")
	}
	e := tail[end:]
	count, dirSize, dirOff := int(le.Uint16(e[10:])), int64(le.Uint32(e[12:])), int64(le.Uint32(e[16:]))
	switch {
	case le.Uint16(e[4:]) != 0 || le.Uint16(e[6:]) != 0 || le.Uint16(e[8:]) != le.Uint16(e[10:]):
		return refuse("", "it is one part of a split archive")
	case end >= locatorLen && le.Uint32(tail[end-locatorLen:]) == locatorSig, count == 0xffff || dirSize == 0xffffffff || dirOff == 0xffffffff:
		return refuse("", "it is a zip64 archive, the form for over 65,535 entries or 4 GiB")
	case count > lim.Entries:
		return refuse("", "there are more than %d entries", lim.Entries)
	case dirOff+dirSize != size-int64(len(tail)-end):
		return refuse("", "the central directory is not where the end record says")
	}
	return checkEntries(r, io.NewSectionReader(r, dirOff, dirSize), count, dirOff)
}

// span is where an entry's header and data lie.
type span struct {
	name       string
	start, end int64
}

// checkEntries reads the central directory and the local header of every entry: they must
// agree, and no two entries may share a byte (the trick of the most effective zip bombs).
func checkEntries(r io.ReaderAt, dir *io.SectionReader, count int, dirOff int64) error {
	le := binary.LittleEndian
	var head [centralLen]byte
	var local [localLen]byte
	spans := make([]span, 0, count)
	for range count {
		if _, err := io.ReadFull(dir, head[:]); err != nil || le.Uint32(head[:]) != centralSig {
			return refuse("", "the central directory has fewer entries than it claims")
		}
		name := make([]byte, le.Uint16(head[28:]))
		if _, err := io.ReadFull(dir, name); err != nil {
			return err
		}
		if _, err := dir.Seek(int64(le.Uint16(head[30:]))+int64(le.Uint16(head[32:])), io.SeekCurrent); err != nil {
			return err
		}
		packed, off := le.Uint32(head[20:]), int64(le.Uint32(head[42:]))
		if packed == 0xffffffff || le.Uint32(head[24:]) == 0xffffffff || off == 0xffffffff {
			return refuse(string(name), "has zip64 sizes")
		}
		if n, err := r.ReadAt(local[:], off); n < localLen {
			return errors.Join(refuse(string(name), "has no local header"), notEOF(err))
		}
		nameLen := int64(le.Uint16(local[26:]))
		localName := make([]byte, nameLen)
		if n, err := r.ReadAt(localName, off+localLen); n < len(localName) {
			return errors.Join(refuse(string(name), "has no local header"), notEOF(err))
		}
		if le.Uint32(local[:]) != localSig || string(localName) != string(name) {
			return refuse(string(name), "has a local header that does not match the central directory")
		}
		s := span{string(name), off, off + localLen + nameLen + int64(le.Uint16(local[28:])) + int64(packed)}
		if s.end > dirOff {
			return refuse(s.name, "claims data beyond the end of the content")
		}
		spans = append(spans, s)
	}
	if at, _ := dir.Seek(0, io.SeekCurrent); at != dir.Size() {
		return refuse("", "the central directory has more entries than it claims")
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	at := int64(0)
	for _, s := range spans {
		if s.start < at {
			return refuse(s.name, "shares its data with another entry")
		}
		if at == 0 && s.start != 0 {
			return refuse("", "there is data before the beginning of the archive")
		}
		at = s.end
	}
	if count == 0 && dirOff != 0 {
		return refuse("", "there is data before the beginning of the archive")
	}
	return nil
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
