package boltregistry

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/registry"
	"github.com/joinery/faas/registry/internal/table"
)

// guard runs f and returns ErrCorrupt where bbolt panics or reads outside the
// file, as it does over a damaged file, which is mapped into memory.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = corrupt("pages", "%v", p)
		}
	}()
	return f()
}

func readHeader(tx *bbolt.Tx) (h header, err error) {
	b := tx.Bucket(bucketHeader)
	if b == nil {
		return h, corrupt("header", "is missing: this is not a registry")
	}
	payload, _, err := unseal(bucketHeader, bucketHeader, b.Get(bucketHeader))
	if err == nil {
		err = decode(bucketHeader, bucketHeader, payload, &h)
	}
	if err == nil && h.Format != format {
		err = faas.Errorf("registry", "read", "header", faas.ErrUnimplemented, "the file has format %d, this version reads %d", h.Format, format)
	}
	return h, err
}

// load reads and checks every record by its checksum, and that none is missing by count and sum.
func (l *log) load() (table.State, error) {
	var ld loader
	err := l.db.View(func(tx *bbolt.Tx) error {
		h, err := readHeader(tx)
		if err != nil {
			return err
		}
		ld.State.Revision = h.Revision
		ld.functions = make(map[string]int)
		for i, read := range []func(k, payload []byte) error{ld.function, ld.version, ld.alias, ld.event} {
			if err := ld.each(tx, content[i], read); err != nil {
				return err
			}
		}
		if ld.records != h.Records || ld.sum != h.Sum {
			return corrupt("records", "there are %d of %d, or their sum is wrong", ld.records, h.Records)
		}
		return nil
	})
	return ld.State, err
}

type loader struct {
	table.State
	functions    map[string]int // index in State.Functions by namespace/name
	records, sum uint64
}

func (ld *loader) each(tx *bbolt.Tx, bucket []byte, read func(k, payload []byte) error) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return corrupt(string(bucket), "the bucket is missing")
	}
	return b.ForEach(func(k, v []byte) error {
		payload, sum, err := unseal(bucket, k, v)
		if err != nil {
			return err
		}
		if found := b.Get(k); len(found) == 0 || &found[0] != &v[0] {
			return corrupt(string(bucket), "the record %q is not where it is looked for", k)
		}
		ld.records++
		ld.sum += uint64(sum)
		if err := read(k, payload); err != nil {
			return corrupt(string(bucket), "the record %q: %w", k, err)
		}
		return nil
	})
}

func (ld *loader) function(k, payload []byte) error {
	ref, err := faas.ParseRef(string(k))
	if err != nil {
		return err
	}
	if len(payload) != 8 {
		return fmt.Errorf("a number of %d bytes", len(payload))
	}
	ld.functions[string(k)] = len(ld.Functions)
	ld.Functions = append(ld.Functions, table.FunctionState{Namespace: ref.Namespace, Name: ref.Name, Last: binary.BigEndian.Uint64(payload)})
	return nil
}

// owner returns the function that a key of a version or an alias begins with, and the rest.
func (ld *loader) owner(k []byte) (*table.FunctionState, []byte, error) {
	name, rest, _ := bytes.Cut(k, []byte{'@'})
	i, ok := ld.functions[string(name)]
	if !ok {
		return nil, nil, fmt.Errorf("there is no function %q", name)
	}
	return &ld.Functions[i], rest, nil
}

func (ld *loader) version(k, payload []byte) error {
	f, rest, err := ld.owner(k)
	if err != nil {
		return err
	}
	if len(rest) != 8 {
		return fmt.Errorf("a number of %d bytes", len(rest))
	}
	var r versionRecord
	if err := decode(bucketVersions, k, payload, &r); err != nil {
		return err
	}
	ref := faas.Ref{Namespace: f.Namespace, Name: f.Name, Version: strconv.FormatUint(binary.BigEndian.Uint64(rest), 10)}
	f.Versions = append(f.Versions, faas.Function{Ref: ref, Spec: r.Spec, Created: r.Created, Revision: r.Revision})
	return nil
}

func (ld *loader) alias(k, payload []byte) error {
	f, rest, err := ld.owner(k)
	if err != nil {
		return err
	}
	var r aliasRecord
	if err := decode(bucketAliases, k, payload, &r); err != nil {
		return err
	}
	ref := faas.Ref{Namespace: f.Namespace, Name: f.Name, Version: string(rest)}
	f.Aliases = append(f.Aliases, registry.Alias{Ref: ref, Target: r.Target, Revision: r.Revision})
	return nil
}

func (ld *loader) event(k, payload []byte) error {
	var r eventRecord
	if err := decode(bucketEvents, k, payload, &r); err != nil {
		return err
	}
	ref, err := faas.ParseRef(r.Ref)
	if err != nil {
		return err
	}
	if len(k) != 8 {
		return fmt.Errorf("a revision of %d bytes", len(k))
	}
	e := registry.Event{Kind: registry.EventKind(r.Kind), Ref: ref, Target: r.Target, Revision: faas.Revision(binary.BigEndian.Uint64(k))}
	ld.Events = append(ld.Events, e)
	return nil
}
