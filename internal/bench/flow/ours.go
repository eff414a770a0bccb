package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/dag"
	"github.com/joinery/faas/workflow/durable"
	"github.com/joinery/faas/workflow/engine"
	"github.com/joinery/faas/workflow/fifo"
	"github.com/joinery/faas/workflow/memdefinitions"
	"github.com/joinery/faas/workflow/memstore"
)

// Ours is the product: the engine over its stores, with the trees in our languages.
type Ours struct {
	// Engine runs them.
	Engine *engine.Engine
	store  workflow.Store
}

// kept bounds the closed express executions that memory holds.
const kept = 10_000

// OpenOurs starts an engine, and a durable store below the directory unless that is empty.
func OpenOurs(dir string) (_ *Ours, err error) {
	goCode, err := durable.New(nil, codeSequence, codeParallel, codeWaiting, codeMap)
	if err != nil {
		return nil, err
	}
	languages, err := workflow.NewLanguages(language{}, goCode, dag.Language())
	if err != nil {
		return nil, err
	}
	definitions, err := memdefinitions.New(languages)
	if err != nil {
		return nil, err
	}
	o := &Ours{}
	if dir != "" {
		if o.store, err = openStore(dir); err != nil {
			return nil, err
		}
	}
	o.Engine, err = engine.New(engine.Config{
		Functions: next, Registry: definitions, Languages: languages, Scheduler: fifo.New(nil),
		Store: o.store, Express: memstore.New(&memstore.Options{MaxClosed: kept}),
	})
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	ctx := context.Background()
	if err := register(ctx, definitions); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	if err := o.Engine.Recover(ctx); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// register admits the trees in each language and durability.
func register(ctx context.Context, definitions workflow.Registry) error {
	for _, tree := range Trees() {
		source, err := json.Marshal(tree)
		if err != nil {
			return err
		}
		for _, d := range []workflow.Definition{{Language: languageName, Source: string(source)}, code(tree).Definition()} {
			for _, durability := range []workflow.Durability{workflow.Standard, workflow.Express} {
				d.Ref, d.Durability = name(d.Language, tree, durability), durability
				if _, err := definitions.Register(ctx, d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// name is that of a tree in a language.
func name(language string, t Tree, d workflow.Durability) faas.Ref {
	kind := "standard"
	if d == workflow.Express {
		kind = "express"
	}
	return faas.Ref{Namespace: faas.DefaultNamespace, Name: language + "-" + t.Name + "-" + kind}
}

// Standard is the product with every transition durable before it is acted on, running Go functions.
func (o *Ours) Standard() Engine { return ours{o.Engine, durable.Name, workflow.Standard} }

// Express is the product without durability, running Go functions.
func (o *Ours) Express() Engine { return ours{o.Engine, durable.Name, workflow.Express} }

// Bare is the product with the least definition that there can be, for what the engine costs by itself.
func (o *Ours) Bare(d workflow.Durability) Engine { return ours{o.Engine, languageName, d} }

// Close ends the engine and its store.
func (o *Ours) Close() error {
	var err error
	if o.Engine != nil {
		ctx, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		err = o.Engine.Shutdown(ctx)
	}
	if o.store != nil {
		err = errors.Join(err, o.store.Close())
	}
	return err
}

// ours runs trees on an engine of ours.
type ours struct {
	engine     *engine.Engine
	language   string
	durability workflow.Durability
}

// Run implements Engine.
func (o ours) Run(ctx context.Context, t Tree) (int, error) {
	ref, err := o.engine.Start(ctx, workflow.StartRequest{Workflow: name(o.language, t, o.durability), Input: number(t.Steps)})
	if err != nil {
		return 0, err
	}
	x, err := o.engine.Wait(ctx, ref)
	if err != nil {
		return 0, err
	}
	if x.Status != workflow.StatusSucceeded {
		return 0, fmt.Errorf("%s %s: %w", x.Ref, x.Status, x.Failure)
	}
	data, err := x.Output.Bytes(ctx)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(data))
}
