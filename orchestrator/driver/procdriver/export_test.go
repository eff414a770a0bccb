//go:build linux

package procdriver

import "github.com/joinery/faas/orchestrator/driver"

// Groups are the directories of the cgroups that the driver has made for itself.
func (d *Driver) Groups() (dirs []string) {
	if d.groups == nil {
		return nil
	}
	for _, h := range d.groups.all {
		dirs = append(dirs, h.dir)
	}
	return dirs
}

// ParseStat is for fuzzing.
func ParseStat(text []byte) (ppid, session int, zombie, ok bool) {
	p, ok := parseStat(1, text)
	return p.ppid, p.session, p.zombie, ok
}

// Decode is for fuzzing.
func Decode(format int, data []byte) (dir string, pid int, ok bool) {
	s, err := decode(&driver.Handle{ID: "i1", Format: format, State: data})
	return s.Dir, s.PID, err == nil
}
