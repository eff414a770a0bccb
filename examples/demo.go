package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/builder"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/router"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
)

//go:embed functions testdata workflows
var files embed.FS

// demo uses a platform the way its users would: it builds functions and calls
// them over HTTP.
type demo struct {
	functions registry.Registry
	build     *builder.Pipeline
	route     router.Router
	url       string
	// contract of the functions that are built. Empty: the fastest one that their builder knows.
	contract faas.Contract

	definitions workflow.Registry
	languages   *workflow.Languages
	flows       *engine.Engine
	out         string
}

// inProcess are the functions that live in the platform's own process.
var inProcess = map[string]faas.Invoker{
	"checksum": faas.InvokerFunc(checksum),
	"split":    jsonFunction(split),
	"count":    jsonFunction(count),
	"merge":    jsonFunction(merge),
	"report":   jsonFunction(report),
}

// checksum is the demo's in-process function: the SHA-256 of its input.
func checksum(_ context.Context, req *faas.Request) (*faas.Response, error) {
	h := sha256.New()
	if _, err := req.Body.WriteTo(h); err != nil {
		return nil, err
	}
	return &faas.Response{Body: faas.String(fmt.Sprintf("%x\n", h.Sum(nil)))}, nil
}

// call is one function of the demo with real input and a check of its answer.
type call struct {
	function, language string
	path               string
	input              []byte
	check              func(answer []byte) error
}

func (d *demo) run(ctx context.Context) error {
	began := time.Now()
	book, err := files.ReadFile("testdata/texts/opticks.txt")
	if err != nil {
		return err
	}
	picture, err := files.ReadFile("testdata/astronaut.png")
	if err != nil {
		return err
	}
	calls := []call{
		{"checksum", "in-process", "", book, isChecksumOf(book)},
		{"resize", "go", "/?width=128", picture, isSmaller(picture, 128)},
		{"wordcount", "python", "", book, countsWordsOf(book)},
	}

	fmt.Println("Building")
	for name := range inProcess {
		if name != "checksum" {
			spec := faas.Spec{Contract: faas.ContractHandler, Command: []string{name}, Concurrency: 8, Timeout: 30 * time.Second}
			if _, err := d.functions.Publish(ctx, faas.Ref{Name: name}, spec, nil); err != nil {
				return err
			}
		}
	}
	if calls, err = d.buildAll(ctx, calls); err != nil {
		return err
	}
	fmt.Printf("\nReady after %v. Calling over %s\n\n", time.Since(began).Round(time.Millisecond), d.url)
	if err := d.callAll(ctx, calls); err != nil {
		return err
	}
	if err := d.runWorkflows(ctx); err != nil {
		return err
	}
	if err := d.burst(ctx, calls[1], 64); err != nil {
		return err
	}
	return d.waitForZero(ctx)
}

// buildAll publishes every function, leaving out those whose language this machine lacks.
func (d *demo) buildAll(ctx context.Context, calls []call) ([]call, error) {
	var built []call
	for _, c := range calls {
		began := time.Now()
		spec := faas.Spec{Concurrency: 4, Timeout: 30 * time.Second, Scale: faas.Scale{Max: 8}}
		var err error
		if c.language == "in-process" {
			spec.Contract, spec.Command = faas.ContractHandler, []string{c.function}
			_, err = d.functions.Publish(ctx, faas.Ref{Name: c.function}, spec, nil)
		} else {
			spec.Contract = d.contract
			source, serr := fs.Sub(files, "functions/"+c.function)
			if serr != nil {
				return nil, serr
			}
			_, err = d.build.Build(ctx, builder.Request{
				Function: faas.Ref{Name: c.function}, Language: c.language, Source: builder.FS(source), Spec: spec,
			})
		}
		if errors.Is(err, faas.ErrUnimplemented) {
			continue // run has said why
		}
		if err != nil {
			return nil, err
		}
		fmt.Printf("  %-10s %-11s %v\n", c.function, c.language, time.Since(began).Round(time.Millisecond))
		built = append(built, c)
	}
	return built, nil
}

// callAll calls every function cold and then warm, and shows where the time went.
func (d *demo) callAll(ctx context.Context, calls []call) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "function\tcall\ttotal ms\tqueue\tlookup\tdecide\tplace\tstart\tinit\trun\t")
	for _, c := range calls {
		const warm = 30
		var rows []answer
		for range 1 + warm {
			a, err := d.invoke(ctx, c)
			if err != nil {
				return err
			}
			rows = append(rows, a)
		}
		byTotal := func(a, b answer) int { return int(a.total - b.total) }
		slices.SortFunc(rows[1:], byTotal)
		fmt.Fprintf(w, "%s\tcold\t%s\t\n", c.function, rows[0])
		fmt.Fprintf(w, "\twarm p50\t%s\t\n", rows[1+warm/2])
	}
	return w.Flush()
}

// answer is what one call cost.
type answer struct {
	total  time.Duration
	timing string
}

var durations = regexp.MustCompile(`dur=([0-9.]+)`)

func (a answer) String() string {
	columns := []string{fmt.Sprintf("%.2f", float64(a.total.Microseconds())/1000)}
	for _, m := range durations.FindAllStringSubmatch(a.timing, -1) {
		columns = append(columns, m[1])
	}
	return strings.Join(columns, "\t")
}

// invoke makes one call over HTTP and checks its answer.
func (d *demo) invoke(ctx context.Context, c call) (answer, error) {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/function/"+c.function+c.path, bytes.NewReader(c.input))
	if err != nil {
		return answer{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	total := time.Since(began)
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("%s answered %s: %s", c.function, resp.Status, body)
	}
	if err := c.check(body); err != nil {
		return answer{}, fmt.Errorf("%s: wrong answer: %w", c.function, err)
	}
	return answer{total, resp.Header.Get("Server-Timing")}, nil
}

// burst makes n calls at once and reports how far the function was scaled up.
func (d *demo) burst(ctx context.Context, c call, n int) error {
	began := time.Now()
	var wg sync.WaitGroup
	failed := make(chan error, n)
	for range n {
		wg.Go(func() {
			if _, err := d.invoke(ctx, c); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	close(failed)
	if err := <-failed; err != nil {
		return err
	}
	took := time.Since(began)
	ready := 0
	for load := range d.route.Loads() {
		if load.Function.Ref.Name == c.function {
			ready = load.Ready
		}
	}
	fmt.Printf("\nBurst: %d calls of %s at once took %v; it now has %d instances\n", n, c.function, took.Round(time.Millisecond), ready)
	if ready < 2 {
		return fmt.Errorf("a burst of %d calls left %s with %d instances", n, c.function, ready)
	}
	return nil
}

// waitForZero waits until the autoscaler has taken every instance away.
func (d *demo) waitForZero(ctx context.Context) error {
	began := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		instances := 0
		for load := range d.route.Loads() {
			instances += load.Ready + load.Starting + load.Draining
		}
		if instances == 0 {
			fmt.Printf("Idle: scaled to zero after %v\n", time.Since(began).Round(100*time.Millisecond))
			return nil
		}
		select {
		case <-tick.C:
		case <-limit.Done():
			return fmt.Errorf("%d instances are left a minute after the last call", instances)
		}
	}
}

// serve waits for an interrupt.
func (d *demo) serve(ctx context.Context) error {
	fmt.Printf(`
Serving until interrupted. Try:
  curl -i --data-binary @examples/testdata/texts/opticks.txt %[1]s/function/checksum
  curl --data-binary @examples/testdata/texts/opticks.txt %[1]s/function/wordcount
  curl --data-binary @examples/testdata/chelsea.png '%[1]s/function/resize?width=200' -o small.png
`, d.url)
	<-ctx.Done()
	return nil
}

func isChecksumOf(input []byte) func([]byte) error {
	want := fmt.Sprintf("%x\n", sha256.Sum256(input))
	return func(got []byte) error {
		if string(got) != want {
			return fmt.Errorf("got %.80q, want %q", got, want)
		}
		return nil
	}
}

func isSmaller(input []byte, width int) func([]byte) error {
	return func(got []byte) error {
		before, _, err := image.DecodeConfig(bytes.NewReader(input))
		if err != nil {
			return err
		}
		after, err := png.Decode(bytes.NewReader(got))
		if err != nil {
			return err
		}
		want := image.Pt(width, before.Height*width/before.Width)
		if after.Bounds().Size() != want {
			return fmt.Errorf("a picture of %v, want %v", after.Bounds().Size(), want)
		}
		return nil
	}
}

func countsWordsOf(text []byte) func([]byte) error {
	want := len(word.FindAll(bytes.ToLower(text), -1))
	return func(got []byte) error {
		var count struct{ Words int }
		if err := json.Unmarshal(got, &count); err != nil {
			return err
		}
		if count.Words != want {
			return fmt.Errorf("counted %d words, want %d", count.Words, want)
		}
		return nil
	}
}
