// Package archive unpacks archives that nobody vouches for, and packs function
// code into the one form that the code store keeps: a plain, deterministic tar.
//
// Unpacking refuses what could reach outside the target directory, confuse two readers of
// the same archive, or fill the disk; see [Limits] and the rules of the writer in tree.go.
// All writes go through [os.Root]. A failed unpack leaves nothing behind.
//
//	err := archive.UnpackTarGz(ctx, r, dir, archive.Limits{})
//
// # Errors
//
// A hostile or broken archive is ErrInvalidArgument whose Key is the entry's name;
// an error of the reader keeps its class; a full disk is ErrExhausted; a target that
// is not empty is ErrAlreadyExists; ErrCanceled and ErrTimeout by ctx.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
)

// Limits bound what an archive may become. A zero field means its default.
type Limits struct {
	// Bytes is the size of all files together. Default: 250 MiB.
	Bytes int64
	// Entries is the number of files, directories and links. Default: 10,000.
	Entries int
	// Ratio is how many times larger the content may be than its compressed form; the first
	// MiB is free, so that a small file of blanks passes. Default: 100.
	Ratio int64
}

// The defaults of Limits.
const (
	DefaultBytes   = 250 << 20
	DefaultEntries = 10_000
	DefaultRatio   = 100
)

const ratioFree = 1 << 20

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	if l.Entries <= 0 {
		l.Entries = DefaultEntries
	}
	if l.Ratio <= 0 {
		l.Ratio = DefaultRatio
	}
	return l
}

// refuse is the error for an entry that breaks a rule.
func refuse(entry, format string, args ...any) error {
	return faas.Errorf("archive", "check", clip.Text(entry), faas.ErrInvalidArgument, format, args...)
}

// writeError classes an error of the file system.
func writeError(entry string, err error) error {
	class := faas.ErrInternal
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		class = faas.ErrExhausted
	}
	return faas.Errorf("archive", "write", clip.Text(entry), class, "%w", err)
}

// input is the archive's stream: it counts, ends with ctx, and remembers the reader's own
// error, so that a broken source is not mistaken for a broken archive.
type input struct {
	ctx context.Context
	r   io.Reader
	n   int64
	err error
}

func (in *input) Read(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	if in.ctx.Err() != nil {
		in.err = faas.ContextError(in.ctx, "archive", "unpack", "")
		return 0, in.err
	}
	n, err := in.r.Read(p)
	in.n += int64(n)
	if err != nil && err != io.EOF {
		in.err = faas.Errorf("archive", "read", "", faas.Class(err), "%w", err)
		err = in.err
	}
	return n, err
}

// fault chooses the error to report for err, which a decoder returned at entry.
func (in *input) fault(entry string, err error) error {
	if in.err != nil {
		return in.err
	}
	var e *faas.Error
	if errors.As(err, &e) {
		if e.Key == "" {
			e.Key = clip.Text(entry)
		}
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return refuse(entry, "the archive is cut short")
	}
	return refuse(entry, "the archive is broken: %w", err)
}

// ratioGuard fails once out bytes are too many for the compressed bytes read so far.
type ratioGuard struct {
	r          io.Reader
	out, ratio int64
	packed     func() int64
}

func (g *ratioGuard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	g.out += int64(n)
	if g.out-ratioFree > g.ratio*g.packed() {
		return 0, refuse("", "the content is more than %d times larger than its compressed form", g.ratio)
	}
	return n, err
}

func size(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}
