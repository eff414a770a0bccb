package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
)

// CodeStore is what the pipeline needs of a code store (F1); every registry.CodeStore fits.
type CodeStore interface {
	// Put stores what r yields; see registry.CodeStore.
	Put(ctx context.Context, r io.Reader) (registry.Blob, error)
	// Stat returns what is known of a blob, or ErrNotFound.
	Stat(ctx context.Context, d faas.Digest) (registry.Blob, error)
}

// Registry is what the pipeline needs of a function registry (F1); every registry.Registry fits.
type Registry interface {
	// Get resolves a reference without a version to the latest one; see registry.Functions.
	Get(ctx context.Context, ref faas.Ref) (faas.Function, error)
	// Publish adds the next version.
	Publish(ctx context.Context, ref faas.Ref, spec faas.Spec, o *registry.PublishOptions) (faas.Function, error)
}

// PipelineConfig configures a Pipeline.
type PipelineConfig struct {
	// Builders by language. At least one.
	Builders map[string]Builder
	// Code keeps the archives. Required.
	Code CodeStore
	// Registry keeps the functions. Required.
	Registry Registry
	// Timeout bounds one build, without its wait for a place. Zero: 10 minutes.
	Timeout time.Duration
	// Parallel is how many builds run at a time. Zero: 2.
	Parallel int
	// Queue is how many builds may wait for a place, first come, first served; one more is
	// ErrExhausted. Zero: 100.
	Queue int
	// WorkDir is where private directories ("joinery-build-*") are made. Empty: os.TempDir(). A
	// process that is killed leaves its own behind: who minds clears a WorkDir of his own at start.
	WorkDir string
	// MaxLog is how many bytes of a build log a Result keeps. Zero: 256 KiB.
	MaxLog int
	// Logger receives one line for each build. Nil: none.
	Logger *slog.Logger
}

// Defaults of PipelineConfig.
const (
	DefaultTimeout  = 10 * time.Minute
	DefaultParallel = 2
	DefaultQueue    = 100
	DefaultMaxLog   = 256 << 10
)

// Pipeline is the building pattern: source to published function. It holds nothing that
// would have to be closed. Safe for concurrent use.
type Pipeline struct {
	cfg     PipelineConfig
	places  *semaphore.Weighted // first in, first out
	present atomic.Int64        // builds running and waiting
}

// NewPipeline returns a pipeline, or ErrInvalidArgument with every fault of the configuration.
func NewPipeline(cfg PipelineConfig) (*Pipeline, error) {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, faas.Errorf(component, "new pipeline", field, faas.ErrInvalidArgument, format, args...))
	}
	if len(cfg.Builders) == 0 {
		bad("Builders", "is empty")
	}
	for lang, b := range cfg.Builders {
		if lang == "" || b == nil {
			bad("Builders", "the builder of %q is nil or has no language", lang)
		}
	}
	if cfg.Code == nil {
		bad("Code", "is nil")
	}
	if cfg.Registry == nil {
		bad("Registry", "is nil")
	}
	if cfg.Timeout < 0 || cfg.Parallel < 0 || cfg.Queue < 0 || cfg.MaxLog < 0 {
		bad("Timeout, Parallel, Queue, MaxLog", "one of them is negative")
	}
	if cfg.WorkDir != "" {
		if info, err := os.Stat(cfg.WorkDir); err != nil || !info.IsDir() {
			bad("WorkDir", "%q is not a directory", cfg.WorkDir)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Parallel == 0 {
		cfg.Parallel = DefaultParallel
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
	}
	if cfg.MaxLog == 0 {
		cfg.MaxLog = DefaultMaxLog
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Pipeline{cfg: cfg, places: semaphore.NewWeighted(int64(cfg.Parallel))}, nil
}

// Build builds a source and publishes the function. It works in a private directory that
// is gone when it returns; when ctx ends, so does every tool it runs. What reached the code
// store before a failure stays there: it is named by its content and harms nobody.
//
// Errors: ErrInvalidArgument (a fault of the request or the source), ErrUnimplemented (no builder
// of that language, or a tool of it is missing), ErrExhausted (the queue is full, or the disk),
// ErrTimeout, ErrCanceled, and those of the code store and the registry.
func (p *Pipeline) Build(ctx context.Context, req Request) (Result, error) {
	if err := p.validate(&req); err != nil {
		return Result{}, err
	}
	req.Function = req.Function.WithDefaults()
	if err := p.enter(ctx, &req); err != nil {
		return Result{}, err
	}
	defer p.leave()

	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.Timeout,
		fmt.Errorf("%w: the build took longer than %v (PipelineConfig.Timeout)", context.DeadlineExceeded, p.cfg.Timeout))
	defer cancel()
	b := &build{
		Request: &req, p: p, builder: p.cfg.Builders[req.Language],
		log: &buildLog{out: req.Log, max: p.cfg.MaxLog},
	}
	begin := time.Now()
	err := b.run(ctx)
	b.res.Log, b.res.LogDropped = b.log.kept()
	p.cfg.Logger.InfoContext(ctx, "build", "function", req.Function.String(), "language", req.Language,
		"version", b.res.Function.Ref.Version, "unchanged", b.res.Unchanged, "duration", time.Since(begin), "error", err)
	return b.res, err
}

// enter waits for a place.
func (p *Pipeline) enter(ctx context.Context, req *Request) error {
	key := req.Function.String()
	if n := p.present.Add(1); n > int64(p.cfg.Parallel+p.cfg.Queue) {
		p.present.Add(-1)
		err := faas.Errorf(component, "build", key, faas.ErrExhausted, "%d builds are running and waiting", n-1)
		err.Next = "try again later, or raise PipelineConfig.Parallel or Queue"
		return err
	}
	if p.places.Acquire(ctx, 1) != nil {
		p.present.Add(-1)
		return faas.ContextError(ctx, component, "wait for a place", key)
	}
	return nil
}

func (p *Pipeline) leave() {
	p.places.Release(1)
	p.present.Add(-1)
}
