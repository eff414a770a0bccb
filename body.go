package faas

import (
	"bytes"
	"io"
	"strings"
)

// Body is a payload: bytes in hand or a stream, so that a small payload never
// costs a reader and a large one is never held in memory. The zero value is an
// empty body. A Body is copied freely, but a stream among its copies is read and
// closed once. Not safe for concurrent use.
type Body struct {
	data   []byte
	stream io.ReadCloser
	size   int64
}

// Bytes returns a body of the given bytes, which must not change while it is in use.
func Bytes(b []byte) Body { return Body{data: b, size: int64(len(b))} }

// String returns a body of the bytes of s.
func String(s string) Body { return Bytes([]byte(s)) }

// Stream returns a body read from r. size is its length in bytes, or -1 when it
// is not known. If r is an io.Closer, Close closes it.
func Stream(r io.Reader, size int64) Body {
	rc, ok := r.(io.ReadCloser)
	if !ok {
		rc = io.NopCloser(r)
	}
	return Body{stream: rc, size: max(size, -1)}
}

// InHand returns the bytes of a body that is not a stream; ok is false for a stream.
func (b Body) InHand() (data []byte, ok bool) { return b.data, b.stream == nil }

// Size is the length in bytes, or -1 when it is not known.
func (b Body) Size() int64 { return b.size }

// Reader returns the payload as a stream. Closing it closes the body.
func (b Body) Reader() io.ReadCloser {
	if b.stream != nil {
		return b.stream
	}
	return io.NopCloser(bytes.NewReader(b.data))
}

// ReadAll returns the whole payload and closes the body. A stream longer than
// limit bytes is ErrExhausted; limit <= 0 means no limit.
func (b Body) ReadAll(limit int64) ([]byte, error) {
	if limit > 0 && b.size > limit {
		_ = b.Close()
		return nil, Errorf("faas", "read body", "", ErrExhausted, "%d bytes are more than the limit of %d", b.size, limit)
	}
	if b.stream == nil {
		return b.data, nil
	}
	defer b.stream.Close()
	r := io.Reader(b.stream)
	if limit > 0 {
		r = io.LimitReader(r, limit+1)
	}
	data, err := io.ReadAll(r)
	if err == nil && limit > 0 && int64(len(data)) > limit {
		return nil, Errorf("faas", "read body", "", ErrExhausted, "more than the limit of %d bytes", limit)
	}
	return data, err
}

// Text returns the whole payload as a string and closes the body; for small bodies.
func (b Body) Text() (string, error) {
	if b.stream == nil {
		return string(b.data), nil
	}
	var s strings.Builder
	_, err := b.WriteTo(&s)
	return s.String(), err
}

// WriteTo copies the payload to w and closes the body. It implements io.WriterTo.
func (b Body) WriteTo(w io.Writer) (int64, error) {
	if b.stream == nil {
		n, err := w.Write(b.data)
		return int64(n), err
	}
	n, err := io.Copy(w, b.stream)
	if cerr := b.stream.Close(); err == nil {
		err = cerr
	}
	return n, err
}

// Close frees what a stream holds. Closing a body in hand does nothing; twice is allowed.
func (b Body) Close() error {
	if b.stream == nil {
		return nil
	}
	return b.stream.Close()
}
