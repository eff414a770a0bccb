package faas_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// source counts how often it is closed.
type source struct {
	io.Reader
	closed int
	err    error
}

func (s *source) Close() error {
	s.closed++
	return s.err
}

func stream(text string) (*source, faas.Body) {
	s := &source{Reader: strings.NewReader(text)}
	return s, faas.Stream(s, int64(len(text)))
}

func TestBodyInHand(t *testing.T) {
	for text, b := range map[string]faas.Body{"": {}, "hello": faas.String("hello"), "bytes": faas.Bytes([]byte("bytes"))} {
		data, ok := b.InHand()
		assert.True(t, ok)
		assert.Equal(t, text, string(data))
		assert.EqualValues(t, len(text), b.Size())
		for range 2 { // as often as wanted, and closing does nothing
			got, err := b.ReadAll(0)
			assert.NoError(t, err)
			assert.Equal(t, text, string(got))
			str, err := b.Text()
			assert.NoError(t, err)
			assert.Equal(t, text, str)
			got, err = io.ReadAll(b.Reader())
			assert.NoError(t, err)
			assert.Equal(t, text, string(got))
			assert.NoError(t, b.Close())
		}
	}
}

func TestBodyStreamIsClosedOnceByWhateverReadsIt(t *testing.T) {
	for name, read := range map[string]func(faas.Body) (string, error){
		"ReadAll": func(b faas.Body) (string, error) { data, err := b.ReadAll(5); return string(data), err },
		"Text":    func(b faas.Body) (string, error) { return b.Text() },
		"WriteTo": func(b faas.Body) (string, error) {
			var buf bytes.Buffer
			n, err := b.WriteTo(&buf)
			assert.EqualValues(t, buf.Len(), n)
			return buf.String(), err
		},
		"Reader": func(b faas.Body) (string, error) {
			r := b.Reader()
			data, err := io.ReadAll(r)
			return string(data), errors.Join(err, r.Close())
		},
	} {
		s, b := stream("hello")
		_, ok := b.InHand()
		assert.False(t, ok)
		assert.EqualValues(t, 5, b.Size())
		got, err := read(b)
		assert.NoError(t, err, name)
		assert.Equal(t, "hello", got, name)
		assert.Equal(t, 1, s.closed, name)
	}
	assert.EqualValues(t, -1, faas.Stream(strings.NewReader("x"), -7).Size())
	assert.NoError(t, faas.Stream(strings.NewReader("x"), 1).Close(), "a plain reader needs no closing")
}

func TestBodyLimit(t *testing.T) {
	s, known := stream("hello")
	_, err := known.ReadAll(4)
	assert.ErrorIs(t, err, faas.ErrExhausted)
	assert.Equal(t, 1, s.closed)

	endless := &source{Reader: iotest.OneByteReader(neverEnding('x'))}
	_, err = faas.Stream(endless, -1).ReadAll(1000)
	assert.ErrorIs(t, err, faas.ErrExhausted)
	assert.Equal(t, 1, endless.closed)

	_, err = faas.String("hello").ReadAll(4)
	assert.ErrorIs(t, err, faas.ErrExhausted)
	got, err := faas.String("hello").ReadAll(5)
	require.NoError(t, err)
	assert.Len(t, got, 5)
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestBodyPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	_, err := faas.Stream(iotest.ErrReader(broken), -1).ReadAll(10)
	assert.ErrorIs(t, err, broken)
	_, err = faas.Stream(iotest.ErrReader(broken), -1).Text()
	assert.ErrorIs(t, err, broken)
	s := &source{Reader: strings.NewReader("x"), err: broken}
	_, err = faas.Stream(s, 1).WriteTo(io.Discard)
	assert.ErrorIs(t, err, broken, "of Close")
}
