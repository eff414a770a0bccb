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
	languages, err := workflow.NewLanguages(language{})
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
	for _, durability := range []workflow.Durability{workflow.Standard, workflow.Express} {
		for _, tree := range Trees() {
			source, err := json.Marshal(tree)
			if err != nil {
				return nil, err
			}
			_, err = definitions.Register(ctx, workflow.Definition{
				Ref: definition(languageName, tree, durability), Language: languageName, Source: string(source), Durability: durability,
			})
			if err != nil {
				return nil, errors.Join(err, o.Close())
			}
		}
	}
	if err := o.Engine.Recover(ctx); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// definition names a tree in a language.
func definition(language string, t Tree, d workflow.Durability) faas.Ref {
	name := language + "-" + t.Name
	if d == workflow.Express {
		name += "-express"
	}
	return faas.Ref{Namespace: faas.DefaultNamespace, Name: name}
}

// Standard is the product with every transition durable before it is acted on.
func (o *Ours) Standard() Engine { return ours{o.Engine, workflow.Standard} }

// Express is the product without durability.
func (o *Ours) Express() Engine { return ours{o.Engine, workflow.Express} }

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
	durability workflow.Durability
}

// Run implements Engine.
func (o ours) Run(ctx context.Context, t Tree) (int, error) {
	ref, err := o.engine.Start(ctx, workflow.StartRequest{Workflow: definition(languageName, t, o.durability)})
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
