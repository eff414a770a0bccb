//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package dircode

import (
	"os"
	"time"
)

// Where there is no flock, a file that nobody wrote to for a day is abandoned.

func lock(*os.File) error { return nil }

func abandoned(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && time.Since(st.ModTime()) > 24*time.Hour
}
