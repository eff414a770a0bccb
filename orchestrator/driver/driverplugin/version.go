package driverplugin

import (
	"context"
	"fmt"
	"slices"

	"github.com/joinery/faas"
	pb "github.com/joinery/faas/orchestrator/driver/driverplugin/driverpb"
)

// ours are the APIs that this package speaks, on either side.
var ours = []int32{1}

// VersionError says that a platform and a plugin have no API in common. It is the Err of a
// *faas.Error of class ErrUnimplemented:
//
//	var skew *driverplugin.VersionError
//	if errors.As(err, &skew) { ... skew.Upgrade() ... }
type VersionError struct {
	// Host and Plugin are the APIs that each side speaks, in order.
	Host, Plugin []int
}

// Upgrade names the side to upgrade: "plugin" or "host".
func (e *VersionError) Upgrade() string {
	if len(e.Host) > 0 && len(e.Plugin) > 0 && slices.Max(e.Plugin) > slices.Max(e.Host) {
		return "host"
	}
	return "plugin"
}

// Error says what each side speaks.
func (e *VersionError) Error() string {
	return fmt.Sprintf("no common API: the host speaks %v, the plugin %v", e.Host, e.Plugin)
}

// negotiate agrees on an API, makes the plugin's driver and returns it.
func negotiate(ctx context.Context, name string, plugin pb.PluginClient, host []int32, keep bool) error {
	answer, err := plugin.Negotiate(ctx, &pb.NegotiateRequest{Apis: host, KeepInstances: keep})
	if err != nil {
		e, transport := errorFrom(ctx, "open", name, err)
		if transport {
			e = brokenError{e}
		}
		return e
	}
	for _, api := range answer.GetApis() {
		if slices.Contains(host, api) { // there is one API yet, so there is nothing to choose
			return nil
		}
	}
	skew := &VersionError{Host: ints(host), Plugin: ints(answer.GetApis())}
	e := faas.Errorf(component, "open", name, faas.ErrUnimplemented, "%w", skew)
	e.Next = "upgrade the " + skew.Upgrade()
	return e
}

func ints(from []int32) []int {
	to := make([]int, 0, min(len(from), 100))
	for _, v := range from[:min(len(from), 100)] {
		to = append(to, int(v))
	}
	slices.Sort(to)
	return to
}
