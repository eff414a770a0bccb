package main

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/joinery/faas/workflow"
)

// sink is the functions of the engine that is killed, in another process than it: deliveries are counted where no
// kill can make them uncounted.
type sink struct {
	server *http.Server
	socket string
	ready  chan int // rounds whose engine has recovered
	// recovered counts them, and the executions that were in flight at the kill before.
	recovered, inFlight int

	mu         sync.Mutex
	deliveries map[string]*delivery // by key
	started    map[string]bool      // acknowledged executions
	ended      map[string]string    // and those whose end was acknowledged, with the status
	stages     map[string]int       // the last stage that was delivered, by execution
	again      map[int]int          // deliveries of what a round had in flight when it was killed, by that round
	total      int

	// What must not be.
	badKeys, stuckAttempts, needless, late int
	first                                  string // the first of them
}

// delivery is what is known of a key.
type delivery struct {
	count, attempt, round int
	failed                bool // its last delivery was answered with a failure
}

func newSink(socket string) (*sink, error) {
	s := &sink{socket: socket, ready: make(chan int, 1), deliveries: map[string]*delivery{}, started: map[string]bool{}, ended: map[string]string{},
		stages: map[string]int{}, again: map[int]int{}}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/call", s.call)
	mux.HandleFunc("/ready", func(_ http.ResponseWriter, r *http.Request) {
		round, _ := strconv.Atoi(r.FormValue("round"))
		open, _ := strconv.Atoi(r.FormValue("open"))
		s.mu.Lock()
		if round > 1 {
			s.recovered++
			s.inFlight += open
		}
		s.mu.Unlock()
		select {
		case s.ready <- round:
		default:
		}
	})
	mux.HandleFunc("/started", func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.started[r.FormValue("id")] = true
	})
	mux.HandleFunc("/ended", func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended[r.FormValue("id")] = r.FormValue("status")
	})
	s.server = &http.Server{Handler: mux}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

func (s *sink) call(w http.ResponseWriter, r *http.Request) {
	function, key := r.FormValue("function"), r.FormValue("key")
	round, _ := strconv.Atoi(r.FormValue("round"))
	attempt, _ := strconv.Atoi(r.FormValue("attempt"))
	failure := s.count(function, key, round, attempt)
	time.Sleep(5*time.Millisecond + rand.N(30*time.Millisecond))
	if failure != "" {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, failure)
		return
	}
	_, step, _ := cutKey(key)
	_, _ = io.WriteString(w, strconv.Itoa(valueOf(step)))
}

// cutKey cuts "namespace/id#run/step".
func cutKey(key string) (ref, step string, ok bool) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return "", "", false
	}
	_, err := workflow.ParseExecutionRef(key[:i])
	return key[:i], key[i+1:], err == nil && strings.Contains(key[:i], "#")
}

// count notes a delivery and returns the failure to answer with, if any.
func (s *sink) count(function, key string, round, attempt int) (failure string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	bad := func(count *int, what string) {
		if *count++; s.first == "" {
			s.first = what + ": " + key
		}
	}
	ref, step, ok := cutKey(key)
	if !ok {
		bad(&s.badKeys, "not the key of a step")
		return ""
	}
	d := s.deliveries[key]
	if d == nil {
		d = &delivery{round: round}
		s.deliveries[key] = d
	}
	if attempt <= d.attempt {
		bad(&s.stuckAttempts, "the attempt number does not grow")
	}
	if d.count > 0 && !d.failed {
		if s.again[d.round]++; d.round == round {
			bad(&s.needless, "delivered twice though nothing was killed between")
		}
	}
	if stage, ok := steps(courseOf(ref))[step]; ok {
		if stage < s.stages[ref] {
			bad(&s.late, "delivered after a step that needs its result")
		}
		s.stages[ref] = max(stage, s.stages[ref])
	}
	d.count++
	d.attempt, d.round, d.failed = attempt, round, false
	if d.count == 1 && function == "flaky" {
		failure = "Flaky"
	}
	if d.count == 1 && function == "once" {
		failure = "Hard"
	}
	d.failed = failure != ""
	return failure
}

// courseOf is the workflow of an execution, by its ID; that of a child is its parent's, a dot and more.
func courseOf(ref string) string {
	id := ref[strings.LastIndexByte(ref, '/')+1:]
	if strings.Contains(id, ".") {
		return "leaf"
	}
	name, _, _ := strings.Cut(id, "-")
	return name
}

// open is how many acknowledged executions have not ended as far as is known, which is before the first kill.
func (s *sink) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.started) - len(s.ended)
}

func (s *sink) close() error { return s.server.Close() }
