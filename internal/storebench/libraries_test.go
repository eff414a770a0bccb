package storebench

import (
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	bolt "go.etcd.io/bbolt"
	_ "modernc.org/sqlite"
)

// group gathers what waits while a sync is under way: the first who comes does it for all.
type group struct {
	mu      sync.Mutex
	waiting *round
	running sync.Mutex
}

type round struct {
	keys   [][16]byte
	values [][]byte
	done   chan struct{}
	err    error
}

func (g *group) put(key [16]byte, value []byte, commit func(*round) error) error {
	g.mu.Lock()
	r := g.waiting
	first := r == nil
	if first {
		r = &round{done: make(chan struct{})}
		g.waiting = r
	}
	r.keys, r.values = append(r.keys, key), append(r.values, value)
	g.mu.Unlock()
	if !first {
		<-r.done
		return r.err
	}
	g.running.Lock()
	g.mu.Lock()
	g.waiting = nil
	g.mu.Unlock()
	r.err = commit(r)
	g.running.Unlock()
	close(r.done)
	return r.err
}

// plain is one file; each writer appends with a write of its own and shares an fdatasync.
type plain struct {
	file  *os.File
	group group
}

func openPlain(dir string) (store, error) {
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return &plain{file: f}, err
}

func (p *plain) put(key [16]byte, value []byte) error {
	if _, err := p.file.Write(value); err != nil {
		return err
	}
	return p.group.put(key, value, func(*round) error { return syscall.Fdatasync(int(p.file.Fd())) })
}

func (p *plain) close() error { return p.file.Close() }

type pebbleDB struct{ db *pebble.DB }

func openPebble(dir string) (store, error) {
	db, err := pebble.Open(dir, &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest, MemTableSize: 64 << 20, Logger: silent{},
	})
	return pebbleDB{db}, err
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) { panic("pebble gave up") }

func (s pebbleDB) put(key [16]byte, value []byte) error { return s.db.Set(key[:], value, pebble.Sync) }
func (s pebbleDB) close() error                         { return s.db.Close() }

// raftWAL numbers its records without a gap, so what waits becomes one batch.
type raftWAL struct {
	log   *wal.WAL
	group group
	next  uint64
}

func openRaftWAL(dir string) (store, error) {
	l, err := wal.Open(dir)
	return &raftWAL{log: l, next: 1}, err
}

func (s *raftWAL) put(key [16]byte, value []byte) error {
	return s.group.put(key, value, func(r *round) error {
		logs := make([]*raft.Log, len(r.values))
		for i, v := range r.values {
			logs[i] = &raft.Log{Index: s.next + uint64(i), Data: v, Extensions: r.keys[i][:]}
		}
		s.next += uint64(len(logs))
		return s.log.StoreLogs(logs)
	})
}

func (s *raftWAL) close() error { return s.log.Close() }

type boltDB struct{ db *bolt.DB }

var bucket = []byte("log")

func openBolt(dir string) (store, error) {
	db, err := bolt.Open(filepath.Join(dir, "db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = 500 * time.Microsecond
	return boltDB{db}, db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucket); return err })
}

func (s boltDB) put(key [16]byte, value []byte) error {
	return s.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put(key[:], value) })
}

func (s boltDB) close() error { return s.db.Close() }

// sqlite has one writer, so what waits becomes one transaction.
type sqlite struct {
	db    *sql.DB
	group group
}

func openSQLite(dir string) (store, error) {
	db, err := sql.Open("sqlite", filepath.Join(dir, "db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec("create table log (key blob primary key, value blob) without rowid")
	return &sqlite{db: db}, err
}

func (s *sqlite) put(key [16]byte, value []byte) error {
	return s.group.put(key, value, func(r *round) error {
		tx, err := s.db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		insert, err := tx.Prepare("insert into log values (?, ?)")
		if err != nil {
			return err
		}
		for i := range r.keys {
			if _, err := insert.Exec(r.keys[i][:], r.values[i]); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

func (s *sqlite) close() error { return s.db.Close() }
