package imagebuilder

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/joinery/faas"
)

// Engine is the Docker Engine on this machine, which runs what it has without a registry.
type Engine struct {
	// Host is where it listens. Empty: "unix:///var/run/docker.sock".
	Host string
	// Prefix begins the images' names. Empty: "joinery-functions".
	Prefix string
}

// Put implements Target. The tag is made of the image's digest, so that it always means this image.
func (e Engine) Put(ctx context.Context, repository string, img v1.Image) (string, error) {
	socket, ok := strings.CutPrefix(e.Host, "unix://")
	if e.Host == "" {
		socket, ok = "/var/run/docker.sock", true
	}
	if !ok {
		return "", faas.Errorf(component, "load", e.Host, faas.ErrInvalidArgument, `the engine's address is not "unix://" and a path`)
	}
	prefix := e.Prefix
	if prefix == "" {
		prefix = "joinery-functions"
	}
	ref, err := content(prefix+"/"+repository, img)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	read, write := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = write.CloseWithError(tarball.Write(ref, img, write))
	}()
	defer func() {
		_ = read.Close()
		<-written
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://docker/v1.41/images/load?quiet=1", read)
	if err != nil {
		return "", failed("load", ref.Name(), err)
	}
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := client.Do(req)
	if err != nil {
		return "", reachError(ctx, "load", ref.Name(), err)
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var said struct{ Message, Error string }
		err := dec.Decode(&said)
		switch text := said.Message + said.Error; {
		case strings.Contains(text, "no space left"):
			return "", faas.Errorf(component, "load", ref.Name(), faas.ErrExhausted, "the engine: %s", text)
		case text != "" || resp.StatusCode != http.StatusOK:
			return "", faas.Errorf(component, "load", ref.Name(), faas.ErrInternal, "the engine: %s %s", resp.Status, text)
		case errors.Is(err, io.EOF):
			return ref.RepositoryStr() + ":" + ref.TagStr(), nil
		case err != nil:
			return "", reachError(ctx, "load", ref.Name(), err)
		}
	}
}

// content names an image by what it is.
func content(repository string, img v1.Image) (name.Tag, error) {
	digest, err := img.Digest()
	if err != nil {
		return name.Tag{}, failed("build", repository, err)
	}
	ref, err := name.NewTag(repository + ":" + digest.Hex[:32])
	if err != nil {
		return ref, faas.Errorf(component, "build", repository, faas.ErrInvalidArgument, "%w", err)
	}
	return ref, nil
}

// Registry is an OCI registry.
type Registry struct {
	// Repository begins the images' names: "registry.example:5000/functions". Required.
	Repository string
	// Auth proves who we are. Nil: nobody.
	Auth authn.Authenticator
	// Transport is for the connections. Nil: http.DefaultTransport.
	Transport http.RoundTripper
}

// Put implements Target. The reference is by digest.
func (r Registry) Put(ctx context.Context, repository string, img v1.Image) (string, error) {
	if r.Repository == "" {
		return "", faas.Errorf(component, "push", "Repository", faas.ErrInvalidArgument, "is empty")
	}
	ref, err := content(r.Repository+"/"+repository, img)
	if err != nil {
		return "", err
	}
	o := []remote.Option{remote.WithContext(ctx), remote.WithUserAgent("joinery")}
	if r.Auth != nil {
		o = append(o, remote.WithAuth(r.Auth))
	}
	if r.Transport != nil {
		o = append(o, remote.WithTransport(r.Transport))
	}
	if err := remote.Write(ref, img, o...); err != nil {
		return "", reachError(ctx, "push", ref.Name(), err)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", failed("push", ref.Name(), err)
	}
	return ref.Context().Name() + "@" + digest.String(), nil
}

// reachError classes an error of engine or registry.
func reachError(ctx context.Context, op, key string, err error) error {
	if ctx.Err() != nil {
		return faas.ContextError(ctx, component, op, key)
	}
	class := faas.ErrUnavailable
	var answer *transport.Error
	if errors.As(err, &answer) {
		switch s := answer.StatusCode; {
		case s == http.StatusUnauthorized || s == http.StatusForbidden:
			class = faas.ErrDenied
		case s == http.StatusNotFound:
			class = faas.ErrNotFound
		case s < 500:
			class = faas.ErrInternal
		}
	}
	return faas.Errorf(component, op, key, class, "%w", err)
}
