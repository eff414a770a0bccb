package figure

import (
	"os"
	"strconv"
	"strings"
)

// ResidentMB is this process's resident memory in MiB; 0 where /proc does not tell.
func ResidentMB() float64 {
	statm, _ := os.ReadFile("/proc/self/statm")
	f := strings.Fields(string(statm))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(f[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}
