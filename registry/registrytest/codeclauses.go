package registrytest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/kit"
	"github.com/joinery/faas/registry"
)

var codeClauses = slices.Concat(codePutClauses, codeOpenClauses, codeLimitClauses, codeLifecycleClauses)

var codePutClauses = []codeClause{
	{Name: "put/digest-and-size", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		for _, size := range []int{0, 1, 4095, 64 << 10, 64<<10 + 1, 3 << 20} {
			b := content(1, size)
			want := put(tb, s, b)
			if got, err := s.Stat(tb.Context(), want.Digest); err != nil || got != want {
				tb.Errorf("Stat: %v, %v, want %v", got, err, want)
			}
			wantContent(tb, s, b)
		}
		wantBlobs(tb, "after six contents", s, 6)
	}},
	{Name: "put/any-reader", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 100<<10)
		for name, r := range map[string]io.Reader{
			"one byte at a time": iotest.OneByteReader(bytes.NewReader(b[:500])),
			"halves":             iotest.HalfReader(bytes.NewReader(b)),
			"data with EOF":      iotest.DataErrReader(bytes.NewReader(b[:9999])),
			"sometimes nothing":  &idleReader{Reader: bytes.NewReader(b[:1234])},
		} {
			want := map[string]int{"one byte at a time": 500, "halves": len(b), "data with EOF": 9999, "sometimes nothing": 1234}[name]
			if got, err := s.Put(tb.Context(), r); err != nil || got != blobOf(b[:want]) {
				tb.Errorf("%s: %v, %v, want %v", name, got, err, blobOf(b[:want]))
			}
			wantContent(tb, s, b[:want])
		}
	}},
	{Name: "put/same-content-again", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 10_000)
		for range 3 {
			put(tb, s, b)
		}
		wantBlobs(tb, "after the same three times", s, 1)
		wantContent(tb, s, b)
	}},
	{Name: "put/failed-source-leaves-nothing", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 200_000)
		for _, n := range []int{0, 1, 100_000, len(b)} {
			_, err := s.Put(tb.Context(), failingReader(b[:n], errSource))
			kit.WantClass(tb, err, errSource, "Put from a source that fails after %d bytes", n)
			if _, err := s.Stat(tb.Context(), blobOf(b[:n]).Digest); err == nil {
				tb.Errorf("the %d bytes before the failure were stored", n)
			}
		}
		_, err := s.Put(tb.Context(), failingReader(b, io.ErrUnexpectedEOF))
		kit.WantClass(tb, err, io.ErrUnexpectedEOF, "Put from a source that is cut off")
		wantBlobs(tb, "after failures", s, 0)
		put(tb, s, b)
	}},
	{Name: "put/cancelled-leaves-nothing", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 200_000)
		before, cancel := context.WithCancel(tb.Context())
		cancel()
		_, err := s.Put(before, bytes.NewReader(b))
		kit.WantClass(tb, err, faas.ErrCanceled, "Put with a cancelled context")
		during, cancel := context.WithCancel(tb.Context())
		defer cancel()
		end := make(chan error, 1)
		go func() {
			_, err := s.Put(during, &cancelingReader{bytes.NewReader(b), cancel})
			end <- err
		}()
		kit.WantClass(tb, await(tb, "the end of a cancelled Put", end), faas.ErrCanceled, "Put that is cancelled on the way")
		late, stop := context.WithDeadline(tb.Context(), time.Now().Add(-time.Second))
		defer stop()
		_, err = s.Put(late, bytes.NewReader(b))
		kit.WantClass(tb, err, faas.ErrTimeout, "Put after the deadline")
		wantBlobs(tb, "after cancelled calls", s, 0)
	}},
	{Name: "put/invisible-until-complete", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 200_000)
		r, w := io.Pipe()
		end := make(chan error, 1)
		go func() {
			_, err := s.Put(tb.Context(), r)
			end <- err
		}()
		for _, part := range [][]byte{b[:150_000], b[150_000:]} { // the second is taken after the first was dealt with
			if _, err := w.Write(part); err != nil {
				tb.Fatal(err)
			}
		}
		wantBlobs(tb, "before the source ends", s, 0)
		if _, err := s.Open(tb.Context(), blobOf(b).Digest); err == nil {
			tb.Errorf("a content can be opened before its source ends")
		}
		_ = w.Close()
		if err := await(tb, "the end of a Put", end); err != nil {
			tb.Errorf("Put: %v", err)
		}
		wantContent(tb, s, b)
	}},
}

// idleReader now and then reads nothing, as a Reader may.
type idleReader struct {
	io.Reader
	n int
}

func (r *idleReader) Read(p []byte) (int, error) {
	if r.n++; r.n%2 == 0 {
		return 0, nil
	}
	return r.Reader.Read(p[:min(len(p), 100)])
}

var codeOpenClauses = []codeClause{
	{Name: "open/many-readers", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 300_000)
		put(tb, s, b)
		kit.Together(8, func(int) { wantContent(tb, s, b) })
	}},
	{Name: "open/close-in-the-middle", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 300_000)
		r, err := s.Open(tb.Context(), put(tb, s, b).Digest)
		if err != nil {
			tb.Fatalf("Open: %v", err)
		}
		part := make([]byte, 1000)
		if _, err := io.ReadFull(r, part); err != nil || !bytes.Equal(part, b[:1000]) {
			tb.Errorf("the first 1000 bytes are others, or: %v", err)
		}
		if err := r.Close(); err != nil {
			tb.Errorf("Close of a reader: %v", err)
		}
		wantContent(tb, s, b)
	}},
	{Name: "open/a-delete-does-not-disturb", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 1<<20)
		d := put(tb, s, b).Digest
		r, err := s.Open(tb.Context(), d)
		if err != nil {
			tb.Fatalf("Open: %v", err)
		}
		defer r.Close()
		head := make([]byte, 100)
		if _, err := io.ReadFull(r, head); err != nil {
			tb.Fatalf("Read: %v", err)
		}
		if err := s.Delete(tb.Context(), d); err != nil {
			tb.Fatalf("Delete: %v", err)
		}
		rest, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(append(head, rest...), b) {
			tb.Errorf("after a Delete a reader got %d of %d bytes: %v", len(head)+len(rest), len(b), err)
		}
	}},
	{Name: "open/not-found", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 1000)
		gone := put(tb, s, b).Digest
		put(tb, s, content(2, 1000))
		if err := s.Delete(tb.Context(), gone); err != nil {
			tb.Fatalf("Delete: %v", err)
		}
		for _, d := range []faas.Digest{gone, blobOf(content(3, 1)).Digest} {
			_, err := s.Open(tb.Context(), d)
			kit.WantClass(tb, err, faas.ErrNotFound, "Open")
			_, err = s.Stat(tb.Context(), d)
			kit.WantClass(tb, err, faas.ErrNotFound, "Stat")
			kit.WantClass(tb, s.Delete(tb.Context(), d), faas.ErrNotFound, "Delete")
		}
		wantBlobs(tb, "after one of two was deleted", s, 1)
		put(tb, s, b)
		wantContent(tb, s, b)
	}},
	{Name: "open/bad-digests", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		good := string(put(tb, s, content(1, 10)).Digest)
		for _, bad := range []string{"", "x", "sha256:", good[:70], good + "0", "sha512:" + good[7:], "SHA256:" + good[7:], strings.ToUpper(good),
			"sha256:../../" + good[13:], "sha256:/" + good[8:], "sha256:" + strings.Repeat("\x00", 64), good[7:], strings.Repeat("a", 10_000)} {
			d := faas.Digest(bad)
			_, err := s.Open(tb.Context(), d)
			kit.WantClass(tb, err, faas.ErrInvalidArgument, "Open(%.80q)", bad)
			_, err = s.Stat(tb.Context(), d)
			kit.WantClass(tb, err, faas.ErrInvalidArgument, "Stat(%.80q)", bad)
			kit.WantClass(tb, s.Delete(tb.Context(), d), faas.ErrInvalidArgument, "Delete(%.80q)", bad)
		}
		wantBlobs(tb, "after bad digests", s, 1)
	}},
	{Name: "list/order", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		var want []registry.Blob
		for i := range 40 {
			want = append(want, put(tb, s, content(byte(i), i*100)))
		}
		slices.SortFunc(want, func(a, b registry.Blob) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
		if got := listBlobs(tb, s); !slices.Equal(got, want) {
			tb.Errorf("List:\n got %v\nwant %v", got, want)
		}
	}},
	{Name: "list/calls-while-listing", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		for i := range 10 {
			put(tb, s, content(byte(i), 100))
		}
		n := 0
		for b, err := range s.List(tb.Context()) {
			if err != nil {
				tb.Fatalf("List: %v", err)
			}
			if err := s.Delete(tb.Context(), b.Digest); err != nil {
				tb.Errorf("Delete while listing: %v", err)
			}
			if n++; n == 5 {
				break
			}
		}
		wantBlobs(tb, "after 5 of 10 were deleted", s, 5)
		canceled, cancel := context.WithCancel(tb.Context())
		cancel()
		for _, err := range s.List(canceled) {
			kit.WantClass(tb, err, faas.ErrCanceled, "List with a cancelled context")
		}
	}},
}

var codeLimitClauses = []codeClause{
	{Name: "limit/refuses-what-does-not-fit", Check: func(tb testing.TB, h CodeHarness) {
		if h.OpenLimited == nil {
			tb.Skip("the store has no limit: CodeHarness.OpenLimited is nil")
		}
		s := kit.Closing(tb, h.OpenLimited(tb, 1000))
		refused := func(r io.Reader, what string) {
			tb.Helper()
			end := make(chan error, 1)
			go func() {
				_, err := s.Put(tb.Context(), r)
				end <- err
			}()
			kit.WantClass(tb, await(tb, "the refusal of "+what, end), faas.ErrExhausted, "Put of %s", what)
		}
		refused(bytes.NewReader(content(1, 1001)), "one byte too many")
		refused(endless{}, "an endless source")
		wantBlobs(tb, "after what does not fit", s, 0)
		first := put(tb, s, content(2, 600))
		refused(bytes.NewReader(content(3, 401)), "one byte more than is left")
		put(tb, s, content(2, 600)) // is there already and takes nothing
		put(tb, s, content(4, 400))
		put(tb, s, content(2, 600)) // even now
		refused(bytes.NewReader([]byte("x")), "one byte into a full store")
		if err := s.Delete(tb.Context(), first.Digest); err != nil {
			tb.Fatalf("Delete: %v", err)
		}
		put(tb, s, content(5, 600))
		wantBlobs(tb, "at the end", s, 2)
	}},
	{Name: "limit/holds-under-concurrency", Check: func(tb testing.TB, h CodeHarness) {
		if h.OpenLimited == nil {
			tb.Skip("the store has no limit: CodeHarness.OpenLimited is nil")
		}
		s := kit.Closing(tb, h.OpenLimited(tb, 5000))
		kit.Together(10, func(i int) {
			_, err := s.Put(tb.Context(), &yielding{content(byte(i), 1000)})
			if err != nil {
				kit.WantClass(tb, err, faas.ErrExhausted, "Put into a full store")
			}
		})
		wantBlobs(tb, "ten times a fifth of the limit", s, 5)
	}},
}

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// yielding takes a moment for its bytes, so that several Puts are under way at once.
type yielding struct{ b []byte }

func (r *yielding) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 50)], r.b)
	r.b = r.b[n:]
	time.Sleep(time.Millisecond)
	return n, nil
}

var codeLifecycleClauses = []codeClause{
	{Name: "concurrency/same-content", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		b := content(1, 100_000)
		kit.Together(8, func(int) {
			if got, err := s.Put(tb.Context(), bytes.NewReader(b)); err != nil || got != blobOf(b) {
				tb.Errorf("Put: %v, %v", got, err)
			}
			wantContent(tb, s, b)
		})
		wantBlobs(tb, "after the same eight times", s, 1)
	}},
	{Name: "concurrency/hammer", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		const workers, rounds = 6, 15
		kit.Together(workers, func(worker int) {
			own := content(byte(100+worker), 5000+worker)
			for round := range rounds {
				shared := content(byte(round%3), 3000)
				for _, b := range [][]byte{shared, own} {
					if _, err := s.Put(tb.Context(), bytes.NewReader(b)); err != nil {
						tb.Errorf("Put: %v", err)
					}
				}
				wantContent(tb, s, own)
				// Others delete the shared ones: they are there and whole, or not there.
				r, err := s.Open(tb.Context(), blobOf(shared).Digest)
				if err != nil {
					kit.WantClass(tb, err, faas.ErrNotFound, "Open of what another deletes")
				} else {
					got, err := io.ReadAll(r)
					if err != nil || !bytes.Equal(got, shared) {
						tb.Errorf("read %d of %d bytes: %v", len(got), len(shared), err)
					}
					_ = r.Close()
				}
				if err := s.Delete(tb.Context(), blobOf(shared).Digest); err != nil {
					kit.WantClass(tb, err, faas.ErrNotFound, "Delete of what another deletes")
				}
				for _, err := range s.List(tb.Context()) {
					if err != nil {
						tb.Errorf("List: %v", err)
					}
				}
			}
		})
		for worker := range workers {
			wantContent(tb, s, content(byte(100+worker), 5000+worker))
		}
	}},
	{Name: "lifecycle/closed", Check: func(tb testing.TB, h CodeHarness) {
		s := h.open(tb)
		d := put(tb, s, content(1, 10)).Digest
		for range 2 {
			if err := s.Close(); err != nil {
				tb.Errorf("Close: %v", err)
			}
		}
		calls := make(map[string]error)
		_, calls["Put"] = s.Put(tb.Context(), strings.NewReader("x"))
		_, calls["Open"] = s.Open(tb.Context(), d)
		_, calls["Stat"] = s.Stat(tb.Context(), d)
		calls["Delete"] = s.Delete(tb.Context(), d)
		n := 0
		for _, err := range s.List(tb.Context()) {
			calls["List"] = err
			n++
		}
		if n != 1 {
			tb.Errorf("List after Close yields %d times, want one error", n)
		}
		for call, err := range calls {
			kit.WantClass(tb, err, faas.ErrClosed, "%s after Close", call)
		}
	}},
	{Name: "durability/reopen", Check: func(tb testing.TB, h CodeHarness) {
		if h.Reopen == nil {
			tb.Skip("the store is not durable: CodeHarness.Reopen is nil")
		}
		s := h.open(tb)
		var kept [][]byte
		for i := range 5 {
			kept = append(kept, content(byte(i), 10_000*i))
			put(tb, s, kept[i])
		}
		gone := put(tb, s, content(9, 10)).Digest
		if err := s.Delete(tb.Context(), gone); err != nil {
			tb.Fatalf("Delete: %v", err)
		}
		s = kit.Closing(tb, h.Reopen(tb, s))
		for i, b := range kept {
			wantContent(tb, s, b)
			if got, err := s.Stat(tb.Context(), blobOf(b).Digest); err != nil || got != blobOf(b) {
				tb.Errorf("Stat of blob %d after a reopen: %v, %v", i, got, err)
			}
		}
		_, err := s.Open(tb.Context(), gone)
		kit.WantClass(tb, err, faas.ErrNotFound, "Open of a deleted blob after a reopen")
		wantBlobs(tb, fmt.Sprint("after a reopen of ", len(kept)), s, len(kept))
	}},
}
