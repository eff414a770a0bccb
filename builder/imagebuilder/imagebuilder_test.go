package imagebuilder_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/builder/gobuilder"
	"github.com/joinery/faas/builder/imagebuilder"
	"github.com/joinery/faas/internal/dockerengine"
	require_ "github.com/joinery/faas/internal/require"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/dockerdriver"
	"github.com/joinery/faas/registry/memcode"
	"github.com/joinery/faas/registry/memregistry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kept is a target that keeps the image's archive.
type kept struct{ archive bytes.Buffer }

func (k *kept) Put(_ context.Context, repository string, img v1.Image) (string, error) {
	if err := validate.Image(img, validate.Fast); err != nil {
		return "", err
	}
	ref, err := name.NewTag(repository + ":1")
	if err != nil {
		return "", err
	}
	return repository + ":1", tarball.Write(ref, img, &k.archive)
}

// function puts code into a store and returns a function that has it.
func function(t *testing.T, code *memcode.Store, files ...tar.Header) faas.Function {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range files {
		h.ModTime = time.Now() // of no influence
		require.NoError(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, strings.Repeat("x", int(h.Size)))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	blob, err := code.Put(t.Context(), &b)
	require.NoError(t, err)
	return faas.Function{Ref: faas.Ref{Namespace: "team", Name: "hello", Version: "3"},
		Spec: faas.Spec{Contract: faas.ContractInherit, Code: blob.Digest, Command: []string{"./hello", "-x"},
			Env: map[string]string{"B": "2", "A": "1"}, Labels: map[string]string{builder.LabelBuild: "x", "mine": "y"}}}
}

func store(t *testing.T) *memcode.Store {
	code := memcode.New(nil)
	t.Cleanup(func() { assert.NoError(t, code.Close()) })
	return code
}

func TestTheImage(t *testing.T) {
	code := store(t)
	fn := function(t, code, tar.Header{Name: "hello", Mode: 0o4755, Size: 10, Uid: 7}, tar.Header{Name: "lib/", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "lib/data", Mode: 0o644, Size: 3}, tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "hello"})
	var archives [2]kept
	for i := range archives {
		b, err := imagebuilder.New(imagebuilder.Config{Code: code, Target: &archives[i], TempDir: t.TempDir()})
		require.NoError(t, err)
		spec, err := b.Image(t.Context(), fn)
		require.NoError(t, err)
		assert.Equal(t, "team/hello:1", spec.Image)
		assert.Empty(t, spec.Code)
		assert.Empty(t, spec.Command)
		assert.Equal(t, faas.ContractSocket, spec.Contract)
		assert.Equal(t, map[string]string{"mine": "y"}, spec.Labels)
		assert.Equal(t, "x", fn.Spec.Labels[builder.LabelBuild], "the function itself is not changed")
	}
	assert.Equal(t, archives[0].archive.Bytes(), archives[1].archive.Bytes(), "reproducible to the byte")
	img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archives[0].archive.Bytes())), nil }, nil)
	require.NoError(t, err)
	cfg, err := img.ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, []string{"/code/hello", "-x"}, cfg.Config.Entrypoint)
	assert.Equal(t, []string{"A=1", "B=2"}, cfg.Config.Env)
	assert.Equal(t, "/tmp", cfg.Config.WorkingDir)
	assert.Equal(t, "65532:65532", cfg.Config.User)
	var got []string
	layers := mutate.Extract(img)
	defer layers.Close()
	for r := tar.NewReader(layers); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		got = append(got, fmt.Sprintf("%s %o %d %s", h.Name, h.Mode, h.Uid, h.Linkname))
	}
	assert.ElementsMatch(t, []string{"code 755 0 ", "tmp 1777 0 ", "code/hello 755 0 ", "code/lib 755 0 ", "code/lib/data 644 0 ", "code/link 777 0 hello"},
		clean(got))
}

// clean drops what tar implementations differ in.
func clean(all []string) (c []string) {
	for _, s := range all {
		name, rest, _ := strings.Cut(s, " ")
		s = strings.TrimSuffix(name, "/") + " " + rest
		c = append(c, strings.Replace(s, "code/link 0 0", "code/link 777 0", 1))
	}
	return c
}

func TestFaults(t *testing.T) {
	_, err := imagebuilder.New(imagebuilder.Config{})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.ErrorContains(t, err, "Code")
	assert.ErrorContains(t, err, "Target")
	code, target := store(t), &kept{}
	dir := t.TempDir()
	b, err := imagebuilder.New(imagebuilder.Config{Code: code, Target: target, TempDir: dir})
	require.NoError(t, err)
	fn := function(t, code, tar.Header{Name: "pipe", Typeflag: tar.TypeFifo})
	_, err = b.Image(t.Context(), fn)
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	fn.Spec.Code = faas.Digest("sha256:" + strings.Repeat("0", 64))
	_, err = b.Image(t.Context(), fn)
	assert.ErrorIs(t, err, faas.ErrNotFound)
	blob, err := code.Put(t.Context(), strings.NewReader(strings.Repeat("not a tar", 100)))
	require.NoError(t, err)
	fn.Spec.Code = blob.Digest
	_, err = b.Image(t.Context(), fn)
	assert.ErrorIs(t, err, faas.ErrInvalidArgument)
	fn.Spec.Code = ""
	_, err = b.Image(t.Context(), fn)
	assert.ErrorContains(t, err, "no code")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)

	good := function(t, code, tar.Header{Name: "hello", Mode: 0o755, Size: 10})
	for _, target := range []imagebuilder.Target{imagebuilder.Engine{Host: "unix:///no/such/socket"}, imagebuilder.Registry{Repository: "127.0.0.1:9/x"}} {
		b, err = imagebuilder.New(imagebuilder.Config{Code: code, Target: target})
		require.NoError(t, err)
		_, err = b.Image(t.Context(), good)
		assert.ErrorIs(t, err, faas.ErrUnavailable)
	}
}

// TestRegistry: pushed to a registry and found there by the reference, a second time without a word.
func TestRegistry(t *testing.T) {
	srv := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	tr := &http.Transport{DisableKeepAlives: true}
	code := store(t)
	b, err := imagebuilder.New(imagebuilder.Config{Code: code, Target: imagebuilder.Registry{
		Repository: strings.TrimPrefix(srv.URL, "http://") + "/functions", Transport: tr}})
	require.NoError(t, err)
	fn := function(t, code, tar.Header{Name: "hello", Mode: 0o755, Size: 10})
	first, err := b.Image(t.Context(), fn)
	require.NoError(t, err)
	second, err := b.Image(t.Context(), fn)
	require.NoError(t, err)
	assert.Equal(t, first, second)
	assert.Contains(t, first.Image, "/functions/team/hello@sha256:")
	ref, err := name.NewDigest(first.Image)
	require.NoError(t, err)
	img, err := remote.Image(ref, remote.WithTransport(tr))
	require.NoError(t, err)
	require.NoError(t, validate.Image(img, validate.Fast))

	// An image of ours as the base of another.
	b, err = imagebuilder.New(imagebuilder.Config{Code: code, Base: img, Target: imagebuilder.Registry{
		Repository: strings.TrimPrefix(srv.URL, "http://") + "/functions", Transport: tr}})
	require.NoError(t, err)
	on, err := b.Image(t.Context(), function(t, code, tar.Header{Name: "other", Mode: 0o755, Size: 10}))
	require.NoError(t, err)
	assert.NotEqual(t, first.Image, on.Image)
}

// TestFromSourceToContainer: a Go function is built, becomes an image, goes to the engine and to a
// registry the engine pulls from, and answers from a container.
func TestFromSourceToContainer(t *testing.T) {
	err := dockerengine.Available(t.Context())
	require_.Engine(t, "docker", err == nil, fmt.Sprint(err))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	source := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(source, "hello.go"), []byte(`package hello

import (
	"io"
	"net/http"
)

func Handler(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello from an image") }
`), 0o644))
	gob, err := gobuilder.New(nil)
	require.NoError(t, err)
	code, reg := store(t), memregistry.New(nil)
	defer reg.Close()
	p, err := builder.NewPipeline(builder.PipelineConfig{Builders: map[string]builder.Builder{"go": gob}, Code: code, Registry: reg})
	require.NoError(t, err)
	res, err := p.Build(ctx, builder.Request{Function: faas.Ref{Name: "hello"}, Language: "go", Source: builder.Dir(source)})
	require.NoError(t, err)

	srv := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	dir, err := os.MkdirTemp("", "ib")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	d, err := dockerdriver.New(ctx, &dockerdriver.Options{Dir: dir})
	require.NoError(t, err)
	var images []string
	tr := &http.Transport{DisableKeepAlives: true}
	defer func() { // after the containers
		if out, err := exec.Command("docker", append([]string{"image", "rm", "--force"}, images...)...).CombinedOutput(); err != nil {
			t.Logf("images are left: %s", out)
		}
	}()
	defer func() { assert.NoError(t, d.Close()) }()
	for i, target := range []imagebuilder.Target{imagebuilder.Engine{Prefix: "joinery-test"}, imagebuilder.Registry{
		Repository: strings.TrimPrefix(srv.URL, "http://") + "/functions", Transport: tr}} {
		b, err := imagebuilder.New(imagebuilder.Config{Code: code, Target: target})
		require.NoError(t, err)
		spec, err := b.Image(ctx, res.Function)
		require.NoError(t, err)
		images = append(images, spec.Image)
		fn, err := reg.Publish(ctx, faas.Ref{Name: "hello-image"}, spec, nil)
		require.NoError(t, err)
		st, err := d.Start(ctx, driver.Task{ID: fmt.Sprint("i", i), Contract: fn.Spec.Contract, Image: fn.Spec.Image, Env: fn.Spec.Env})
		require.NoError(t, err)
		tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, st.Endpoint.Network, st.Endpoint.Address)
		}}
		resp, err := (&http.Client{Transport: tr}).Get("http://function/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "hello from an image", string(body))
	}
}
