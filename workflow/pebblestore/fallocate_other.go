//go:build !linux

package pebblestore

// fallocate gives a file its size and its space; false if the file system cannot.
func fallocate(uintptr, int64) bool { return false }
