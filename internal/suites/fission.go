package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/fission"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// fissionWorkflows runs every *.wf.yaml on the real engine, with stand-ins for the functions. A case passes if
// the file is registered as it is and an execution succeeds, or ends by the file's own task "fail".
var fissionWorkflows = suite{
	name: "fission-workflows", about: "definitions of Fission Workflows, run on the engine with stand-in functions",
	folder: "workflow/fission-workflows", run: runFission,
}

// patience bounds an execution. Pauses take a hundredth of their time.
const patience = 60 * time.Second

func runFission(folder string, t *tally) error {
	var files []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".wf.yaml") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%w: no *.wf.yaml below %s", errNoData, folder)
	}
	faults := make([]string, len(files))
	var all sync.WaitGroup
	for i, file := range files {
		all.Go(func() {
			text, err := os.ReadFile(file)
			if err == nil {
				err = runWithAny(string(text))
			}
			if err != nil {
				faults[i] = err.Error()
			}
		})
	}
	all.Wait()
	for i, file := range files {
		name, err := filepath.Rel(folder, file)
		if err != nil {
			return err
		}
		t.check(filepath.ToSlash(name), faults[i])
	}
	return nil
}

// usage finds the body that the usage example in a file's comments gives it: fission fn test --name x -b 'BODY'.
var usage = regexp.MustCompile(`(?m)^#.*fission .*-b '([^']*)'`)

// runWithAny runs a definition with the body that its usage example names. Where there is none nobody says what it
// wants: a text, a number, an object and a list are tried, and one of them must do.
func runWithAny(text string) error {
	bodies := []any{"whale, CA", 3, map[string]any{}, []any{1, 2, 3}}
	if m := usage.FindStringSubmatch(text); m != nil {
		bodies = []any{m[1]}
	}
	var first error
	for _, body := range bodies {
		err := runDefinition(text, body)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		var f *workflow.Failure
		if !errors.As(err, &f) || f.Name != fission.FailureExpression {
			break // no other input would help
		}
	}
	return first
}

// runDefinition registers a text and runs it once.
func runDefinition(text string, body any) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	language, err := fission.Language(nil)
	if err != nil {
		return err
	}
	languages, err := workflow.NewLanguages(hurried{language})
	if err != nil {
		return err
	}
	registry, err := memdefinitions.New(languages)
	if err != nil {
		return err
	}
	store := memstore.New(nil)
	eng, err := engine.New(engine.Config{
		Functions: standIns(text), Registry: registry, Languages: languages, Scheduler: fifo.New(nil), Store: store, Express: store,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, eng.Close(), registry.Close(), store.Close()) }()
	if err := eng.Recover(ctx); err != nil {
		return err
	}
	d, err := registry.Register(ctx, workflow.Definition{Ref: faas.Ref{Name: "case"}, Language: language.Name(), Source: text})
	if err != nil {
		return err
	}
	p, err := workflow.MarshalPayload(map[string]any{"default": body, "body": body, "headers": map[string]any{}, "query": map[string]any{}, "method": http.MethodGet})
	if err != nil {
		return err
	}
	inputs, _ := p.InHand()
	input := workflow.Bytes(fission.MediaTypeInputs, inputs)
	ref, err := eng.Start(ctx, workflow.StartRequest{Workflow: d.Ref, Input: input})
	if err != nil {
		return err
	}
	x, err := eng.Wait(ctx, ref)
	switch {
	case err != nil:
		return err
	case x.Status == workflow.StatusSucceeded:
		return nil
	case x.Failure != nil && x.Failure.Name == fission.FailureFail:
		return nil
	case x.Failure != nil:
		return fmt.Errorf("the execution ended %s: %w", x.Status, x.Failure)
	}
	return fmt.Errorf("the execution ended %s", x.Status)
}

// used finds what a definition reads of outputs: $.Tasks.X.Output.a.b and output('X').a.b.
var used = regexp.MustCompile(`(?:\$\.Tasks\.\w+\.Output|output\(\s*['"][^'"]+['"]\s*\))((?:\.\w+)+)(\(?)`)

// standIns answers for every function. It echoes what it is given, or its name if that is nothing; where the definition reads
// parts of outputs, the answer is an object that has them.
func standIns(text string) faas.Invoker {
	parts := map[string]any{}
	for _, m := range used.FindAllStringSubmatch(text, -1) {
		keys := strings.Split(m[1][1:], ".")
		if m[2] != "" {
			keys = keys[:len(keys)-1] // a method that is called
		}
		at := parts
		for i, key := range keys {
			if key == "length" {
				break
			}
			next, ok := at[key].(map[string]any)
			if !ok && i == len(keys)-1 {
				if _, there := at[key]; !there {
					at[key] = "stand-in " + key
				}
				break
			}
			if !ok {
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
	}
	return faas.InvokerFunc(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		body, err := io.ReadAll(req.Body.Reader())
		if err != nil {
			return nil, err
		}
		media := req.Header.Get("Content-Type")
		if len(body) == 0 || string(body) == "null" {
			body, media = []byte(req.Function.Name), "text/plain"
		}
		if len(parts) > 0 {
			answer := maps.Clone(parts)
			answer["echo"] = string(body)
			p, err := workflow.MarshalPayload(answer)
			if err != nil {
				return nil, err
			}
			body, _ = p.InHand()
			media = workflow.MediaTypeJSON
		}
		return &faas.Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {media}}, Body: faas.Bytes(body)}, nil
	})
}

// hurried is a language whose pauses take a hundredth of their time.
type hurried struct{ workflow.Language }

func (h hurried) Compile(d *workflow.Definition) (workflow.Program, error) {
	p, err := h.Language.Compile(d)
	if err != nil {
		return nil, err
	}
	return hurriedProgram{p}, nil
}

type hurriedProgram struct{ workflow.Program }

func (p hurriedProgram) Step(s workflow.State, e *workflow.Event) (workflow.State, []workflow.Command, error) {
	s, commands, err := p.Program.Step(s, e)
	commands = slices.Clone(commands)
	for i := range commands {
		if c := &commands[i]; c.Kind == workflow.CommandTimer {
			c.Due = e.Time.Add(c.Due.Sub(e.Time) / 100)
		}
	}
	return s, commands, err
}
