package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/disk"
)

func TestClass(t *testing.T) {
	for cause, want := range map[error]error{
		syscall.ENOSPC: faas.ErrExhausted, syscall.EDQUOT: faas.ErrExhausted, syscall.EMFILE: faas.ErrExhausted,
		syscall.EACCES: faas.ErrDenied, syscall.EROFS: faas.ErrDenied, syscall.ENOENT: faas.ErrNotFound,
		syscall.EIO: faas.ErrUnavailable, errors.New("anything"): faas.ErrUnavailable,
		faas.ErrCorrupt: faas.ErrCorrupt,
	} {
		assert.Equal(t, want, disk.Class(fmt.Errorf("around: %w", &fs.PathError{Op: "write", Err: cause})), cause)
	}
}

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	assert.NoError(t, disk.SyncDir(dir))
	assert.ErrorIs(t, disk.SyncDir(filepath.Join(dir, "no")), fs.ErrNotExist)
}
