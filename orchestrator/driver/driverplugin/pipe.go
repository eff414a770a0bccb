package driverplugin

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// Pipe returns d as a platform sees it through a plugin, but within one process:
// everything crosses the wire, and nothing is executed or supervised. It is for the tests of
// drivers and for looking at one in a debugger. Close closes d too.
//
// Errors: those of d.Info, and ErrUnimplemented when d offers nothing but handlers.
func Pipe(ctx context.Context, d driver.Driver) (driver.Driver, error) {
	l := bufconn.Listen(64 << 10)
	s := &server{apis: ours, open: func() (driver.Driver, error) { return d, nil }}
	g := newGRPCServer([]grpc.ServerOption{grpc.WaitForHandlers(true)})
	s.register(g)
	go func() { _ = g.Serve(l) }() // until the pipe is closed
	conn, err := grpc.NewClient("passthrough:pipe", append(dialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))...)
	if err != nil {
		g.Stop()
		return nil, faas.Errorf(component, "open", "pipe", faas.ErrInternal, "%w", err)
	}
	r := &remote{name: "pipe", rpc: pb.NewDriverClient(conn), conn: pipe{conn, g}}
	if err = negotiate(ctx, r.name, pb.NewPluginClient(conn), ours, false); err == nil {
		r.info, err = r.Info(ctx)
	}
	if err != nil {
		_ = r.conn.Close()
		return nil, err
	}
	return r, nil
}

// pipe is both ends of a connection.
type pipe struct {
	conn *grpc.ClientConn
	g    *grpc.Server
}

func (p pipe) Close() error {
	err := p.conn.Close()
	p.g.Stop() // waits for the handlers
	return err
}

// dialOptions bound the messages; go-plugin's own bound is 2 GiB.
func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))}
}
