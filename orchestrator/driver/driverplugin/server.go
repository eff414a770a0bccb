package driverplugin

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// server is a driver on the wire, on the author's side.
type server struct {
	pb.UnimplementedPluginServer
	pb.UnimplementedDriverServer

	apis []int32
	open func() (driver.Driver, error)
	keep atomic.Bool // when the platform dies

	streams streams

	once sync.Once
	err  error // of open
	d    driver.Driver
	info driver.Info // without what cannot cross the wire
}

func newGRPCServer(o []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))...)
}

func (s *server) register(g *grpc.Server) {
	pb.RegisterPluginServer(g, s)
	pb.RegisterDriverServer(g, s)
}

// Negotiate makes the driver, once.
func (s *server) Negotiate(_ context.Context, r *pb.NegotiateRequest) (*pb.NegotiateResponse, error) {
	answer := &pb.NegotiateResponse{Apis: s.apis}
	if !slices.ContainsFunc(r.GetApis(), func(api int32) bool { return slices.Contains(s.apis, api) }) {
		return answer, nil // the platform will say so
	}
	s.keep.Store(r.GetKeepInstances())
	s.once.Do(func() { s.err = s.make() })
	if s.err != nil {
		return nil, errorTo(s.err)
	}
	return answer, nil
}

func (s *server) make() error {
	d, err := s.open()
	if err != nil {
		return err
	}
	if d == nil {
		return faas.Errorf(component, "open", "", faas.ErrInternal, "the plugin's function returned neither a driver nor an error")
	}
	info, err := d.Info(context.Background())
	if err != nil {
		return errors.Join(err, d.Close())
	}
	info.Contracts = slices.DeleteFunc(slices.Clone(info.Contracts), func(c faas.Contract) bool { return c == faas.ContractHandler })
	if len(info.Contracts) == 0 {
		_ = d.Close()
		return faas.Errorf(component, "open", info.Name, faas.ErrUnimplemented,
			"the driver offers nothing but handlers, which live in one process and cannot be called from another")
	}
	s.d, s.info = d, info
	return nil
}

// driver returns the driver once it is made.
func (s *server) driver(op, key string) (driver.Driver, error) {
	if s.d == nil {
		return nil, errorTo(faas.Errorf(component, op, key, faas.ErrConflict, "a call before Plugin.Negotiate"))
	}
	return s.d, nil
}

// power returns an optional power of the driver, if it declares it.
func power[T any](s *server, declared bool, op, key string) (T, error) {
	p, found := driver.Find[T](s.d)
	if !declared || !found {
		return p, errorTo(unimplemented(s.info.Name, op, key))
	}
	return p, nil
}

func unimplemented(name, op, key string) error {
	return faas.Errorf(component, op, key, faas.ErrUnimplemented, "the driver %q does not have this power", name)
}

func (s *server) GetInfo(ctx context.Context, _ *pb.InfoRequest) (*pb.Info, error) {
	d, err := s.driver("info", "")
	if err != nil {
		return nil, err
	}
	if _, err := d.Info(ctx); err != nil {
		return nil, errorTo(err)
	}
	return infoTo(s.info), nil
}

func (s *server) Start(stream grpc.ClientStreamingServer[pb.StartRequest, pb.StartResponse]) error {
	d, err := s.driver("start", "")
	if err != nil {
		return err
	}
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	t, err := taskFrom(r.GetTask())
	if err == nil {
		err = s.info.Accepts(&t)
	}
	if err != nil {
		return errorTo(err)
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	if r.GetTimeout() != nil {
		left, err := durationFrom("start.timeout", r.GetTimeout())
		if err != nil {
			return errorTo(err)
		}
		ctx, cancel = context.WithTimeout(ctx, left)
		defer cancel()
	}
	go func() { // ends with the call
		_, _ = stream.Recv()
		cancel()
	}()
	st, err := d.Start(ctx, t)
	if err != nil {
		return errorTo(err)
	}
	answer := &pb.StartResponse{Status: statusTo(st)}
	if rec, ok := driver.Find[driver.Recoverer](d); ok && s.info.Recover {
		if h, err := rec.Handle(context.WithoutCancel(ctx), t.ID); err == nil {
			answer.Handle = handleTo(h)
		}
	}
	if stream.Context().Err() == nil {
		if err = stream.SendAndClose(answer); err == nil {
			return nil
		}
	}
	return errorTo(errors.Join(err, d.Stop(context.WithoutCancel(ctx), t.ID, 0))) // nobody is left to want it
}

func (s *server) Stop(ctx context.Context, r *pb.StopRequest) (*pb.StopResponse, error) {
	d, err := s.driver("stop", r.GetId())
	if err != nil {
		return nil, err
	}
	grace, err := durationFrom("stop.grace", r.GetGrace())
	if err == nil {
		err = d.Stop(ctx, r.GetId(), grace)
	}
	return &pb.StopResponse{}, errorTo(err)
}

func (s *server) List(_ *pb.ListRequest, stream grpc.ServerStreamingServer[pb.ListResponse]) error {
	d, err := s.driver("list", "")
	if err != nil {
		return err
	}
	all, err := d.List(stream.Context())
	if err != nil {
		return errorTo(err)
	}
	batch := &pb.ListResponse{}
	size := 0
	for _, st := range all {
		m := statusTo(st)
		if n := proto.Size(m); size+n > maxMessage/2 {
			if err := stream.Send(batch); err != nil {
				return err
			}
			batch, size = &pb.ListResponse{}, 0
		}
		batch.Tasks = append(batch.Tasks, m)
		size += proto.Size(m)
	}
	return stream.Send(batch)
}

func (s *server) Watch(_ *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	d, err := s.driver("watch", "")
	if err != nil {
		return err
	}
	s.streams.add(1)
	defer s.streams.add(-1)
	for st, err := range d.Watch(stream.Context()) {
		if err != nil {
			return errorTo(err)
		}
		if err := stream.Send(&pb.WatchResponse{Status: statusTo(st)}); err != nil {
			return err
		}
	}
	return errorTo(faas.Errorf(component, "watch", s.info.Name, faas.ErrInternal, "the driver's Watch ended without an error"))
}

func (s *server) Close(context.Context, *pb.CloseRequest) (*pb.CloseResponse, error) {
	d, err := s.driver("close", "")
	if err != nil {
		return nil, err
	}
	err = d.Close()
	s.streams.settle(time.Second) // so that their ends are told before that of the driver
	return &pb.CloseResponse{}, errorTo(err)
}

// streams counts those that are open.
type streams struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when there are none; nil while nobody waits
}

func (s *streams) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n += n; s.n == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// settle returns when there are none, or after most.
func (s *streams) settle(most time.Duration) {
	s.mu.Lock()
	if s.n > 0 && s.none == nil {
		s.none = make(chan struct{})
	}
	none := s.none
	s.mu.Unlock()
	if none == nil {
		return
	}
	select {
	case <-none:
	case <-time.After(most):
	}
}

func (s *server) Logs(r *pb.LogsRequest, stream grpc.ServerStreamingServer[pb.LogLine]) error {
	if _, err := s.driver("logs", r.GetId()); err != nil {
		return err
	}
	src, err := power[driver.LogSource](s, s.info.Logs, "logs", r.GetId())
	if err != nil {
		return err
	}
	s.streams.add(1)
	defer s.streams.add(-1)
	for l, err := range src.Logs(stream.Context(), r.GetId(), driver.LogOptions{Tail: int(r.GetTail()), Follow: r.GetFollow()}) {
		if err != nil {
			return errorTo(err)
		}
		m := lineTo(l)
		if len(m.Text) > maxMessage/2 {
			m.Text, m.Truncated = m.Text[:maxMessage/2], true
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) Recover(stream grpc.ClientStreamingServer[pb.RecoverRequest, pb.RecoverResponse]) error {
	if _, err := s.driver("recover", ""); err != nil {
		return err
	}
	rec, err := power[driver.Recoverer](s, s.info.Recover, "recover", "")
	if err != nil {
		return err
	}
	var owner string
	var known []driver.Handle
	for first := true; ; first = false {
		r, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if first {
			owner = r.GetOwner()
		}
		for _, h := range r.GetKnown() {
			known = append(known, handleFrom(h))
		}
	}
	found, err := rec.Recover(stream.Context(), owner, known)
	if err != nil {
		return errorTo(err)
	}
	return stream.SendAndClose(recoveryTo(found))
}

func (s *server) GetHandle(ctx context.Context, r *pb.HandleRequest) (*pb.Handle, error) {
	if _, err := s.driver("handle", r.GetId()); err != nil {
		return nil, err
	}
	rec, err := power[driver.Recoverer](s, s.info.Recover, "handle", r.GetId())
	if err != nil {
		return nil, err
	}
	h, err := rec.Handle(ctx, r.GetId())
	return handleTo(h), errorTo(err)
}

func (s *server) Pause(ctx context.Context, r *pb.PauseRequest) (*pb.PauseResponse, error) {
	p, err := s.pauser("pause", r.GetId())
	if err != nil {
		return nil, err
	}
	return &pb.PauseResponse{}, errorTo(p.Pause(ctx, r.GetId()))
}

func (s *server) Resume(ctx context.Context, r *pb.ResumeRequest) (*pb.ResumeResponse, error) {
	p, err := s.pauser("resume", r.GetId())
	if err != nil {
		return nil, err
	}
	return &pb.ResumeResponse{}, errorTo(p.Resume(ctx, r.GetId()))
}

func (s *server) pauser(op, id string) (driver.Pauser, error) {
	if _, err := s.driver(op, id); err != nil {
		return nil, err
	}
	return power[driver.Pauser](s, s.info.Pause, op, id)
}

func (s *server) GetStats(ctx context.Context, r *pb.StatsRequest) (*pb.Stats, error) {
	if _, err := s.driver("stats", r.GetId()); err != nil {
		return nil, err
	}
	src, err := power[driver.StatsSource](s, s.info.Stats, "stats", r.GetId())
	if err != nil {
		return nil, err
	}
	st, err := src.Stats(ctx, r.GetId())
	return statsTo(st), errorTo(err)
}

// closeWithin closes the driver, if there is one, for at most that long.
func (s *server) closeWithin(budget time.Duration) {
	s.once.Do(func() { s.err = faas.Errorf(component, "open", "", faas.ErrClosed, "the plugin was shut down") })
	if s.d == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.d.Close()
	}()
	select {
	case <-done:
	case <-time.After(budget):
	}
}
