package drivertest

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func startClauses() []clause {
	return []clause{
		{"serves-when-it-returns", startServes},
		{"status", startStatus},
		{"own-copy", startKeepsItsOwnCopy},
		{"environment", startEnvironment},
		{"id-taken", startIDTaken},
		{"id-raced", startIDRaced},
		{"id-again", startIDAgain},
	}
}

// startServes: ready means that the very first call is answered.
func startServes(f *fixture) {
	for range 3 {
		f.serves(f.serve())
	}
}

func startStatus(f *fixture) {
	t := f.task(Serve)
	t.Labels = map[string]string{"owner": "kit", "empty": ""}
	before := time.Now()
	st := f.start(t)
	if st.ID != t.ID || st.State != driver.StateRunning || st.Exit != nil {
		f.Errorf("Start: %+v, want %s running without an exit", st, t.ID)
	}
	if st.Endpoint.Network == "" || st.Endpoint.Address == "" {
		f.Errorf("Start: the endpoint %+v is not complete", st.Endpoint)
	}
	if !maps.Equal(st.Labels, t.Labels) {
		f.Errorf("Start: labels %v, want %v", st.Labels, t.Labels)
	}
	const skew = time.Minute // the driver may live on another machine
	if st.Started.Before(before.Add(-skew)) || st.Ready.Before(st.Started) || st.Ready.After(time.Now().Add(skew)) {
		f.Errorf("Start: started %v, ready %v, asked at %v", st.Started, st.Ready, before)
	}
}

// startKeepsItsOwnCopy: the caller may use the task's maps and slices for something else.
func startKeepsItsOwnCopy(f *fixture) {
	t := f.task(Serve)
	t.Labels = map[string]string{"owner": "kit"}
	f.start(t)
	t.Labels["owner"] = "changed"
	if st, _ := f.listed(t.ID); st.Labels["owner"] != "kit" {
		f.Errorf("List: labels %v changed with the caller's map", st.Labels)
	}
}

// startEnvironment: what the task says, what the contract adds, and nothing inherited.
func startEnvironment(f *fixture) {
	t := f.task(Environment)
	t.Env = maps.Clone(t.Env)
	if t.Env == nil {
		t.Env = map[string]string{}
	}
	t.Env["KIT_GREETING"], t.Env["KIT_EMPTY"] = "h\u00e9llo = \"x\"\ny", ""
	var got map[string]string
	if err := json.Unmarshal([]byte(f.text(f.start(t).Endpoint, "/env", "", "")), &got); err != nil {
		f.Fatalf("/env: %v", err)
	}
	for k, v := range t.Env {
		if g, ok := got[k]; !ok || g != v {
			f.Errorf("environment: %s is %q (set: %v), want %q", k, g, ok, v)
		}
	}
	for k, v := range got {
		_, asked := t.Env[k]
		contract := k == "PORT" || k == "SOCKET" || strings.HasPrefix(k, "LISTEN_")
		if ours, ok := os.LookupEnv(k); !asked && !contract && ok && ours == v {
			f.Errorf("environment: %s=%q is inherited", k, v)
		}
	}
}

func startIDTaken(f *fixture) {
	t := f.task(Serve)
	st := f.start(t)
	f.refused(t, faas.ErrAlreadyExists, "an id that is taken")
	f.serves(st)
}

// startIDRaced: of several starts of one id one wins, and only its instance remains.
func startIDRaced(f *fixture) {
	t := f.task(Serve)
	var mu sync.Mutex
	var won []driver.Status
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			st, err := f.d.Start(f.ctx, t)
			if err != nil {
				f.wantClass("Start of an id that is being started", err, faas.ErrAlreadyExists)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, st)
		})
	}
	f.within("Start", wg.Wait)
	if len(won) != 1 {
		f.Fatalf("%d of 4 starts of one id succeeded, want 1", len(won))
	}
	f.serves(won[0])
	f.stop(t.ID, 0)
	f.nothingLeft("after the winner was stopped")
}

func startIDAgain(f *fixture) {
	t := f.task(Serve)
	for range 3 {
		f.serves(f.start(t))
		f.stop(t.ID, patience)
	}
}
