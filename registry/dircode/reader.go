package dircode

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry/internal/blob"
)

// Open implements registry.CodeStore. The content is checked while it is read: a reader that
// comes to the end without an error has read what was stored. It reads the file once.
func (s *Store) Open(_ context.Context, d faas.Digest) (io.ReadCloser, error) {
	if err := s.check("open", d); err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(d))
	if err != nil {
		return nil, s.fileError("open", d, err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = corrupt(f, "is not a regular file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &reader{file: f, want: d, hash: sha256.New()}, nil
}

func corrupt(f *os.File, text string) error {
	err := faas.Errorf("code store", "read", f.Name(), faas.ErrCorrupt, "%s", text)
	err.Next = "store the same content again, or delete it"
	return err
}

// reader hashes what it yields and compares at the end.
type reader struct {
	file *os.File
	want faas.Digest
	hash hash.Hash
	err  error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.file.Read(p)
	r.hash.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		if r.err = io.EOF; blob.Digest(r.hash) != r.want {
			r.err = corrupt(r.file, "the content does not match the digest")
		}
	case err != nil:
		r.err = failed("read", r.file.Name(), err)
	}
	return n, r.err
}

func (r *reader) Close() error {
	if err := r.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return failed("close", r.file.Name(), err)
	}
	return nil
}
