package registrytest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

// CodeHarness makes the code stores that RunCode tests.
type CodeHarness struct {
	// Open returns a new and empty store. Required.
	Open func(tb testing.TB) registry.CodeStore
	// OpenLimited returns a new and empty store that holds at most maxBytes. Nil: the store has no
	// such limit, and the clauses about it are skipped.
	OpenLimited func(tb testing.TB, maxBytes int64) registry.CodeStore
	// Reopen closes a store and opens its stored state again. Nil: the store is not durable, and the
	// durability clauses are skipped.
	Reopen func(tb testing.TB, s registry.CodeStore) registry.CodeStore
	// Skip names subtests that the implementation does not pass, each with the reason.
	Skip map[string]string
}

type codeClause = kit.Clause[CodeHarness]

// RunCode tests every promise of a registry.CodeStore.
func RunCode(t *testing.T, h CodeHarness) {
	if h.Open == nil {
		t.Fatal("registrytest: CodeHarness.Open is required")
	}
	kit.Run(t, codeClauses, h.Skip, func(testing.TB) CodeHarness { return h })
}

func (h CodeHarness) open(tb testing.TB) registry.CodeStore {
	tb.Helper()
	return kit.Closing(tb, h.Open(tb))
}

// content is size bytes that do not repeat, made of the seed.
func content(seed byte, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func blobOf(b []byte) registry.Blob {
	return registry.Blob{Digest: faas.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(b))), Size: int64(len(b))}
}

func put(tb testing.TB, s registry.CodeStore, b []byte) registry.Blob {
	tb.Helper()
	got, err := s.Put(tb.Context(), bytes.NewReader(b))
	if err != nil {
		tb.Fatalf("Put of %d bytes: %v", len(b), err)
	}
	if want := blobOf(b); got != want {
		tb.Errorf("Put returned %v, want %v", got, want)
	}
	return blobOf(b)
}

// wantContent reads a blob to its end and compares.
func wantContent(tb testing.TB, s registry.CodeStore, b []byte) {
	tb.Helper()
	r, err := s.Open(tb.Context(), blobOf(b).Digest)
	if err != nil {
		tb.Errorf("Open of %d bytes: %v", len(b), err)
		return
	}
	got, err := io.ReadAll(r)
	if cerr := r.Close(); err != nil || cerr != nil {
		tb.Errorf("reading %d bytes: %v; Close: %v", len(b), err, cerr)
	}
	if !bytes.Equal(got, b) {
		tb.Errorf("read %d bytes that are not the %d stored ones", len(got), len(b))
	}
}

func listBlobs(tb testing.TB, s registry.CodeStore) (list []registry.Blob) {
	tb.Helper()
	for b, err := range s.List(tb.Context()) {
		if err != nil {
			tb.Fatalf("List: %v", err)
		}
		list = append(list, b)
	}
	return list
}

func wantBlobs(tb testing.TB, what string, s registry.CodeStore, n int) {
	tb.Helper()
	if list := listBlobs(tb, s); len(list) != n {
		tb.Errorf("%s: %d blobs, want %d: %v", what, len(list), n, list)
	}
}

var errSource = errors.New("the source broke")

// failingReader yields b and then the error.
func failingReader(b []byte, err error) io.Reader {
	return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(err))
}

// cancelingReader yields b, ends the context at its end, and then goes on for ever.
type cancelingReader struct {
	io.Reader
	cancel context.CancelFunc
}

func (r *cancelingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		r.cancel()
		return len(p), nil
	}
	return n, err
}
