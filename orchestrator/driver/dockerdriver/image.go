package dockerdriver

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/joinery/faas"
)

// emptyImage is the base without any file that the driver makes itself. A change of its content
// changes the tag.
const emptyImage = "joinery/empty:1"

// images sees to it that the engine has what is to be run; each image is obtained once at a time.
type images struct {
	engine *engine
	pull   Pull

	mu   sync.Mutex
	busy map[string]chan struct{} // closed when the image was obtained, or not
}

// refresh is what the policy wants done before each start.
func (s *images) refresh(ctx context.Context, ref string) error {
	if s.pull != PullAlways || ref == emptyImage {
		return nil
	}
	if strings.Contains(ref, "@") && s.present(ctx, ref) {
		return nil
	}
	return s.fetch(ctx, ref)
}

// obtain gets an image that the engine does not have.
func (s *images) obtain(ctx context.Context, ref string) error {
	switch {
	case ref == emptyImage:
		return s.once(ctx, ref, s.makeEmpty)
	case s.pull == PullNever:
		err := faas.Errorf(component, "image", ref, faas.ErrNotFound, "the engine does not have it, and images are not pulled")
		err.Next = "load it into the engine, or set Options.Pull"
		return err
	}
	return s.once(ctx, ref, s.fetch)
}

// once lets one caller work on an image that is missing, and the others wait for it.
func (s *images) once(ctx context.Context, ref string, do func(context.Context, string) error) error {
	for {
		s.mu.Lock()
		other := s.busy[ref]
		if other == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	done := make(chan struct{})
	if s.busy == nil {
		s.busy = map[string]chan struct{}{}
	}
	s.busy[ref] = done
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, ref)
		close(done)
	}()
	if s.present(ctx, ref) {
		return nil
	}
	return do(ctx, ref)
}

func (s *images) present(ctx context.Context, ref string) bool {
	return s.engine.call(ctx, http.MethodGet, "/images/"+ref+"/json", nil, nil, nil) == nil
}

// makeEmpty imports an image of the directories that instances have in any case.
func (s *images) makeEmpty(ctx context.Context, ref string) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, d := range []struct {
		name string
		mode int64
	}{{"dev/", 0o755}, {"etc/", 0o755}, {"proc/", 0o755}, {"sys/", 0o755}, {codeDir[1:] + "/", 0o755}, {"run/", 0o755}, {socketDir[1:] + "/", 0o755}, {"tmp/", 0o1777}} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d.name, Mode: d.mode}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	name, tag, _ := strings.Cut(ref, ":")
	return s.progress(ctx, ref, url.Values{"fromSrc": {"-"}, "repo": {name}, "tag": {tag}}, &b)
}

// fetch pulls an image from its registry.
func (s *images) fetch(ctx context.Context, ref string) error {
	q := url.Values{"fromImage": {ref}}
	if last := ref[strings.LastIndexByte(ref, '/')+1:]; !strings.ContainsAny(last, ":@") {
		q.Set("tag", "latest") // without any tag the engine would pull all of them
	}
	return s.progress(ctx, ref, q, nil)
}

// progress creates an image and reads what the engine says meanwhile, errors included.
func (s *images) progress(ctx context.Context, ref string, q url.Values, content io.Reader) error {
	var in any
	if content != nil {
		in = content
	}
	body, err := s.engine.open(ctx, http.MethodPost, "/images/create", q, in)
	if err != nil {
		return pullError(ctx, ref, err)
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var line struct{ Error string }
		if err := dec.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return pullError(ctx, ref, err)
		}
		if line.Error != "" {
			return pullError(ctx, ref, &refusal{status: http.StatusInternalServerError, message: line.Error})
		}
	}
}

// pullError says what an image could not be had for. The engine passes the words of registries on.
func pullError(ctx context.Context, ref string, err error) error {
	classed := engineError(ctx, "image", ref, err)
	var e *faas.Error
	if !errors.As(classed, &e) {
		return classed
	}
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(refusalText(err), w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("manifest unknown", "name unknown", "not found", "does not exist"):
		e.Class = faas.ErrNotFound
	case has("unauthorized", "denied", "authentication required"):
		e.Class = faas.ErrDenied
	case has("dial tcp", "no such host", "i/o timeout", "connection refused", "tls", "server gave http response"):
		e.Class, e.Next = faas.ErrUnavailable, "the engine cannot reach the image's registry"
	}
	return e
}
