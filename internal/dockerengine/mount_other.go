//go:build !linux

package dockerengine

import "errors"

func mountDisk(string, int64) error { return errors.New("a disk of its own takes Linux") }

func unmountBelow(string) {}
