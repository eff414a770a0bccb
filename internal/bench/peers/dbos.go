package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // DBOS asks for it before it takes a SQLite handle

	"github.com/joinery/faas/internal/bench/flow"
)

// dbosEngine is DBOS for Go: a library over a database.
type dbosEngine struct {
	ctx dbos.Context
	db  *sql.DB
}

// dbosSQLite stores in a SQLite file whose every commit is synchronous. DBOS's own
// default is synchronous=NORMAL, which loses the last commits with the power.
func dbosSQLite(dir string) (engine, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "dbos.sqlite")+"?_txlock=immediate"+
		"&_pragma=busy_timeout(20000)&_pragma=foreign_keys(ON)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8) // as DBOS opens its own
	db.SetMaxIdleConns(8)
	e, err := startDBOS(dbos.Config{SQLiteSystemDB: db})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	e.db = db
	return e, nil
}

// dbosPostgres stores in Postgres as it ships: fsync and synchronous_commit are on.
func dbosPostgres(url string) (engine, error) {
	return startDBOS(dbos.Config{DatabaseURL: url})
}

func startDBOS(cfg dbos.Config) (*dbosEngine, error) {
	cfg.AppName, cfg.Logger = "bench", slog.New(slog.DiscardHandler)
	ctx, err := dbos.NewContext(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	dbos.RegisterWorkflow(ctx, dbosSequence)
	dbos.RegisterWorkflow(ctx, dbosParallel)
	return &dbosEngine{ctx: ctx}, dbos.Launch(ctx)
}

// Run implements flow.Engine.
func (e *dbosEngine) Run(_ context.Context, t flow.Tree) (int, error) {
	workflow := dbosSequence
	if t.Parallel {
		workflow = dbosParallel
	}
	h, err := dbos.RunWorkflow(e.ctx, workflow, t.Steps)
	if err != nil {
		return 0, err
	}
	return h.GetResult()
}

func (e *dbosEngine) Close() error {
	err := dbos.Shutdown(e.ctx, 5*time.Second)
	if e.db != nil {
		err = errors.Join(err, e.db.Close())
	}
	return err
}

func dbosSequence(ctx dbos.Context, steps int) (int, error) {
	sum := 0
	for range steps {
		next, err := dbos.RunAsStep(ctx, func(context.Context) (int, error) { return sum + 1, nil })
		if err != nil {
			return 0, err
		}
		sum = next
	}
	return sum, nil
}

func dbosParallel(ctx dbos.Context, steps int) (int, error) {
	branches := make([]<-chan dbos.StepOutcome[int], steps)
	for i := range branches {
		branch, err := dbos.Go(ctx, func(context.Context) (int, error) { return i + 1, nil })
		if err != nil {
			return 0, err
		}
		branches[i] = branch
	}
	sum := 0
	for i, branch := range branches {
		outcome := <-branch
		if outcome.Err != nil {
			return 0, fmt.Errorf("branch %d: %w", i, outcome.Err)
		}
		sum += outcome.Result
	}
	return sum, nil
}
