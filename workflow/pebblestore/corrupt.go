package pebblestore

import (
	"errors"
	"fmt"
	"strings"

	cockroach "github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/disk"
)

// corruptError makes an ErrCorrupt of what the library says: its message, its details
// (the place in a log), and the file (of a table).
func (s *Store) corruptError(op, key string, err error) error {
	var where []string
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		where = append(where, info.Path)
	}
	if details := strings.TrimSpace(cockroach.FlattenDetails(err)); details != "" {
		where = append(where, strings.ReplaceAll(details, "\n", "; "))
	}
	e := faas.Errorf("workflow store", op, key, faas.ErrCorrupt, "%s: %w", strings.Join(where, ": "), err)
	s.log.Error("damaged", "op", op, "key", key, "where", where, "error", err)
	return e
}

// readError classes an error of a read.
func (s *Store) readError(op, key string, err error) error {
	var classed *faas.Error
	if errors.As(err, &classed) {
		return err
	}
	if pebble.IsCorruptionError(err) {
		return s.corruptError(op, key, err)
	}
	return faas.Errorf("workflow store", op, key, disk.Class(err), "%w", err)
}

// valueError is for a value that cannot be decoded although its checksum is right.
func (s *Store) valueError(op, key string, k []byte, err error) error {
	if faas.Class(err) == faas.ErrUnimplemented {
		return err
	}
	return faas.Errorf("workflow store", op, key, faas.ErrCorrupt, "%s: key %q: %w", fmt.Sprintf("%s/db", s.dir), k, err)
}
