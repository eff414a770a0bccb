package driverplugin

import (
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/clip"
	"github.com/joinery/faas/orchestrator/driver"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

const component = "driver plugin"

// maxMessage bounds a message, in bytes, in both directions.
const maxMessage = 4 << 20

// malformed is the error of a message that breaks the protocol: it names the field.
func malformed(field, format string, args ...any) error {
	return faas.Errorf(component, "decode", field, faas.ErrInternal, format, args...)
}

func timeTo(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeFrom(field string, m *timestamppb.Timestamp) (time.Time, error) {
	if m == nil {
		return time.Time{}, nil
	}
	if err := m.CheckValid(); err != nil {
		return time.Time{}, malformed(field, "%v", err)
	}
	return m.AsTime(), nil
}

func durationTo(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func durationFrom(field string, m *durationpb.Duration) (time.Duration, error) {
	if m == nil {
		return 0, nil
	}
	if err := m.CheckValid(); err != nil {
		return 0, malformed(field, "%v", err)
	}
	return m.AsDuration(), nil // saturates
}

func infoTo(i driver.Info) *pb.Info {
	m := &pb.Info{Name: i.Name, Version: text(i.Version), Isolation: int32(i.Isolation),
		Limits: &pb.LimitSupport{MilliCpu: i.Limits.MilliCPU, Memory: i.Limits.Memory, Pids: i.Limits.Pids,
			Files: i.Limits.Files, FileSize: i.Limits.FileSize},
		Logs: i.Logs, Recover: i.Recover, Images: i.Images, Pause: i.Pause, Stats: i.Stats, NeedsCode: i.NeedsCode}
	for _, c := range i.Contracts {
		m.Contracts = append(m.Contracts, string(c))
	}
	return m
}

func infoFrom(m *pb.Info) (driver.Info, error) {
	i := driver.Info{Name: m.GetName(), Version: m.GetVersion(), Isolation: faas.Isolation(m.GetIsolation()),
		Limits: driver.LimitSupport{MilliCPU: m.GetLimits().GetMilliCpu(), Memory: m.GetLimits().GetMemory(), Pids: m.GetLimits().GetPids(),
			Files: m.GetLimits().GetFiles(), FileSize: m.GetLimits().GetFileSize()},
		Logs: m.GetLogs(), Recover: m.GetRecover(), Images: m.GetImages(), Pause: m.GetPause(), Stats: m.GetStats(), NeedsCode: m.GetNeedsCode()}
	if err := faas.ValidateName("name", i.Name); err != nil {
		return i, malformed("info.name", "%v", err)
	}
	if i.Isolation < faas.IsolationNone || i.Isolation > faas.IsolationVM {
		return i, malformed("info.isolation", "%d is not a level", int(i.Isolation))
	}
	if len(m.GetContracts()) == 0 {
		return i, malformed("info.contracts", "is empty")
	}
	for _, c := range m.GetContracts() {
		if err := faas.ValidateName("contract", c); err != nil {
			return i, malformed("info.contracts", "%v", err)
		}
		if c == string(faas.ContractHandler) {
			return i, malformed("info.contracts", "a %q lives in one process and cannot be called from another", c)
		}
		i.Contracts = append(i.Contracts, faas.Contract(c))
	}
	return i, nil
}

// taskTo fails for labels that a protocol buffer cannot carry.
func taskTo(t *driver.Task) (*pb.Task, error) {
	for k, v := range t.Labels {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, faas.Errorf(component, "start", t.ID, faas.ErrInvalidArgument, "the label %q is not UTF-8", clip.Text(k))
		}
	}
	m := &pb.Task{Id: t.ID, Contract: string(t.Contract), Dir: []byte(t.Dir), Image: t.Image, Isolation: int32(t.Isolation),
		StartTimeout: durationTo(t.StartTimeout), Concurrency: int64(t.Concurrency), Labels: t.Labels,
		Limits: &pb.Resources{MilliCpu: t.Limits.MilliCPU, Memory: t.Limits.Memory, Pids: t.Limits.Pids,
			Files: t.Limits.Files, FileSize: t.Limits.FileSize}}
	for _, v := range t.Command {
		m.Command = append(m.Command, []byte(v))
	}
	for k, v := range t.Env {
		m.Env = append(m.Env, &pb.Variable{Name: []byte(k), Value: []byte(v)})
	}
	return m, nil
}

func taskFrom(m *pb.Task) (driver.Task, error) {
	t := driver.Task{ID: m.GetId(), Contract: faas.Contract(m.GetContract()), Dir: string(m.GetDir()), Image: m.GetImage(),
		Isolation: faas.Isolation(m.GetIsolation()), Concurrency: int(m.GetConcurrency()), Labels: m.GetLabels(),
		Limits: faas.Resources{MilliCPU: m.GetLimits().GetMilliCpu(), Memory: m.GetLimits().GetMemory(), Pids: m.GetLimits().GetPids(),
			Files: m.GetLimits().GetFiles(), FileSize: m.GetLimits().GetFileSize()}}
	for _, v := range m.GetCommand() {
		t.Command = append(t.Command, string(v))
	}
	for _, v := range m.GetEnv() {
		if t.Env == nil {
			t.Env = map[string]string{}
		}
		t.Env[string(v.GetName())] = string(v.GetValue())
	}
	var err error
	t.StartTimeout, err = durationFrom("task.start_timeout", m.GetStartTimeout())
	return t, err
}

func statusTo(s driver.Status) *pb.Status {
	m := &pb.Status{Id: s.ID, State: string(s.State), Labels: s.Labels, Started: timeTo(s.Started), Ready: timeTo(s.Ready),
		Endpoint: &pb.Endpoint{Network: s.Endpoint.Network, Address: s.Endpoint.Address}}
	if e := s.Exit; e != nil {
		m.Exit = &pb.Exit{Reason: string(e.Reason), Code: int64(e.Code), Signal: e.Signal, Detail: text(e.Detail)}
	}
	return m
}

// statusFrom checks all that a reader of a status relies on.
func statusFrom(m *pb.Status) (driver.Status, error) {
	s := driver.Status{ID: m.GetId(), State: driver.State(m.GetState()), Labels: m.GetLabels(),
		Endpoint: driver.Endpoint{Network: m.GetEndpoint().GetNetwork(), Address: m.GetEndpoint().GetAddress()}}
	if err := faas.ValidateName("id", s.ID); err != nil {
		return s, malformed("status.id", "%v", err)
	}
	switch s.State {
	case driver.StateRunning, driver.StateEnded, driver.StateGone:
	default:
		return s, malformed("status.state", "%q is not a state", clip.Text(m.GetState()))
	}
	switch s.Endpoint.Network {
	case "unix", "tcp":
	default:
		return s, malformed("status.endpoint.network", "%q is neither \"unix\" nor \"tcp\"", clip.Text(s.Endpoint.Network))
	}
	if s.Endpoint.Address == "" {
		return s, malformed("status.endpoint.address", "is empty")
	}
	var err error
	if s.Started, err = timeFrom("status.started", m.GetStarted()); err != nil {
		return s, err
	}
	if s.Ready, err = timeFrom("status.ready", m.GetReady()); err != nil {
		return s, err
	}
	e := m.GetExit()
	if (e == nil) != (s.State == driver.StateRunning) {
		return s, malformed("status.exit", "a task that is %s has an exit: %v", s.State, e != nil)
	}
	if e == nil {
		return s, nil
	}
	s.Exit = &driver.Exit{Reason: driver.ExitReason(e.GetReason()), Code: int(e.GetCode()), Signal: e.GetSignal(), Detail: e.GetDetail()}
	switch s.Exit.Reason {
	case driver.ExitStopped, driver.ExitExited, driver.ExitSignaled, driver.ExitOutOfMemory, driver.ExitLost:
	default:
		return s, malformed("status.exit.reason", "%q is not a reason", clip.Text(e.GetReason()))
	}
	return s, nil
}

func lineTo(l driver.LogLine) *pb.LogLine {
	return &pb.LogLine{Time: timeTo(l.Time), Stream: l.Stream, Text: []byte(l.Text), Truncated: l.Truncated, Dropped: l.Dropped}
}

func lineFrom(m *pb.LogLine) (driver.LogLine, error) {
	l := driver.LogLine{Stream: m.GetStream(), Text: string(m.GetText()), Truncated: m.GetTruncated(), Dropped: m.GetDropped()}
	if l.Stream != "stdout" && l.Stream != "stderr" {
		return l, malformed("line.stream", "%q is neither \"stdout\" nor \"stderr\"", clip.Text(l.Stream))
	}
	if l.Dropped < 0 {
		return l, malformed("line.dropped", "is negative")
	}
	var err error
	l.Time, err = timeFrom("line.time", m.GetTime())
	return l, err
}

func handleTo(h driver.Handle) *pb.Handle {
	return &pb.Handle{Id: h.ID, Driver: h.Driver, Format: int64(h.Format), State: h.State}
}

// handleFrom does not judge: a handle may have come from a damaged store, and the driver says so.
func handleFrom(m *pb.Handle) driver.Handle {
	return driver.Handle{ID: m.GetId(), Driver: m.GetDriver(), Format: int(m.GetFormat()), State: m.GetState()}
}

func statsTo(s driver.Stats) *pb.Stats {
	return &pb.Stats{Cpu: durationTo(s.CPU), Memory: s.Memory, Pids: s.Pids}
}

func statsFrom(m *pb.Stats) (driver.Stats, error) {
	cpu, err := durationFrom("stats.cpu", m.GetCpu())
	return driver.Stats{CPU: cpu, Memory: m.GetMemory(), Pids: m.GetPids()}, err
}

// text makes a text for people fit for a protocol buffer.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func recoveryTo(r driver.Recovery) *pb.RecoverResponse {
	m := &pb.RecoverResponse{Adopted: r.Adopted}
	for _, s := range r.Strays {
		m.Strays = append(m.Strays, text(s))
	}
	for _, l := range r.Lost {
		p := packer{text: 1 << 10, nodes: 8}
		m.Lost = append(m.Lost, &pb.Loss{Id: text(l.ID), Error: p.pack(l.Err)})
	}
	return m
}

func recoveryFrom(m *pb.RecoverResponse) driver.Recovery {
	r := driver.Recovery{Adopted: m.GetAdopted(), Strays: m.GetStrays()}
	for _, l := range m.GetLost() {
		r.Lost = append(r.Lost, driver.Loss{ID: l.GetId(), Err: unpack(l.GetError())})
	}
	return r
}
