package engine

import (
	"sync"
	"time"

	"github.com/joinery/faas/workflow"
)

// task is an attempt that ends by a token: an activity for pull workers, or a callback.
type task struct {
	run      *run
	step     string
	attempt  int
	activity string // empty for a callback
	priority int
	input    workflow.Payload
	timeout  time.Duration
	silence  time.Duration
	deadline time.Time
	token    string

	// Guarded by the lock of tasks.
	state   taskState
	worker  string
	began   time.Time // of the wall clock
	beat    time.Time // of the monotonic clock: the last sign of life
	details workflow.Payload
	limit   *time.Timer
	pulse   *time.Timer
}

type taskState uint8

const (
	taskIdle   taskState = iota // not to be taken yet
	taskQueued                  // waits for a worker
	taskTaken                   // under way
	taskOver
)

// tasks are the queues of activities that pull workers take. Times of attempts are those of the
// monotonic clock, so that a machine whose clock is set fails no attempt.
type tasks struct {
	e      *Engine
	mu     sync.Mutex
	queues map[string]*taskQueue
}

// taskQueue has the tasks of one activity, the higher priority first, and the polls that wait for one.
// There is at most one of both.
type taskQueue struct {
	waiting []*task
	polls   []*poll
	// polled is when somebody asked last.
	polled time.Time
}

// poll is a worker that waits.
type poll struct {
	worker string
	given  chan *task
}

func (t *tasks) init(e *Engine) { t.e, t.queues = e, make(map[string]*taskQueue) }

func (t *tasks) queue(activity string) *taskQueue {
	q := t.queues[activity]
	if q == nil {
		q = new(taskQueue)
		t.queues[activity] = q
	}
	return q
}

// add queues a task, or gives it to a worker that waits.
func (t *tasks) add(k *task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queue(k.activity)
	if len(q.polls) > 0 {
		p := q.polls[0]
		q.polls = q.polls[1:]
		t.begin(k, p.worker)
		p.given <- k
		return
	}
	t.insert(q, k)
}

// insert puts the task behind those of its priority.
func (t *tasks) insert(q *taskQueue, k *task) {
	k.state = taskQueued
	i := len(q.waiting)
	for i > 0 && q.waiting[i-1].priority < k.priority {
		i--
	}
	q.waiting = append(q.waiting, nil)
	copy(q.waiting[i+1:], q.waiting[i:])
	q.waiting[i] = k
}

// take gives the worker a task, or a place to wait for one.
func (t *tasks) take(activity, worker string) (*task, *poll) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queue(activity)
	q.polled = time.Now()
	if len(q.waiting) > 0 {
		k := q.waiting[0]
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
		t.begin(k, worker)
		return k, nil
	}
	p := &poll{worker: worker, given: make(chan *task, 1)}
	q.polls = append(q.polls, p)
	return nil, p
}

// leave ends a poll whose caller gave up. A task that was given to it meanwhile goes to the next.
func (t *tasks) leave(activity string, p *poll) {
	t.mu.Lock()
	q := t.queue(activity)
	for i := range q.polls {
		if q.polls[i] == p {
			q.polls = append(q.polls[:i], q.polls[i+1:]...)
			break
		}
	}
	t.tidy(activity, q)
	var k *task
	select {
	case k = <-p.given:
		if k.state != taskTaken {
			k = nil // it ended meanwhile
		} else {
			t.rest(k)
		}
	default:
	}
	t.mu.Unlock()
	if k != nil {
		t.add(k)
	}
}

// tidy forgets a queue that nobody uses.
func (t *tasks) tidy(activity string, q *taskQueue) {
	if len(q.polls) == 0 && len(q.waiting) == 0 && time.Since(q.polled) > time.Hour {
		delete(t.queues, activity)
	}
}

// begin starts the attempt's clocks. The caller holds the lock.
func (t *tasks) begin(k *task, worker string) {
	k.state, k.worker, k.began, k.beat = taskTaken, worker, t.e.now(), time.Now()
	if k.timeout > 0 {
		k.limit = time.AfterFunc(k.timeout, func() {
			k.run.post(fact{kind: factSilent, step: k.step, attempt: k.attempt, name: workflow.FailureTimeout})
		})
	}
	if k.silence > 0 {
		k.pulse = time.AfterFunc(k.silence, func() {
			k.run.post(fact{kind: factSilent, step: k.step, attempt: k.attempt, name: workflow.FailureHeartbeat})
		})
	}
}

// rest stops the attempt's clocks. The caller holds the lock.
func (t *tasks) rest(k *task) {
	for _, timer := range []*time.Timer{k.limit, k.pulse} {
		if timer != nil {
			timer.Stop()
		}
	}
	k.limit, k.pulse = nil, nil
}

// start begins the attempt of a callback, whose function is being called.
func (t *tasks) start(k *task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.state == taskIdle {
		t.begin(k, "")
	}
}

// drop ends a task.
func (t *tasks) drop(k *task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unqueue(k)
	t.rest(k)
	k.state = taskOver
}

// takeBack takes a task that nobody has begun out of its queue, and reports whether it was there.
func (t *tasks) takeBack(k *task) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unqueue(k)
}

func (t *tasks) unqueue(k *task) bool {
	if k.state != taskQueued {
		return false
	}
	q := t.queue(k.activity)
	for i := range q.waiting {
		if q.waiting[i] == k {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			break
		}
	}
	k.state = taskIdle
	return true
}

// heartbeat notes a sign of life and reports whether the attempt is under way.
func (t *tasks) heartbeat(k *task, details workflow.Payload) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.state != taskTaken {
		return false
	}
	k.beat = time.Now()
	if !details.IsZero() {
		k.details = details
	}
	if k.pulse != nil {
		k.pulse.Reset(k.silence)
	}
	return true
}

// alive reports whether the task gave a sign of life within the silence it is allowed.
func (t *tasks) alive(k *task) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(k.beat) < k.silence
}

// owner says who has the task: for Explain.
func (t *tasks) owner(k *task) (state taskState, worker string, began time.Time, polls bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q := t.queues[k.activity]; q != nil {
		polls = len(q.polls) > 0 || time.Since(q.polled) < time.Minute && !q.polled.IsZero()
	}
	return k.state, k.worker, k.began, polls
}
