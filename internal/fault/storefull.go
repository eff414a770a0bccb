package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/joinery/faas"
)

// diskFull fills the 16 MB file system of a store from outside after each number of its
// batches, so that it becomes full at another write each time, and frees it again.
func diskFull() ([]Figure, error) {
	dir, err := os.MkdirTemp("", "disk-full")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("a file system of 16 MB needs the rights to mount one: %w: %s", err, out)
	}
	defer exec.Command("umount", "-l", dir).Run()

	const rounds, size, executions = 60, 9000, 5
	home, filler := filepath.Join(dir, "store"), filepath.Join(dir, "filler")
	var wrongClass, partial, lost, stuck, never, slowest float64
	for round := range rounds {
		if err := os.RemoveAll(home); err != nil {
			return nil, err
		}
		s, err := openStore(home)
		if err != nil {
			return nil, err
		}
		written := make([]uint64, executions)
		put := func(i int) error {
			err := s.Append(context.Background(), storeBatch(storeRef(i), written[i], noise(storeRef(i), written[i]+1, size)))
			if err == nil {
				written[i]++
			}
			return err
		}
		check := func() {
			for i, want := range written {
				n, err := storeLength(s, storeRef(i), size)
				lost += count(n < want)
				partial += count(err != nil || n > want)
			}
		}
		for n := range round * 7 {
			if err := put(n % executions); err != nil {
				return nil, err
			}
		}
		if err := fillDisk(filler); err != nil {
			return nil, err
		}
		var refused error
		for n := 0; refused == nil && n < 4000; n++ {
			refused = put(n % executions)
		}
		never += count(refused == nil)
		wrongClass += count(refused != nil && faas.Class(refused) != faas.ErrExhausted)
		check()
		if err := os.Remove(filler); err != nil {
			return nil, err
		}
		began := time.Now()
		for refused = put(0); refused != nil && time.Since(began) < 30*time.Second; refused = put(0) {
			time.Sleep(5 * time.Millisecond)
		}
		stuck += count(refused != nil)
		slowest = max(slowest, time.Since(began).Seconds())
		check()
		if err := s.Close(); err != nil {
			return nil, err
		}
		if s, err = openStore(home); err != nil {
			return nil, err
		}
		check()
		if err := s.Close(); err != nil {
			return nil, err
		}
	}
	return []Figure{
		{Name: "disk-full-rounds", Value: rounds, Unit: "rounds"},
		{Name: "disk-full-never-refused", Value: never, Unit: "rounds", Op: "==", Bound: 0},
		{Name: "disk-full-other-class", Value: wrongClass, Unit: "rounds", Op: "==", Bound: 0},
		{Name: "disk-full-partial", Value: partial, Unit: "logs", Op: "==", Bound: 0},
		{Name: "disk-full-lost", Value: lost, Unit: "logs", Op: "==", Bound: 0},
		{Name: "disk-full-stuck", Value: stuck, Unit: "rounds", Op: "==", Bound: 0},
		{Name: "disk-full-recovery", Value: slowest, Unit: "s", Op: "<=", Bound: 5},
	}, nil
}

// fillDisk writes a file until the file system has no space, to the last of its 512 bytes.
func fillDisk(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for written, size := 0, len(chunk); written < 4<<30; {
		n, err := f.Write(chunk[:size])
		written += n
		if err == nil {
			continue
		}
		if size /= 2; size < 512 {
			return f.Close()
		}
	}
	return errors.Join(f.Close(), errors.New("the file system does not become full"))
}
