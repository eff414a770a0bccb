package dockerdriver

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/joinery/faas"
)

// privateNetwork is the name of the network that instances of contract http join when Options.Network is
// empty: one for each driver, as the engine lets two who make a network at a time both have their way
// and then calls the name ambiguous.
func (d *Driver) privateNetwork() string { return filepath.Base(d.root) }

// makeNetwork makes the private network: a bridge without a way out, on which instances do not reach
// each other. This machine has an address on it and reaches all of them.
func (d *Driver) makeNetwork(ctx context.Context) error {
	select { // one at a time
	case d.networking <- struct{}{}:
		defer func() { <-d.networking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if d.engine.call(ctx, http.MethodGet, "/networks/"+d.privateNetwork(), nil, nil, nil) == nil {
		return nil // another start has made it
	}
	return d.engine.call(ctx, http.MethodPost, "/networks/create", nil, map[string]any{
		"Name": d.privateNetwork(), "CheckDuplicate": true, "Driver": "bridge", "Internal": true,
		"Options": map[string]string{"com.docker.network.bridge.enable_icc": "false"},
		"Labels":  map[string]string{labelOwner: d.mark, labelDir: d.root},
	}, nil)
}

// networkMissing reports whether err says that the private network is not there.
func (d *Driver) networkMissing(err error) bool {
	text := refusalText(err)
	return strings.Contains(text, "network "+d.privateNetwork()) && strings.Contains(text, "not found")
}

// dropNetwork removes the private network, if there is one.
func (d *Driver) dropNetwork(ctx context.Context) error {
	err := d.engine.call(ctx, http.MethodDelete, "/networks/"+d.privateNetwork(), nil, nil, nil)
	if status(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// address is where a container is reached on its network.
func (d *Driver) address(ctx context.Context, id string) (string, error) {
	c, err := d.inspect(ctx, id)
	if err != nil {
		return "", err
	}
	for _, n := range c.NetworkSettings.Networks {
		if n.IPAddress != "" {
			return n.IPAddress, nil
		}
	}
	if c.State.ended() {
		return "", errEnded
	}
	return "", faas.Errorf(component, "start", id, faas.ErrInternal, "the container has no address on its network")
}
