// Package blob holds what the code stores share: the reading of a content of unknown
// size into a store, with its digest and a bound.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// Fail returns an error of a code store.
func Fail(op, key string, class error, format string, args ...any) error {
	return faas.Errorf("code store", op, key, class, format, args...)
}

// Closed is the error of a call after Close.
func Closed(op string) error { return Fail(op, "", faas.ErrClosed, "the store was closed") }

// Full is the error of a Put that would go over the limit.
func Full(limit int64) error {
	err := faas.Errorf("code store", "put", "", faas.ErrExhausted, "the store would hold more than its limit of %d bytes", limit)
	err.Next = "delete code that no function uses, or raise MaxBytes"
	return err
}

// Check validates a digest.
func Check(op string, d faas.Digest) error {
	if err := d.Validate(); err != nil {
		return Fail(op, "", faas.ErrInvalidArgument, "%w", err)
	}
	return nil
}

const chunk = 64 << 10

// Copy reads src to its end into dst and returns what it was. It looks at ctx before each
// read. An error of dst is returned as it is; every other is an *faas.Error. limit 0 means none.
func Copy(ctx context.Context, dst io.Writer, src io.Reader, limit int64) (registry.Blob, error) {
	h := sha256.New()
	buf := make([]byte, chunk)
	var size int64
	for {
		if ctx.Err() != nil {
			return registry.Blob{}, faas.ContextError(ctx, "code store", "put", "")
		}
		n, rerr := src.Read(buf)
		if size += int64(n); limit > 0 && size > limit {
			return registry.Blob{}, Full(limit)
		}
		h.Write(buf[:n])
		if _, err := dst.Write(buf[:n]); err != nil {
			return registry.Blob{}, err
		}
		switch {
		case errors.Is(rerr, io.EOF):
			return registry.Blob{Digest: Digest(h), Size: size}, nil
		case rerr != nil:
			return registry.Blob{}, Fail("put", "", faas.Class(rerr), "after %d bytes of the source: %w", size, rerr)
		}
	}
}

// Digest names what a SHA-256 hash has seen.
func Digest(h hash.Hash) faas.Digest { return faas.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil))) }

// Hex is the digest without its prefix; d must be valid.
func Hex(d faas.Digest) string { return string(d[len("sha256:"):]) }

// FromHex is the digest of 64 hexadecimal digits, if s is that.
func FromHex(s string) (faas.Digest, bool) {
	d := faas.Digest("sha256:" + s)
	return d, len(s) == hex.EncodedLen(sha256.Size) && d.Validate() == nil
}
