package driverplugin

import (
	"context"
	"errors"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// handshake is frozen: it says that a program is a driver plugin, and nothing else. What
// changes with time is negotiated by Plugin.Negotiate.
func handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "FAAS_DRIVER",
		MagicCookieValue: "7c1f0a86-33d5-4a0b-b1a5-6e2a35f8c1d2"}
}

// socketDirPrefix begins the name of the directory that the host makes for a plugin's socket.
const socketDirPrefix = "joinery-plugin-"

// wire is how go-plugin is told of the services; s is nil on the host's side.
type wire struct {
	plugin.NetRPCUnsupportedPlugin
	s *server
}

func (w wire) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	w.s.register(g)
	return nil
}

func (w wire) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported // the host uses the connection itself
}
