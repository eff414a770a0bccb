// Package storebench compares the libraries that a durable workflow store could stand on: how many
// small records a second each makes durable for 1, 64 and 256 writers, beside a plain file with a
// shared fdatasync, the limit of the disk, in the same run. It is a module of its own, outside of
// the workspace, so that no library's requirements reach the store's:
//
//	GOWORK=off go test -bench . -benchtime 1s -count 3
//
// limit-x is the number of records a second over that of the plain file just before.
package storebench
