package pebblestore

import "syscall"

// fallocate gives a file its size and its space; false if the file system cannot.
func fallocate(fd uintptr, size int64) bool {
	return int(fd) >= 0 && syscall.Fallocate(int(fd), 0, 0, size) == nil
}
