package pebblestore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// reserve is a file that holds space back for the moment when the disk is full: what is under
// way then is finished with it. While it is in use no new work is taken.
type reserve struct {
	fs      vfs.FS
	name    string
	size    int64
	inUse   atomic.Bool
	stalled atomic.Int32 // writes that wait although the reserve was released

	mu      sync.Mutex
	checked time.Time
}

// hold takes the space; it may be there from before.
func (r *reserve) hold(name string, size int64) error {
	r.name, r.size = name, size
	if st, err := r.fs.Stat(name); err == nil && st.Size() == size {
		return nil
	}
	return r.fill()
}

// fill writes the reserve, since not every file system can promise space in another way.
func (r *reserve) fill() error {
	err := func() error {
		f, err := r.fs.Create(r.name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		defer f.Close()
		if fallocate(f.Fd(), r.size) {
			return f.Sync()
		}
		zeros := make([]byte, 1<<20)
		for n := r.size; n > 0; n -= int64(len(zeros)) {
			if _, err := f.Write(zeros[:min(n, int64(len(zeros)))]); err != nil {
				return err
			}
		}
		return f.Sync()
	}()
	if err != nil {
		_ = r.fs.Remove(r.name)
	}
	return err
}

// release gives the space free. It reports whether it had been held.
func (r *reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inUse.Load() || r.name == "" {
		return false
	}
	r.inUse.Store(true)
	r.checked = time.Now()
	return r.fs.Remove(r.name) == nil
}

// full reports whether new work must be refused. Now and then it looks whether the disk
// has space for a new reserve and as much again.
func (r *reserve) full() bool {
	if !r.inUse.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.inUse.Load() {
		return false
	}
	if now := time.Now(); now.Sub(r.checked) < pause {
		return true
	} else {
		r.checked = now
	}
	if r.stalled.Load() > 0 {
		return true
	}
	if usage, err := r.fs.GetDiskUsage(r.fs.PathDir(r.name)); err == nil && usage.AvailBytes < uint64(2*r.size) {
		return true
	}
	if r.fill() != nil {
		return true
	}
	r.inUse.Store(false)
	return false
}
