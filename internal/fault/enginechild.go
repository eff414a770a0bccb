package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/criticalpath"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/pebblestore"
)

// roleEngine is the process that is killed: an engine over a durable store, whose functions are in the
// process that started it.
const roleEngine = "workflow-engine"

// engineSpec is what it is told.
type engineSpec struct {
	Dir, Socket string
	Round       int
	// Failpoint, if any, is where it kills itself, the Hit-th time it gets there.
	Failpoint string
	Hit       int
	// Last: it starts nothing new, and ends when all has ended.
	Last bool
}

const (
	inFlight     = 200 // executions
	callsAtOnce  = 256
	workersCount = 8
)

// engineRole runs the role and does not return, or returns false at once.
func engineRole(args []string) bool {
	if len(args) != 2 || args[0] != roleEngine {
		return false
	}
	var spec engineSpec
	err := json.Unmarshal([]byte(args[1]), &spec)
	if err == nil {
		err = (&engineChild{engineSpec: spec}).run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
	return true
}

type engineChild struct {
	engineSpec
	http   *http.Client
	engine *engine.Engine
	next   atomic.Int64
}

func (c *engineChild) run(ctx context.Context) (err error) {
	c.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callsAtOnce, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
	}}}
	if c.Failpoint != "" {
		var hits atomic.Int64
		failpoint.Set(func(name string) {
			if name == c.Failpoint && hits.Add(1) == int64(c.Hit) {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
	}
	store, err := pebblestore.Open(pebblestore.Config{Dir: c.Dir, Reserve: 4 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	languages, err := workflow.NewLanguages(courseLang{})
	if err != nil {
		return err
	}
	registry, err := memdefinitions.New(languages)
	if err != nil {
		return err
	}
	for name := range courses {
		d := workflow.Definition{Ref: faas.Ref{Name: name}, Language: courseLanguage, Source: name}
		if name == "brief" {
			d.Retention = 1
		}
		if _, err := registry.Register(ctx, d); err != nil {
			return err
		}
	}
	scheduler, err := criticalpath.New(criticalpath.Config{Limit: callsAtOnce})
	if err != nil {
		return err
	}
	c.engine, err = engine.New(engine.Config{Functions: faas.InvokerFunc(c.invoke), Registry: registry, Languages: languages, Scheduler: scheduler, Store: store,
		Limits: engine.Limits{Snapshot: 10, History: 40}})
	if err != nil {
		return err
	}
	if err := c.engine.Recover(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.engine.Close()) }()
	open, err := c.unfinished(ctx)
	if err != nil {
		return err
	}
	if err := c.tell("ready", url.Values{"open": {strconv.Itoa(len(open))}}); err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	var workers sync.WaitGroup
	for range workersCount {
		workers.Go(func() { c.work(working) })
	}
	var clients sync.WaitGroup
	failed := make(chan error, inFlight)
	for range inFlight {
		clients.Go(func() {
			if err := c.client(ctx, open); err != nil {
				failed <- err
			}
		})
	}
	clients.Wait()
	stop()
	workers.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// unfinished returns the executions that clients have to bring to their end.
func (c *engineChild) unfinished(ctx context.Context) (chan workflow.ExecutionRef, error) {
	var refs []workflow.ExecutionRef
	q := workflow.ExecutionQuery{Statuses: []workflow.Status{workflow.StatusRunning, workflow.StatusFailed}, Limit: workflow.MaxPage}
	for {
		page, err := c.engine.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, x := range page.Executions {
			if x.Parent == nil {
				refs = append(refs, x.Ref)
			}
		}
		if q.Token = page.Next; q.Token == "" {
			break
		}
	}
	open := make(chan workflow.ExecutionRef, len(refs))
	for _, ref := range refs {
		open <- ref
	}
	close(open)
	return open, nil
}

// client starts executions one after the other and waits for each.
func (c *engineChild) client(ctx context.Context, open <-chan workflow.ExecutionRef) error {
	for {
		ref, more := <-open
		if !more {
			if c.Last {
				return nil
			}
			n := c.next.Add(1)
			name := "course"
			switch {
			case n%10 == 7:
				name = "flawed"
			case n%10 == 3:
				name = "brief"
			case n%50 == 25:
				name = "long"
			}
			var err error
			if ref, err = c.engine.Start(ctx, workflow.StartRequest{Workflow: faas.Ref{Name: name}, ID: fmt.Sprintf("%s-%d-%d", name, c.Round, n)}); err != nil {
				return err
			}
			if err := c.tell("started", url.Values{"id": {ref.ID}}); err != nil {
				return err
			}
		}
		x, err := c.engine.Wait(ctx, ref)
		for ; err == nil && x.Status == workflow.StatusFailed && strings.HasPrefix(ref.ID, "flawed"); x, err = c.engine.Wait(ctx, ref) {
			err = c.engine.Control(ctx, ref, workflow.Control{Action: workflow.ActionRedrive, Reason: "the function works now"})
			if err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		if err := c.tell("ended", url.Values{"id": {ref.ID}, "status": {string(x.Status)}}); err != nil {
			return err
		}
	}
}

// work takes activities.
func (c *engineChild) work(ctx context.Context) {
	for {
		a, err := c.engine.Poll(ctx, activityName, "worker")
		if err != nil {
			return
		}
		output, err := c.deliver(ctx, activityName, a.Execution.Key(a.Step), strconv.Itoa(a.Attempt))
		if err == nil {
			err = c.engine.Succeed(ctx, a.Token, workflow.JSON(output))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			return
		}
	}
}

// invoke calls a function in the other process.
func (c *engineChild) invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	output, err := c.deliver(ctx, req.Function.Name, req.Header.Get(workflow.HeaderIdempotencyKey), req.Header.Get(workflow.HeaderAttempt))
	var named *workflow.Failure
	if errors.As(err, &named) {
		return &faas.Response{Status: http.StatusInternalServerError, Body: faas.String(fmt.Sprintf(`{"errorType": %q}`, named.Name))}, nil
	}
	if err != nil {
		return nil, err
	}
	return &faas.Response{Body: faas.String(output)}, nil
}

// deliver is one delivery of a step.
func (c *engineChild) deliver(ctx context.Context, function, key, attempt string) (string, error) {
	return c.post(ctx, "/call", url.Values{"function": {function}, "key": {key}, "attempt": {attempt}})
}

// tell tells the other process what happened.
func (c *engineChild) tell(what string, values url.Values) error {
	_, err := c.post(context.Background(), "/"+what, values)
	return err
}

func (c *engineChild) post(ctx context.Context, path string, values url.Values) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	values.Set("round", strconv.Itoa(c.Round))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://parent"+path+"?"+values.Encode(), nil)
	if err != nil {
		return "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", &workflow.Failure{Name: string(body)}
	}
	return string(body), nil
}
