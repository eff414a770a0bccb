package flow

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/joinery/faas/internal/bench/loop"
)

// Record is one entry of a Journal.
type Record [256]byte

// Journal is one append-only file. Each writer appends its record with a write of its
// own; an fdatasync is shared by all who wait for one.
type Journal struct {
	file *os.File
	wake chan struct{}
	end  sync.WaitGroup

	mu   sync.Mutex
	next *flush
}

// flush is one fdatasync and what it made of it.
type flush struct {
	done chan struct{}
	err  error
}

// OpenJournal makes a journal below the directory.
func OpenJournal(dir string) (*Journal, error) {
	file, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{file: file, wake: make(chan struct{}, 1), next: &flush{done: make(chan struct{})}}
	j.end.Go(j.sync)
	return j, nil
}

// Append returns once the record is durable.
func (j *Journal) Append(r *Record) error {
	if _, err := j.file.Write(r[:]); err != nil {
		return err
	}
	j.mu.Lock()
	f := j.next // starts after this write has ended
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default: // the flush that is due is this one
	}
	<-f.done
	return f.err
}

func (j *Journal) sync() {
	for range j.wake {
		j.mu.Lock()
		f := j.next
		j.next = &flush{done: make(chan struct{})}
		j.mu.Unlock()
		f.err = syscall.Fdatasync(int(j.file.Fd()))
		close(f.done)
	}
}

// Close ends the journal; nothing may be appending.
func (j *Journal) Close() error {
	close(j.wake)
	j.end.Wait()
	return j.file.Close()
}

// Disk is what the disk allows: durable appends of a record per second by one writer that
// syncs each of them, and by 64 writers that share the syncs.
func Disk(dir string, d time.Duration) (serial, shared loop.Load, err error) {
	file, err := os.CreateTemp(dir, "serial")
	if err != nil {
		return serial, shared, err
	}
	defer file.Close()
	serial, err = loop.Repeat(func() error {
		var r Record
		if _, err := file.Write(r[:]); err != nil {
			return err
		}
		return syscall.Fdatasync(int(file.Fd()))
	}, 1, d)
	if err != nil {
		return serial, shared, err
	}
	sub, err := os.MkdirTemp(dir, "shared")
	if err != nil {
		return serial, shared, err
	}
	j, err := OpenJournal(sub)
	if err != nil {
		return serial, shared, err
	}
	shared, err = loop.Repeat(func() error { return j.Append(new(Record)) }, 64, d)
	return serial, shared, errors.Join(err, j.Close())
}
