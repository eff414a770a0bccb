package httpinstance

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
)

// maxChunkLine is the longest chunk-size line, extensions included.
const maxChunkLine = 256

// body is a streamed response body: it holds the exchange until its end or Close.
type body struct {
	x     *exchange // nil once finished
	reply *reply
	left  int64 // bytes left of the body, or of the chunk
	begun bool  // a chunk was read: its CRLF is due
	err   error
}

// Read returns an error, and not io.EOF, when the body breaks off.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n, err := b.read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		b.err = io.EOF
		b.x.finish(b.reply.reuse)
	default:
		b.err = b.x.failure(err)
		b.x.finish(false)
	}
	b.x = nil
	return n, b.err
}

// Close gives up what was not read; the function sees its connection closed.
func (b *body) Close() error {
	if b.x != nil {
		b.err = faas.Errorf(component, "read the response", b.x.in.key, faas.ErrClosed, "the body is closed")
		b.x.finish(false)
		b.x = nil
	}
	return nil
}

func (b *body) read(p []byte) (int, error) {
	switch b.reply.framing {
	case byClose:
		n, err := b.x.some(p)
		if n == 0 && errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		return n, err
	case byChunks:
		if b.left == 0 {
			if err := b.nextChunk(); err != nil {
				return 0, err // io.EOF after the last one
			}
		}
	}
	n, err := b.x.some(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case n == 0:
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, fmt.Errorf("the connection broke within the body: %w", err)
	case b.left == 0 && b.reply.framing == byLength:
		return n, io.EOF
	}
	return n, nil
}

// some reads from the buffer, or else from the connection. Its error comes without bytes.
func (x *exchange) some(p []byte) (int, error) {
	if x.r < x.w {
		n := copy(p, x.buf[x.r:x.w])
		x.r += n
		return n, nil
	}
	n, err := x.c.Read(p)
	if n > 0 {
		err = nil
	}
	return n, err
}

// nextChunk reads up to the next chunk's data (RFC 9112, 7.1). After the last
// chunk it reads the trailers and returns io.EOF.
func (b *body) nextChunk() error {
	if b.begun {
		end, err := b.x.line()
		if err != nil {
			return err
		}
		if len(end) > 0 {
			return fmt.Errorf("a chunk is longer than its size: %q", clip.Text(string(end)))
		}
	}
	line, err := b.x.line()
	if err != nil {
		return err
	}
	b.begun = true
	b.left, err = parseChunkSize(line)
	if err != nil || b.left > 0 {
		return err
	}
	if err := b.trailers(); err != nil {
		return err
	}
	return io.EOF
}

// parseChunkSize reads up to 15 hexadecimal digits and drops extensions.
func parseChunkSize(line []byte) (n int64, err error) {
	digits := 0
	for ; digits < len(line) && digits <= 15; digits++ {
		d := strings.IndexByte("0123456789abcdef", line[digits]|0x20)
		if d < 0 || line[digits] < '0' {
			break
		}
		n = n<<4 | int64(d)
	}
	rest := line[digits:]
	if digits == 0 || digits > 15 || len(line) > maxChunkLine || (len(rest) > 0 && rest[0] != ';' && rest[0] != ' ' && rest[0] != '\t') {
		return 0, fmt.Errorf("chunk size line %q is not valid", clip.Text(string(line)))
	}
	return n, nil
}

// trailers reads the trailer section into the response's header.
func (b *body) trailers() error {
	for size := 0; ; {
		line, err := b.x.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if size += len(line) + 2; size > maxHead {
			return errors.New("the trailers are larger than a head may be")
		}
		k, v, err := parseField(string(line))
		if err != nil {
			return err
		}
		if !endsHere(k) && !ours(k) {
			k = http.TrailerPrefix + k
			b.reply.Header[k] = append(b.reply.Header[k], v)
		}
	}
}
