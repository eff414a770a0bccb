package drivertest

import (
	"encoding/json"
	"reflect"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func infoClauses() []clause {
	return []clause{
		{"plain-data", infoIsPlainData},
		{"stable", infoIsStable},
	}
}

func (f *fixture) info() driver.Info {
	f.Helper()
	info, err := f.d.Info(f.ctx)
	if err != nil {
		f.Fatalf("Info: %v", err)
	}
	return info
}

// infoIsPlainData: valid, and unchanged by JSON, so that a plugin wire carries it.
func infoIsPlainData(f *fixture) {
	info := f.info()
	if err := faas.ValidateName("name", info.Name); err != nil {
		f.Errorf("Info: %v", err)
	}
	if len(info.Contracts) == 0 {
		f.Error("Info offers no contract")
	}
	seen := map[faas.Contract]bool{}
	for _, c := range info.Contracts {
		if err := faas.ValidateName("contract", string(c)); err != nil {
			f.Errorf("Info: %v", err)
		}
		if seen[c] {
			f.Errorf("Info offers %q twice", c)
		}
		seen[c] = true
	}
	if info.Isolation < faas.IsolationNone || info.Isolation > faas.IsolationVM {
		f.Errorf("Info: isolation %d is not a level", int(info.Isolation))
	}
	data, err := json.Marshal(info)
	if err != nil {
		f.Fatalf("Info as JSON: %v", err)
	}
	var back driver.Info
	if err := json.Unmarshal(data, &back); err != nil || !reflect.DeepEqual(info, back) {
		f.Errorf("Info after JSON: %+v (%v), want %+v", back, err, info)
	}
	if t := f.task(Serve); !info.Offers(t.Contract) {
		f.Errorf("the harness's task has the contract %q, which Info does not offer: %q", t.Contract, info.Contracts)
	}
}

func infoIsStable(f *fixture) {
	before := f.info()
	st := f.serve()
	during := f.info()
	f.stop(st.ID, patience)
	for when, got := range map[string]driver.Info{"while a task runs": during, "after it": f.info()} {
		if !reflect.DeepEqual(before, got) {
			f.Errorf("Info %s: %+v, before %+v", when, got, before)
		}
	}
}
