package boltregistry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/disk"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/internal/table"
)

// log writes the changes of a table to the file. The table calls it one at a time.
type log struct {
	db      *bbolt.DB
	history int
	broken  error // after an error that leaves the disk's content uncertain
}

func (l *log) close() error {
	if err := l.db.Close(); err != nil {
		return faas.Errorf("registry", "close", l.db.Path(), disk.Class(err), "%w", err)
	}
	return nil
}

// commit makes the changes durable in one transaction: all or none.
func (l *log) commit(changes []table.Change) error {
	if l.broken != nil {
		return faas.Errorf("registry", "write", l.db.Path(), faas.ErrUnavailable, "refused since an earlier write failed: %w", l.broken)
	}
	err := guard(func() error {
		return l.db.Update(func(tx *bbolt.Tx) error {
			w, err := newWriter(tx)
			if err != nil {
				return err
			}
			for _, c := range changes {
				if err := w.apply(c); err != nil {
					return err
				}
			}
			if err := w.forget(uint64(l.history)); err != nil {
				return err
			}
			return w.finish()
		})
	})
	if err == nil {
		return nil
	}
	class := disk.Class(err)
	if class != faas.ErrExhausted || !l.isAt(changes[0].Revision-1) {
		l.broken = err
	}
	return faas.Errorf("registry", "write", l.db.Path(), class, "%w", err)
}

// isAt reports whether the file is still at the revision, which a write that failed late may have passed.
func (l *log) isAt(want faas.Revision) bool {
	var h header
	err := guard(func() error {
		return l.db.View(func(tx *bbolt.Tx) (err error) {
			h, err = readHeader(tx)
			return err
		})
	})
	return err == nil && h.Revision == want
}

// writer is one transaction that keeps the header's count and sum.
type writer struct {
	tx *bbolt.Tx
	header
}

func initialise(tx *bbolt.Tx) error {
	for _, b := range append(content, bucketHeader) {
		if _, err := tx.CreateBucket(b); err != nil {
			return err
		}
	}
	return (&writer{tx, header{Format: format}}).finish()
}

func newWriter(tx *bbolt.Tx) (*writer, error) {
	h, err := readHeader(tx)
	return &writer{tx, h}, err
}

func (w *writer) finish() error {
	return w.tx.Bucket(bucketHeader).Put(bucketHeader, seal(bucketHeader, bucketHeader, encode(w.header)))
}

func (w *writer) put(bucket, key, payload []byte) error {
	if err := w.account(bucket, key); err != nil {
		return err
	}
	value := seal(bucket, key, payload)
	w.Records++
	w.Sum += uint64(binary.BigEndian.Uint32(value))
	return w.tx.Bucket(bucket).Put(key, value)
}

func (w *writer) delete(bucket, key []byte) error {
	if w.tx.Bucket(bucket).Get(key) == nil {
		return corrupt(string(bucket), "the record %q is missing", key)
	}
	if err := w.account(bucket, key); err != nil {
		return err
	}
	return w.tx.Bucket(bucket).Delete(key)
}

// account takes what is stored under the key, if anything, out of count and sum.
func (w *writer) account(bucket, key []byte) error {
	old := w.tx.Bucket(bucket).Get(key)
	if old == nil {
		return nil
	}
	_, sum, err := unseal(bucket, key, old)
	w.Records--
	w.Sum -= uint64(sum)
	return err
}

func (w *writer) apply(c table.Change) error {
	w.Revision = c.Revision
	err := w.put(bucketEvents, number(uint64(c.Revision)), encode(eventRecord{string(c.Kind), c.Ref.String(), c.Target}))
	if err != nil {
		return err
	}
	switch c.Kind {
	case registry.AliasSet:
		return w.put(bucketAliases, []byte(c.Ref.String()), encode(aliasRecord{c.Target, c.Revision}))
	case registry.AliasDeleted:
		return w.delete(bucketAliases, []byte(c.Ref.String()))
	}
	n, err := strconv.ParseUint(c.Ref.Version, 10, 64)
	if err != nil {
		return err
	}
	if c.Kind == registry.Deleted {
		return w.delete(bucketVersions, versionKey(c.Ref, n))
	}
	record := versionRecord{c.Function.Spec, c.Function.Created, c.Revision}
	return errors.Join(
		w.put(bucketFunctions, functionKey(c.Ref), number(n)),
		w.put(bucketVersions, versionKey(c.Ref, n), encode(record)))
}

// forget drops the events before the last keep ones.
func (w *writer) forget(keep uint64) error {
	if uint64(w.Revision) <= keep {
		return nil
	}
	first := number(uint64(w.Revision) - keep + 1)
	b := w.tx.Bucket(bucketEvents)
	for k, _ := b.Cursor().First(); k != nil && bytes.Compare(k, first) < 0; k, _ = b.Cursor().First() {
		if err := w.delete(bucketEvents, bytes.Clone(k)); err != nil {
			return err
		}
	}
	return nil
}
