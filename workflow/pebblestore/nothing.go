package pebblestore

import (
	"io"
	"io/fs"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// nothing stands for a file that could not be made in a store that is poisoned now.
type nothing struct{}

func (nothing) Close() error                           { return nil }
func (nothing) Read([]byte) (int, error)               { return 0, io.EOF }
func (nothing) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (nothing) Write(p []byte) (int, error)            { return len(p), nil }
func (nothing) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nothing) Preallocate(int64, int64) error         { return nil }
func (nothing) Stat() (vfs.FileInfo, error)            { return emptyInfo{}, nil }
func (nothing) Sync() error                            { return nil }
func (nothing) SyncTo(int64) (bool, error)             { return true, nil }
func (nothing) SyncData() error                        { return nil }
func (nothing) Prefetch(int64, int64) error            { return nil }
func (nothing) Fd() uintptr                            { return vfs.InvalidFd }

// emptyInfo says that a file is empty.
type emptyInfo struct{}

func (emptyInfo) Name() string           { return "" }
func (emptyInfo) Size() int64            { return 0 }
func (emptyInfo) Mode() fs.FileMode      { return 0 }
func (emptyInfo) ModTime() time.Time     { return time.Time{} }
func (emptyInfo) IsDir() bool            { return false }
func (emptyInfo) Sys() any               { return nil }
func (emptyInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
