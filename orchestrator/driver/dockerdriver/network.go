package dockerdriver

import (
	"context"
	"net/http"
	"strings"

	"github.com/joinery/faas"
)

// privateNetwork is what instances of contract http join when Options.Network is empty. All drivers
// on an engine share it; it is made when it is missing and removed by who is the last to close.
const privateNetwork = "joinery-private"

// makeNetwork makes the private network: a bridge without a way out, on which instances do not reach
// each other. This machine has an address on it and reaches all of them.
func (d *Driver) makeNetwork(ctx context.Context) error {
	err := d.engine.call(ctx, http.MethodPost, "/networks/create", nil, map[string]any{
		"Name": privateNetwork, "CheckDuplicate": true, "Driver": "bridge", "Internal": true,
		"Options": map[string]string{"com.docker.network.bridge.enable_icc": "false"},
		"Labels":  map[string]string{labelOwner: "*"},
	}, nil)
	if status(err) == http.StatusConflict {
		return nil // somebody else has just made it
	}
	return err
}

// networkMissing reports whether err says that the private network is not there.
func networkMissing(err error) bool {
	text := refusalText(err)
	return strings.Contains(text, "network") && strings.Contains(text, privateNetwork) && strings.Contains(text, "not found")
}

// dropNetwork removes the private network unless somebody uses it.
func (d *Driver) dropNetwork(ctx context.Context) {
	_ = d.engine.call(ctx, http.MethodDelete, "/networks/"+privateNetwork, nil, nil, nil)
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
		return "", nil // its end says more
	}
	return "", faas.Errorf(component, "start", id, faas.ErrInternal, "the container has no address on its network")
}
