package drivertest

import (
	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func limitClauses() []clause {
	clauses := []clause{{"isolation", limitIsolation}}
	for _, l := range []struct {
		name     string
		declared func(driver.LimitSupport) bool
		ask      faas.Resources
	}{
		{"milliCPU", func(s driver.LimitSupport) bool { return s.MilliCPU }, faas.Resources{MilliCPU: 500}},
		{"memory", func(s driver.LimitSupport) bool { return s.Memory }, faas.Resources{Memory: 256 << 20}},
		{"pids", func(s driver.LimitSupport) bool { return s.Pids }, faas.Resources{Pids: 64}},
		{"files", func(s driver.LimitSupport) bool { return s.Files }, faas.Resources{Files: 64}},
		{"fileSize", func(s driver.LimitSupport) bool { return s.FileSize }, faas.Resources{FileSize: 1 << 20}},
	} {
		clauses = append(clauses, clause{l.name, func(f *fixture) {
			info := f.info()
			if l.declared(info.Limits) {
				f.limitBites(l.name, l.ask)
			} else {
				t := f.task(Serve)
				t.Limits = l.ask
				f.refused(t, faas.ErrUnimplemented, "the limit "+l.name+", which Info does not declare")
			}
		}})
	}
	return clauses
}

// limitBites: a declared limit lets a decent instance serve and holds an indecent one.
func (f *fixture) limitBites(name string, ask faas.Resources) {
	f.Helper()
	t := f.task(Serve)
	t.Limits = ask
	f.serves(f.start(t))
	f.stop(t.ID, patience)
	proof := f.h.Limits[name]
	if proof == nil {
		f.Fatalf("Info declares the limit %s, and Harness.Limits has no proof that it bites", name)
	}
	proof(f.TB, f.d)
}

// limitIsolation: what Info offers is accepted, one level more is refused.
func limitIsolation(f *fixture) {
	info := f.info()
	t := f.task(Serve)
	t.Isolation = info.Isolation
	f.serves(f.start(t))
	if info.Isolation == faas.IsolationVM {
		f.Skip("there is no higher level of isolation to ask for")
	}
	higher := f.task(Serve)
	higher.Isolation = info.Isolation + 1
	f.refused(higher, faas.ErrUnimplemented, "a higher level of isolation than Info offers")
}
