//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package boltregistry

import "os"

// release lets go of a file that bbolt panicked over.
func release(f *os.File) { _ = f.Close() }
