package builder_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/internal/archive"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/memcode"
	"github.com/joinery/faas/registry/memregistry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// copying is the least builder: the function is the file "function" of the source.
type copying struct {
	fingerprint string
	builds      atomic.Int32
	// resolve and build, when not nil, run first.
	resolve, build func(ctx context.Context, job builder.Job) error
}

func (c *copying) Validate(_ context.Context, src fs.FS) error {
	if _, err := fs.Stat(src, "function"); err != nil {
		return faas.Errorf("copying", "validate", "function", faas.ErrInvalidArgument, "is missing")
	}
	return nil
}

func (c *copying) Resolve(ctx context.Context, job builder.Job) error {
	if c.resolve != nil {
		return c.resolve(ctx, job)
	}
	return nil
}

func (c *copying) Build(ctx context.Context, job builder.Job) (builder.Artifact, error) {
	c.builds.Add(1)
	if c.build != nil {
		if err := c.build(ctx, job); err != nil {
			return builder.Artifact{}, err
		}
	}
	_, _ = io.WriteString(job.Log, "copying\n")
	err := os.Rename(filepath.Join(job.Source, "function"), filepath.Join(job.Output, "function"))
	return builder.Artifact{Contract: faas.ContractHTTP, Command: []string{"./function"}, Env: map[string]string{"A": "builder", "B": "builder"}}, err
}

func (c *copying) Fingerprint(context.Context) (string, error) { return c.fingerprint, nil }

// platform is a pipeline with what it needs.
type platform struct {
	*builder.Pipeline
	copying *copying
	code    registry.CodeStore
	reg     registry.Registry
	work    string
}

func newPlatform(t *testing.T, change func(*builder.PipelineConfig)) *platform {
	t.Helper()
	p := &platform{copying: &copying{fingerprint: "1"}, code: memcode.New(nil), reg: memregistry.New(nil), work: t.TempDir()}
	t.Cleanup(func() {
		assert.NoError(t, p.code.Close())
		assert.NoError(t, p.reg.Close())
		left, err := os.ReadDir(p.work)
		assert.NoError(t, err)
		assert.Empty(t, left, "private directories are removed")
	})
	cfg := builder.PipelineConfig{Builders: map[string]builder.Builder{"copy": p.copying}, Code: p.code, Registry: p.reg, WorkDir: p.work}
	if change != nil {
		change(&cfg)
	}
	var err error
	p.Pipeline, err = builder.NewPipeline(cfg)
	require.NoError(t, err)
	return p
}

func request(text string) builder.Request {
	return builder.Request{
		Function: faas.Ref{Name: "hello"}, Language: "copy",
		Source: builder.FS(fstest.MapFS{"function": {Data: []byte(text), Mode: 0o755}}),
	}
}

func TestBuildPublishes(t *testing.T) {
	p := newPlatform(t, nil)
	var log bytes.Buffer
	req := request("v1")
	req.Log = &log
	req.Spec = faas.Spec{
		Concurrency: 4, Timeout: time.Second, Limits: faas.Resources{Memory: 1 << 20}, Scale: faas.Scale{Max: 3},
		Env: map[string]string{"B": "request"}, Labels: map[string]string{"team": "a"},
	}
	res, err := p.Build(t.Context(), req)
	require.NoError(t, err)
	assert.False(t, res.Unchanged)
	assert.Equal(t, "default/hello@1", res.Function.Ref.String())

	got, err := p.reg.Get(t.Context(), faas.Ref{Name: "hello"})
	require.NoError(t, err)
	assert.Equal(t, res.Function, got)
	s := got.Spec
	assert.Equal(t, faas.ContractHTTP, s.Contract)
	assert.Equal(t, []string{"./function"}, s.Command)
	assert.Equal(t, map[string]string{"A": "builder", "B": "request"}, s.Env, "the request's environment wins")
	assert.Equal(t, 4, s.Concurrency)
	assert.Equal(t, faas.Scale{Max: 3}, s.Scale)
	assert.Equal(t, "a", s.Labels["team"])
	assert.NoError(t, faas.Digest(s.Labels[builder.LabelBuild]).Validate())
	assert.Equal(t, map[string]string{"team": "a"}, req.Spec.Labels, "the request's maps are not changed")

	assert.Equal(t, s.Code, res.Code.Digest)
	rc, err := p.code.Open(t.Context(), s.Code)
	require.NoError(t, err)
	defer rc.Close()
	dir := filepath.Join(t.TempDir(), "code")
	require.NoError(t, archive.UnpackTar(t.Context(), rc, dir, archive.Limits{}))
	data, err := os.ReadFile(filepath.Join(dir, "function"))
	require.NoError(t, err)
	assert.Equal(t, "v1", string(data))

	var steps []builder.Step
	for _, st := range res.Steps {
		steps = append(steps, st.Step)
		assert.Positive(t, st.Duration)
	}
	assert.Equal(t, []builder.Step{"open", "validate", "resolve", "build", "package", "store", "register"}, steps)
	assert.Equal(t, log.String(), res.Log)
	assert.Contains(t, res.Log, "copying\n")
}

func TestBuildOfTheSameChangesNothing(t *testing.T) {
	p := newPlatform(t, nil)
	first, err := p.Build(t.Context(), request("v1"))
	require.NoError(t, err)

	again, err := p.Build(t.Context(), request("v1"))
	require.NoError(t, err)
	assert.True(t, again.Unchanged)
	assert.Equal(t, first.Function, again.Function)
	assert.Equal(t, first.Code, again.Code)
	assert.EqualValues(t, 1, p.copying.builds.Load())

	q, err := builder.NewPipeline(builder.PipelineConfig{Builders: map[string]builder.Builder{"copy": p.copying}, Code: p.code, Registry: p.reg})
	require.NoError(t, err)
	again, err = q.Build(t.Context(), request("v1"))
	require.NoError(t, err)
	assert.True(t, again.Unchanged, "another pipeline over the same stores knows it too")

	changed := map[string]func(*builder.Request){
		"source": func(r *builder.Request) { *r = request("v2") },
		"spec":   func(r *builder.Request) { r.Spec.Concurrency = 2 },
		"env":    func(r *builder.Request) { r.Spec.Env = map[string]string{"X": "1"} },
	}
	for what, change := range changed {
		req := request("v1")
		change(&req)
		res, err := p.Build(t.Context(), req)
		require.NoError(t, err)
		assert.False(t, res.Unchanged, what)
	}
	p.copying.fingerprint = "2"
	res, err := p.Build(t.Context(), request("v1"))
	require.NoError(t, err)
	assert.False(t, res.Unchanged, "fingerprint")
	assert.Equal(t, first.Code.Digest, res.Code.Digest, "the same bytes are the same blob")

	require.NoError(t, p.code.Delete(t.Context(), res.Code.Digest))
	lost, err := p.Build(t.Context(), request("v1"))
	require.NoError(t, err)
	assert.Equal(t, res.Function, lost.Function, "code that was lost is built again, for the same version")
	_, err = p.code.Stat(t.Context(), res.Code.Digest)
	require.NoError(t, err)
}

func TestConcurrentBuildsOfTheSamePublishOnce(t *testing.T) {
	const n = 4
	p := newPlatform(t, func(c *builder.PipelineConfig) { c.Parallel = n })
	var together sync.WaitGroup
	together.Add(n)
	p.copying.build = func(context.Context, builder.Job) error { together.Done(); together.Wait(); return nil }
	var unchanged atomic.Int32
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			res, err := p.Build(t.Context(), request("v1"))
			assert.NoError(t, err)
			assert.Equal(t, "1", res.Function.Ref.Version)
			if res.Unchanged {
				unchanged.Add(1)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, n-1, unchanged.Load())
}

func TestRequestFaultsAreReportedAtOnce(t *testing.T) {
	p := newPlatform(t, nil)
	_, err := p.Build(t.Context(), builder.Request{
		Function: faas.Ref{Name: "Bad_Name", Version: "3"}, Language: "cobol",
		Spec: faas.Spec{Command: []string{"x"}, Code: "sha256:1", Concurrency: -1, Labels: map[string]string{builder.LabelBuild: "x"}},
	})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	require.ErrorIs(t, err, faas.ErrUnimplemented)
	for _, part := range []string{"name", "version", "cobol", "only for: copy", "source", "spec.command", "spec.code", "concurrency", builder.LabelBuild} {
		assert.ErrorContains(t, err, part)
	}
	req := request("x")
	req.Spec.Contract = faas.ContractSocket
	res, err := p.Build(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, faas.ContractSocket, res.Function.Spec.Contract, "the request's contract wins")
}

func TestConfigFaultsAreReportedAtOnce(t *testing.T) {
	_, err := builder.NewPipeline(builder.PipelineConfig{Builders: map[string]builder.Builder{"go": nil}, Timeout: -1, WorkDir: "/does/not/exist"})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	for _, part := range []string{"Builders", "Code", "Registry", "Timeout", "WorkDir"} {
		assert.ErrorContains(t, err, part)
	}
}

func TestFailuresKeepTheirClassAndTheLog(t *testing.T) {
	p := newPlatform(t, nil)
	p.copying.build = func(_ context.Context, job builder.Job) error {
		_, _ = io.WriteString(job.Log, "main.c:1: syntax error\n")
		return faas.Errorf("copying", "build", "", faas.ErrInvalidArgument, "it does not build")
	}
	res, err := p.Build(t.Context(), request("v1"))
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.Contains(t, res.Log, "main.c:1: syntax error\n")
	assert.Contains(t, res.Log, "it does not build")
	assert.Equal(t, builder.StepBuild, res.Steps[len(res.Steps)-1].Step)

	_, err = p.reg.Get(t.Context(), faas.Ref{Name: "hello"})
	require.ErrorIs(t, err, faas.ErrNotFound, "nothing is published")

	_, err = p.Build(t.Context(), builder.Request{Function: faas.Ref{Name: "hello"}, Language: "copy", Source: builder.FS(fstest.MapFS{})})
	require.ErrorIs(t, err, faas.ErrInvalidArgument)
	assert.ErrorContains(t, err, "is missing")

	full := faas.Errorf("code store", "put", "", faas.ErrExhausted, "full")
	q, err := builder.NewPipeline(builder.PipelineConfig{Builders: map[string]builder.Builder{"copy": &copying{}}, Code: fullStore{p.code, full}, Registry: p.reg, WorkDir: p.work})
	require.NoError(t, err)
	_, err = q.Build(t.Context(), request("v1"))
	require.ErrorIs(t, err, faas.ErrExhausted)
}

type fullStore struct {
	registry.CodeStore
	err error
}

func (s fullStore) Put(context.Context, io.Reader) (registry.Blob, error) {
	return registry.Blob{}, s.err
}

func TestTimeoutAndCancel(t *testing.T) {
	forever := func(ctx context.Context, _ builder.Job) error { <-ctx.Done(); return errors.New("killed") }
	p := newPlatform(t, func(c *builder.PipelineConfig) { c.Timeout = 50 * time.Millisecond })
	p.copying.resolve = forever
	_, err := p.Build(t.Context(), request("v1"))
	require.ErrorIs(t, err, faas.ErrTimeout)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "PipelineConfig.Timeout")

	p = newPlatform(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	p.copying.build = func(ctx context.Context, job builder.Job) error { cancel(); return forever(ctx, job) }
	_, err = p.Build(ctx, request("v1"))
	require.ErrorIs(t, err, faas.ErrCanceled)
}

func TestQueueIsBoundedAndFirstInFirstOut(t *testing.T) {
	p := newPlatform(t, func(c *builder.PipelineConfig) { c.Parallel, c.Queue = 1, 2 })
	started, release := make(chan string, 3), make(chan struct{})
	p.copying.build = func(_ context.Context, job builder.Job) error {
		data, err := os.ReadFile(filepath.Join(job.Source, "function"))
		started <- string(data)
		<-release
		return err
	}
	var wg sync.WaitGroup
	run := func(ctx context.Context, text string, check func(error)) {
		wg.Go(func() {
			_, err := p.Build(ctx, request(text))
			check(err)
		})
	}
	fine := func(err error) { assert.NoError(t, err) }
	run(t.Context(), "a", fine)
	require.Equal(t, "a", <-started)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	run(ctx, "b", func(err error) { gaveUp <- err })
	awaitWaiting(t, p, 2)
	run(t.Context(), "c", fine)
	awaitWaiting(t, p, 3)
	_, err := p.Build(t.Context(), request("d"))
	require.ErrorIs(t, err, faas.ErrExhausted)

	cancel()
	require.ErrorIs(t, <-gaveUp, faas.ErrCanceled)
	run(t.Context(), "e", fine)
	awaitWaiting(t, p, 3)
	close(release)
	assert.Equal(t, "c", <-started)
	assert.Equal(t, "e", <-started)
	wg.Wait()
}

// awaitWaiting waits until n builds are running and waiting.
func awaitWaiting(t *testing.T, p *platform, n int64) {
	t.Helper()
	require.Eventually(t, func() bool { return builder.Present(p.Pipeline) == n }, 10*time.Second, time.Millisecond)
}

func TestLogIsStreamedAndBounded(t *testing.T) {
	p := newPlatform(t, func(c *builder.PipelineConfig) { c.MaxLog = 100 })
	seen := make(chan struct{})
	p.copying.build = func(_ context.Context, job builder.Job) error {
		_, _ = io.WriteString(job.Log, "working on it\n")
		<-seen // nobody gets here unless the line is read while the build runs
		_, _ = io.WriteString(job.Log, strings.Repeat("x", 1000)+"end of the flood\n")
		return nil
	}
	var once sync.Once
	req := request("v1")
	req.Log = writerFunc(func(b []byte) (int, error) {
		if bytes.Contains(b, []byte("working on it")) {
			once.Do(func() { close(seen) })
			return 0, errors.New("the reader went away")
		}
		return len(b), nil
	})
	res, err := p.Build(t.Context(), req)
	require.NoError(t, err, "a log that cannot be written does not fail the build")
	assert.LessOrEqual(t, len(res.Log), 100)
	assert.Positive(t, res.LogDropped)
	assert.True(t, strings.HasSuffix(res.Log, "published default/hello@1\n"), res.Log)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestSources(t *testing.T) {
	p := newPlatform(t, nil)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "function"), []byte("v1"), 0o755))
	var tgz bytes.Buffer
	gz := gzip.NewWriter(&tgz)
	require.NoError(t, archive.PackTar(t.Context(), gz, dir))
	require.NoError(t, gz.Close())

	res, err := p.Build(t.Context(), request("v1"))
	require.NoError(t, err)
	for name, src := range map[string]builder.Source{"dir": builder.Dir(dir), "tar.gz": builder.TarGz(&tgz)} {
		req := request("")
		req.Source = src
		same, err := p.Build(t.Context(), req)
		require.NoError(t, err, name)
		assert.True(t, same.Unchanged, "%s: the form of the source does not matter", name)
		assert.Equal(t, res.Function, same.Function)
	}

	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "secret")))
	tgz.Reset()
	gz = gzip.NewWriter(&tgz)
	tw := tar.NewWriter(gz)
	require.NoError(t, tw.WriteHeader(&tar.Header{Name: "../function", Typeflag: tar.TypeReg}))
	require.NoError(t, errors.Join(tw.Close(), gz.Close()))
	junk := []byte("PK junk")
	for name, src := range map[string]builder.Source{
		"link out": builder.Dir(dir), "missing": builder.Dir(dir + "/nowhere"), "dot dot": builder.TarGz(&tgz),
		"junk zip": builder.Zip(bytes.NewReader(junk), int64(len(junk))), "junk tar.gz": builder.TarGz(bytes.NewReader(junk)),
	} {
		req := request("")
		req.Source = src
		_, err := p.Build(t.Context(), req)
		require.ErrorIs(t, err, faas.ErrInvalidArgument, name)
	}
}

func TestReadOnlyLeftoversAreRemoved(t *testing.T) {
	p := newPlatform(t, nil)
	p.copying.build = func(_ context.Context, job builder.Job) error {
		dir := filepath.Join(job.Temp, "cache")
		if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o755); err != nil {
			return err
		}
		return errors.Join(os.Chmod(filepath.Join(dir, "deep"), 0), os.Chmod(dir, 0o500))
	}
	_, err := p.Build(t.Context(), request("v1"))
	require.NoError(t, err)
}
