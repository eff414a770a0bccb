//go:build linux

package procdriver

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// kind is a kind of limit that a cgroup applies, by the controller's name.
type kind string

const (
	kindCPU    kind = "cpu"
	kindMemory kind = "memory"
	kindPids   kind = "pids"
)

// probes are the files that show that a group has the controller, by version.
var probes = map[kind][2]string{
	kindCPU:    {"cpu.cfs_quota_us", "cpu.max"},
	kindMemory: {"memory.limit_in_bytes", "memory.max"},
	kindPids:   {"pids.max", "pids.max"},
}

// hierarchy is one tree of cgroups and the driver's own group in it.
type hierarchy struct {
	dir string // the driver's group
	v2  bool
}

// cgroups is what the machine offers. Immutable after findCgroups.
type cgroups struct {
	all []hierarchy
	// limit is the hierarchy that applies a kind of limit, by its place in all.
	limit map[kind]int
	// track is the one that knows which processes belong to an instance.
	track int
}

// mount is a line of /proc/self/mountinfo for a cgroup file system.
type mount struct {
	point string
	v2    bool
	kinds []kind
	base  []string // where to try to make groups, the best first
}

// findCgroups makes the driver's group of that name in every hierarchy that can be of use.
// It returns nil if there is none.
func findCgroups(name string) *cgroups {
	c := &cgroups{limit: map[kind]int{}}
	mounts := cgroupMounts()
	// What a version 1 hierarchy controls, version 2 cannot. It has no other use than limits,
	// unless it must also keep track.
	slices.SortStableFunc(mounts, func(a, b mount) int { return boolInt(a.v2) - boolInt(b.v2) })
	for _, m := range mounts {
		if !m.v2 && len(m.kinds) == 0 {
			continue
		}
		for _, base := range m.base {
			dir := filepath.Join(base, name)
			if os.Mkdir(dir, 0o755) != nil {
				continue
			}
			h := hierarchy{dir: dir, v2: m.v2}
			found := false
			for k := range probes {
				if _, taken := c.limit[k]; !taken && h.offers(k, base) {
					c.limit[k], found = len(c.all), true
				}
			}
			if found || m.v2 {
				c.all = append(c.all, h)
				break
			}
			_ = os.Remove(dir)
		}
	}
	if len(c.all) == 0 {
		return nil
	}
	c.track = c.tracker()
	return c
}

// tracker prefers version 2, where a process is born in its group and a group is killed at once.
func (c *cgroups) tracker() int {
	if i := slices.IndexFunc(c.all, func(h hierarchy) bool { return h.v2 }); i >= 0 {
		return i
	}
	for _, k := range []kind{kindPids, kindCPU} {
		if i, ok := c.limit[k]; ok {
			return i
		}
	}
	return c.limit[kindMemory]
}

// offers reports whether groups within h have the controller; in version 2 it is
// switched on where that is allowed.
func (h hierarchy) offers(k kind, base string) bool {
	file := probes[k][boolInt(h.v2)]
	if h.v2 {
		on := []byte("+" + string(k))
		if _, err := os.Stat(filepath.Join(h.dir, file)); err != nil {
			_ = os.WriteFile(filepath.Join(base, "cgroup.subtree_control"), on, 0)
		}
		return os.WriteFile(filepath.Join(h.dir, "cgroup.subtree_control"), on, 0) == nil
	}
	f, err := os.OpenFile(filepath.Join(h.dir, file), os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// cgroupMounts reads where the cgroup file systems are and where in them this process is.
func cgroupMounts() []mount {
	own := ownGroups()
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	var mounts []mount
	for s := bufio.NewScanner(f); s.Scan(); {
		// 36 35 98:0 /root /point rw,... shared:1 - type source options (proc(5))
		before, after, ok := strings.Cut(s.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		m := mount{point: unescape(left[4])}
		path := ""
		switch right[0] {
		case "cgroup2":
			m.v2 = true
			path = own[""]
		case "cgroup":
			for _, opt := range strings.Split(right[2], ",") {
				if p, ok := own[opt]; ok && opt != "" {
					path = p
				}
				if _, ok := probes[kind(opt)]; ok {
					m.kinds = append(m.kinds, kind(opt))
				}
			}
		default:
			continue
		}
		// Within a container the mount may begin below the real root.
		rel := strings.TrimPrefix(path, strings.TrimSuffix(unescape(left[3]), "/"))
		dir := filepath.Join(m.point, filepath.Clean("/"+rel))
		m.base = []string{dir}
		if parent := filepath.Dir(dir); m.v2 && dir != m.point && delegated(parent) {
			m.base = []string{parent, dir}
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// delegated reports whether systemd has given the group away: what it marks so is not its own any more.
func delegated(dir string) bool {
	for _, attr := range []string{"user.delegate", "trusted.delegate"} {
		var value [1]byte
		if n, err := unix.Getxattr(dir, attr, value[:]); err == nil && n == 1 && value[0] == '1' {
			return true
		}
	}
	return false
}

// ownGroups is /proc/self/cgroup: the path of this process by controller, "" for version 2.
func ownGroups() map[string]string {
	text, _ := os.ReadFile("/proc/self/cgroup")
	own := map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		for _, c := range strings.Split(f[1], ",") {
			own[c] = f[2]
		}
	}
	return own
}

// unescape undoes the octal escapes of mountinfo for blanks.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// support says which limits the groups apply.
func (c *cgroups) support(s *driver.LimitSupport) {
	if c == nil {
		return
	}
	_, s.MilliCPU = c.limit[kindCPU]
	_, s.Memory = c.limit[kindMemory]
	_, s.Pids = c.limit[kindPids]
}

// close removes the driver's own groups, which must be empty.
func (c *cgroups) close() {
	if c == nil {
		return
	}
	for _, h := range c.all {
		_ = os.Remove(h.dir)
	}
}

// setting is a file of a group and what to write to it.
type setting struct{ file, value string }

// settings are the files that apply one limit in h. Those marked optional may be missing.
func (h hierarchy) settings(k kind, l faas.Resources, oomGroup bool) (required, optional []setting) {
	switch {
	case k == kindPids:
		return []setting{{"pids.max", fmt.Sprint(l.Pids)}}, nil
	case k == kindMemory && h.v2:
		optional = []setting{{"memory.swap.max", "0"}}
		if oomGroup {
			optional = append(optional, setting{"memory.oom.group", "1"})
		}
		return []setting{{"memory.max", fmt.Sprint(l.Memory)}}, optional
	case k == kindMemory:
		return []setting{{"memory.limit_in_bytes", fmt.Sprint(l.Memory)}},
			[]setting{{"memory.memsw.limit_in_bytes", fmt.Sprint(l.Memory)}}
	}
	// The kernel takes no quota below 1 ms, so the least shares need a longer period.
	period := int64(100_000)
	if l.MilliCPU < 10 {
		period = 1_000_000
	}
	quota := l.MilliCPU * period / 1000
	if h.v2 {
		return []setting{{"cpu.max", fmt.Sprintf("%d %d", quota, period)}}, nil
	}
	return []setting{{"cpu.cfs_period_us", fmt.Sprint(period)}, {"cpu.cfs_quota_us", fmt.Sprint(quota)}}, nil
}
