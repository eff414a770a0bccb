package buildertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/internal/recordtb"
)

// doubles are builders that break exactly one promise each, by the clause that must notice.
var doubles = []struct {
	clause, name string
	make         func(tb testing.TB) *override
}{
	{"validate", "accepts anything", func(testing.TB) *override {
		return &override{validate: func(context.Context, fs.FS) error { return nil }}
	}},
	{"validate", "stops at the first fault", func(testing.TB) *override {
		return &override{validate: func(ctx context.Context, src fs.FS) error {
			var all interface{ Unwrap() []error }
			if err := (toy{}).Validate(ctx, src); errors.As(err, &all) {
				return all.Unwrap()[0]
			}
			return nil
		}}
	}},
	{"validate", "refuses a good source", func(testing.TB) *override {
		return &override{validate: func(_ context.Context, src fs.FS) error {
			return faas.Errorf("toy", "validate", "", faas.ErrInvalidArgument, "answer and license: no")
		}}
	}},
	{"validate", "does not class its errors", func(testing.TB) *override {
		return &override{validate: func(ctx context.Context, src fs.FS) error {
			if err := (toy{}).Validate(ctx, src); err != nil {
				return errors.New(err.Error())
			}
			return nil
		}}
	}},
	{"builds and answers", "builds something else", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error { return shell(ctx, job, `echo 41 > "$OUT"/function`) })
	}},
	{"builds and answers", "names no command", func(testing.TB) *override {
		return &override{build: func(ctx context.Context, job builder.Job) (builder.Artifact, error) {
			return builder.Artifact{Contract: faas.ContractStdio}, shell(ctx, job, copyScript)
		}}
	}},
	{"builds and answers", "leaves a daemon", func(tb testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			return errors.Join(daemon(tb, job), shell(ctx, job, copyScript))
		})
	}},
	{"reproducible", "stamps the time", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			return errors.Join(shell(ctx, job, copyScript), os.WriteFile(job.Output+"/stamp", []byte(time.Now().String()), 0o644))
		})
	}},
	{"reproducible", "records where it was built", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			return errors.Join(shell(ctx, job, copyScript), os.WriteFile(job.Output+"/where", []byte(job.Source), 0o644))
		})
	}},
	{"fingerprint", "is empty", func(testing.TB) *override { return &override{fingerprint: func() string { return "" }} }},
	{"fingerprint", "differs between equal builders", func(testing.TB) *override {
		id := new(int)
		return &override{fingerprint: func() string { return fmt.Sprintf("toy at %p", id) }}
	}},
	{"fingerprint", "ignores the options", func(testing.TB) *override {
		return &override{fingerprint: func() string { return "toy 1 other" }}
	}},
	{"broken source", "says nothing of what is wrong", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			if err := shell(ctx, job, copyScript); err != nil {
				return faas.Errorf("toy", "build", "", faas.ErrInvalidArgument, "exit status 1")
			}
			return nil
		})
	}},
	{"broken source", "does not class the error", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			if err := shell(ctx, job, copyScript); err != nil {
				return errors.New(err.Error())
			}
			return nil
		})
	}},
	{"broken source", "puts a flood into the error", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			if err := shell(ctx, job, copyScript); err != nil {
				return fmt.Errorf("%w %s", err, strings.Repeat("x", 100<<10))
			}
			return nil
		})
	}},
	{"broken source", "builds it all the same", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error { return shell(ctx, job, `cp answer "$OUT"/function`) })
	}},
	{"missing dependency", "goes on without it", func(testing.TB) *override {
		return &override{resolve: func(context.Context, builder.Job) error { return nil }}
	}},
	{"missing dependency", "does not name it", func(testing.TB) *override {
		return &override{resolve: func(ctx context.Context, job builder.Job) error {
			if (toy{}).Resolve(ctx, job) != nil {
				return faas.Errorf("toy", "resolve", "", faas.ErrInvalidArgument, "something is missing")
			}
			return nil
		}}
	}},
	{"log", "keeps the output to itself", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			job.Log = io.Discard
			return shell(ctx, job, copyScript)
		})
	}},
	{"log", "writes after the end", func(tb testing.TB) *override {
		var late sync.WaitGroup
		tb.Cleanup(late.Wait)
		return building(func(ctx context.Context, job builder.Job) error {
			err := shell(ctx, job, copyScript)
			if err != nil {
				late.Go(func() { <-time.After(10 * time.Millisecond); _, _ = io.WriteString(job.Log, "late") })
			}
			return err
		})
	}},
	{"cancel", "does not notice", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			return shell(context.WithoutCancel(ctx), job, copyScript)
		})
	}},
	{"cancel", "leaves a process", func(tb testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			if err := daemon(tb, job); err != nil {
				return err
			}
			return shell(ctx, job, copyScript)
		})
	}},
	{"cancel", "has its own words for it", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			if err := shell(ctx, job, copyScript); err != nil {
				return errors.New("killed")
			}
			return nil
		})
	}},
	{"cancelled before", "begins all the same", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			return shell(context.WithoutCancel(ctx), job, copyScript)
		})
	}},
	{"cancelled before", "validates all the same", func(testing.TB) *override {
		return &override{validate: func(ctx context.Context, src fs.FS) error {
			return (toy{}).Validate(context.WithoutCancel(ctx), src)
		}}
	}},
	{"private", "writes to the home directory", func(testing.TB) *override { return writing(os.Getenv, "HOME") }},
	{"private", "writes to the shared temporary directory", func(testing.TB) *override { return writing(os.Getenv, "TMPDIR") }},
	{"private", "writes to the working directory", func(testing.TB) *override {
		return writing(func(string) string { return "." }, "")
	}},
	{"private", "writes beside its directories", func(testing.TB) *override {
		return building(func(ctx context.Context, job builder.Job) error {
			return errors.Join(shell(ctx, job, copyScript), os.WriteFile(filepath.Dir(job.Output)+"/more", nil, 0o644))
		})
	}},
	{"concurrent", "mixes jobs up", func(testing.TB) *override {
		var mu sync.Mutex
		var last builder.Job
		return building(func(ctx context.Context, job builder.Job) error {
			mu.Lock()
			last = job
			mu.Unlock()
			<-time.After(20 * time.Millisecond)
			mu.Lock()
			job.Output = last.Output
			mu.Unlock()
			return shell(ctx, job, copyScript)
		})
	}},
	{"concurrent", "does one at a time", func(testing.TB) *override {
		var busy sync.Mutex
		return building(func(ctx context.Context, job builder.Job) error {
			if !busy.TryLock() {
				return faas.Errorf("toy", "build", "", faas.ErrUnavailable, "busy")
			}
			defer busy.Unlock()
			return shell(ctx, job, copyScript)
		})
	}},
}

// building is a builder with another way to build.
func building(build func(ctx context.Context, job builder.Job) error) *override {
	return &override{build: func(ctx context.Context, job builder.Job) (builder.Artifact, error) {
		return toyArtifact, build(ctx, job)
	}}
}

// daemon starts a process that nobody waits for, in a session of its own.
func daemon(tb testing.TB, job builder.Job) error {
	c := exec.Command("/bin/sleep", "60")
	c.Dir, c.SysProcAttr = job.Source, &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return err
	}
	tb.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return nil
}

func writing(getenv func(string) string, name string) *override {
	return building(func(ctx context.Context, job builder.Job) error {
		return errors.Join(shell(ctx, job, copyScript), os.WriteFile(filepath.Join(getenv(name), "cache"), nil, 0o644))
	})
}

func TestKitNoticesEveryBrokenPromise(t *testing.T) {
	covered := map[string]bool{}
	for _, d := range doubles {
		covered[d.clause] = true
		t.Run(d.clause+"/"+d.name, func(t *testing.T) {
			for _, c := range clauses {
				if c.name != d.clause {
					continue
				}
				r := recordtb.Run(t, func(tb testing.TB) {
					b := d.make(tb)
					h := toyHarness(func() builder.Builder { return b })
					if d.name == "differs between equal builders" {
						h.New = func(tb testing.TB) builder.Builder { return d.make(tb) }
					}
					c.check(tb, h)
				})
				if !r.Failed() {
					t.Errorf("the kit passes a builder that %s\n%s", d.name, r.Recorded())
				}
			}
		})
	}
	for _, c := range clauses {
		if !covered[c.name] {
			t.Errorf("no broken double for the clause %q", c.name)
		}
	}
}
