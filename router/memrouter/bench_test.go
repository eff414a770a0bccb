package memrouter_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/deployer"
	"github.com/joinery/faas/router/memrouter"
)

// table is the least resolver: every name is a function, version 1.
type table struct{ spec faas.Spec }

func (t table) Get(_ context.Context, ref faas.Ref) (faas.Function, error) {
	ref = ref.WithDefaults()
	ref.Version = "1"
	return faas.Function{Ref: ref, Spec: t.spec, Revision: 1}, nil
}

// inProcess deploys a handler as an instance.
type inProcess struct {
	handler faas.InvokerFunc
	n       atomic.Int64
}

func (d *inProcess) Deploy(context.Context, faas.Function, *deployer.Options) (faas.Instance, error) {
	return &local{InvokerFunc: d.handler, id: fmt.Sprint("i-", d.n.Add(1)), done: make(chan struct{})}, nil
}

type local struct {
	faas.InvokerFunc
	id   string
	done chan struct{}
	once sync.Once
}

func (l *local) ID() string            { return l.id }
func (l *local) Done() <-chan struct{} { return l.done }
func (l *local) Err() error            { return nil }
func (l *local) Stop(context.Context) error {
	l.once.Do(func() { close(l.done) })
	return nil
}

var answer = &faas.Response{Body: faas.String("ok")}

func echo(context.Context, *faas.Request) (*faas.Response, error) { return answer, nil }

// least is the least correct dispatcher: a concurrent look-up by name, a semaphore, the call.
type least struct{ fns sync.Map }

type leastFn struct {
	sem  chan struct{}
	inst faas.Invoker
}

func (l *least) Invoke(ctx context.Context, req *faas.Request) (*faas.Response, error) {
	v, ok := l.fns.Load(req.Function.Name)
	if !ok {
		return nil, faas.ErrNotFound
	}
	fn := v.(*leastFn)
	select {
	case fn.sem <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-fn.sem }()
	return fn.inst.Invoke(ctx, req)
}

// pair returns the router and the baseline over the same handler, warm for every name.
func pair(b *testing.B, handler faas.InvokerFunc, concurrency, instances int, names ...string) (r, base faas.Invoker) {
	b.Helper()
	m := open(b, memrouter.Config{Resolver: table{faas.Spec{Concurrency: concurrency}}, Deployer: &inProcess{handler: handler}})
	l := &least{}
	for _, n := range names {
		ref := faas.Ref{Name: n}
		require.NoError(b, m.Scale(b.Context(), ref, instances, "bench"))
		for range 20 {
			_, err := m.Invoke(b.Context(), &faas.Request{Function: ref})
			require.NoError(b, err)
		}
		inst, _ := (&inProcess{handler: handler}).Deploy(b.Context(), faas.Function{}, nil)
		l.fns.Store(n, &leastFn{sem: make(chan struct{}, concurrency*instances), inst: inst})
	}
	return m, l
}

func both(b *testing.B, concurrency, instances int, names []string, run func(b *testing.B, inv faas.Invoker)) {
	r, base := pair(b, echo, concurrency, instances, names...)
	b.Run("router", func(b *testing.B) { b.ReportAllocs(); run(b, r) })
	b.Run("least", func(b *testing.B) { b.ReportAllocs(); run(b, base) })
}

func serial(b *testing.B, inv faas.Invoker) {
	req := &faas.Request{Function: faas.Ref{Name: "f0"}}
	ctx := context.Background()
	for b.Loop() {
		if _, err := inv.Invoke(ctx, req); err != nil {
			b.Fatal(err)
		}
	}
}

// parallel calls from GOMAXPROCS goroutines, each its own function of n.
func parallel(n int) func(b *testing.B, inv faas.Invoker) {
	return func(b *testing.B, inv faas.Invoker) {
		var next atomic.Int64
		cpu := processorTime()
		b.RunParallel(func(pb *testing.PB) {
			req := &faas.Request{Function: faas.Ref{Name: fmt.Sprint("f", int(next.Add(1))%n)}}
			ctx := context.Background()
			for pb.Next() {
				if _, err := inv.Invoke(ctx, req); err != nil {
					b.Error(err)
					return
				}
			}
		})
		// Where others use the processors too, the wall clock tells little: when this stays
		// what it is with one processor, the calls scale.
		b.ReportMetric(float64(processorTime()-cpu)/float64(b.N), "cpu-ns/op")
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func names(n int) (s []string) {
	for i := range n {
		s = append(s, fmt.Sprint("f", i))
	}
	return s
}

func BenchmarkWarmSerial(b *testing.B)            { both(b, 100, 1, names(1), serial) }
func BenchmarkWarmSerialOneSlot(b *testing.B)     { both(b, 1, 1, names(1), serial) }
func BenchmarkWarmSerialTenThousand(b *testing.B) { both(b, 10, 1, names(10_000), serial) }
func BenchmarkWarmParallelOne(b *testing.B)       { both(b, 100, 1, names(1), parallel(1)) }
func BenchmarkWarmParallelOneOfMany(b *testing.B) { both(b, 1, 64, names(1), parallel(1)) }
func BenchmarkWarmParallelMany(b *testing.B)      { both(b, 100, 1, names(64), parallel(64)) }

// BenchmarkWarmTimed is a warm call that asks for its timing, as an HTTP front does.
func BenchmarkWarmTimed(b *testing.B) {
	both(b, 100, 1, names(1), func(b *testing.B, inv faas.Invoker) {
		req := &faas.Request{Function: faas.Ref{Name: "f0"}, Timing: &faas.Timing{}}
		for b.Loop() {
			if _, err := inv.Invoke(context.Background(), req); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWarmTimeout is a warm call to a function with a Timeout of its own; the caller has no deadline.
func BenchmarkWarmTimeout(b *testing.B) {
	m := open(b, memrouter.Config{Resolver: table{faas.Spec{Concurrency: 100, Timeout: time.Minute}}, Deployer: &inProcess{handler: echo}})
	b.Run("router", func(b *testing.B) { b.ReportAllocs(); serial(b, m) })
	b.Run("context", func(b *testing.B) { // what the derived context alone would cost
		b.ReportAllocs()
		for b.Loop() {
			_, cancel := context.WithTimeout(context.Background(), time.Minute)
			cancel()
		}
	})
}

// BenchmarkSaturated has eight callers for each slot, and instances that let others run meanwhile:
// nearly every call goes through the queue.
func BenchmarkSaturated(b *testing.B) {
	r, base := pair(b, func(context.Context, *faas.Request) (*faas.Response, error) {
		runtime.Gosched()
		return answer, nil
	}, 4, 2, "f0")
	for name, inv := range map[string]faas.Invoker{"router": r, "least": base} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(64 / runtime.GOMAXPROCS(0))
			parallel(1)(b, inv)
		})
	}
}

// heap is what is in use, without what pools still keep.
func heap() float64 {
	var s runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&s)
	return float64(s.HeapAlloc)
}

// BenchmarkParked reports the memory of one request that waits, without its caller's stack.
func BenchmarkParked(b *testing.B) {
	const calls = 100_000
	for b.Loop() {
		gate := make(chan struct{})
		m := open(b, memrouter.Config{
			Resolver:   table{faas.Spec{Scale: faas.Scale{Max: 1}}},
			Deployer:   &inProcess{handler: func(context.Context, *faas.Request) (*faas.Response, error) { <-gate; return answer, nil }},
			QueueDepth: calls,
		})
		req := &faas.Request{Function: hello}
		before := heap()
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() { _, _ = m.Invoke(context.Background(), req) })
		}
		for load(m).Queued < calls-1 {
			runtime.Gosched()
		}
		b.ReportMetric((heap()-before)/calls, "bytes/call")
		close(gate)
		wg.Wait()
	}
}

// BenchmarkIdle reports the memory of a function that was called once and has no instance any more,
// and of one that has an idle instance.
func BenchmarkIdle(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		m := open(b, memrouter.Config{Resolver: table{faas.Spec{Concurrency: 100}}, Deployer: &inProcess{handler: echo}})
		all := names(n)
		before := heap()
		for _, name := range all {
			_, err := m.Invoke(context.Background(), &faas.Request{Function: faas.Ref{Name: name}})
			require.NoError(b, err)
		}
		warm := heap()
		for _, name := range all {
			require.NoError(b, m.Scale(context.Background(), faas.Ref{Name: name}, 0, "idle"))
		}
		for ended := 0; ended < n; {
			runtime.Gosched()
			ended = n
			for l := range m.Loads() {
				ended -= min(1, l.Ready+l.Draining)
			}
		}
		b.ReportMetric((warm-before)/n, "bytes/instance")
		b.ReportMetric((heap()-before)/n, "bytes/function")
	}
}
