package dockerdriver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

// handleFormat is that of handleState. An older one stays readable.
const handleFormat = 1

// handleState is what a handle holds beside the container's own label.
type handleState struct {
	Container string    `json:"container"`
	Ready     time.Time `json:"ready"`
}

// ownersRoot is the directory of an owner's instances: the same for all drivers of that owner.
func (d *Driver) ownersRoot(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return filepath.Join(d.cfg.Dir, "joinery-docker-"+hex.EncodeToString(sum[:5]))
}

// lockRoot makes the directory and holds it while this process lives; another driver that holds it is
// ErrUnavailable, as it may be about to end.
func lockRoot(root string) (*os.File, error) {
	fail := func(class error, err error) error {
		return faas.Errorf(component, "recover", root, class, "%w", err)
	}
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fail(faas.ErrInternal, err)
	}
	f, err := os.OpenFile(root, os.O_RDONLY, 0)
	if err != nil {
		return nil, fail(faas.ErrInternal, err)
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fail(faas.ErrUnavailable, errors.New("another driver of that owner lives"))
		}
		return nil, fail(faas.ErrInternal, err)
	}
	return f, nil
}

// Recover implements driver.Recoverer. The mark of an owner is the label joinery.owner.
func (d *Driver) Recover(ctx context.Context, owner string, known []driver.Handle) (driver.Recovery, error) {
	none := driver.Recovery{}
	if err := faas.ValidateName("owner", owner); err != nil {
		return none, err
	}
	handles := map[string]driver.Handle{}
	for _, h := range known {
		if _, twice := handles[h.ID]; twice {
			return none, faas.Errorf(component, "recover", h.ID, faas.ErrInvalidArgument, "two handles have this id")
		}
		handles[h.ID] = h
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.ctx.Err() != nil:
		return none, closedError("recover", owner)
	case d.owned:
		return none, faas.Errorf(component, "recover", owner, faas.ErrConflict, "it was called before")
	case d.root != "":
		return none, faas.Errorf(component, "recover", owner, faas.ErrConflict, "a task was started before")
	}
	// Nothing else can happen to this driver before its tasks are known, so mu is held.
	found, err := d.adopt(ctx, owner, handles)
	if err != nil {
		if d.lock != nil {
			_ = d.lock.Close()
		}
		d.lock, d.root, d.mark = nil, "", ""
		clear(d.tasks)
		clear(d.byID)
		return none, engineError(ctx, "recover", owner, err)
	}
	d.owned = true
	for _, i := range d.tasks {
		d.feed.Publish(i.status)
	}
	d.work.Go(d.observe)
	return found, nil
}

// adopt takes over what the owner's last driver has left. The caller holds mu.
func (d *Driver) adopt(ctx context.Context, owner string, handles map[string]driver.Handle) (r driver.Recovery, err error) {
	if err := os.MkdirAll(d.cfg.Dir, 0o755); err != nil {
		return r, err
	}
	root := d.ownersRoot(owner)
	if d.lock, err = lockRoot(root); err != nil {
		return r, err
	}
	d.root, d.mark = root, owner
	all, err := d.marked(ctx)
	if err != nil {
		return r, err
	}
	there := map[string]listed{} // by the task's id
	for _, c := range all {
		var rec record
		_ = json.Unmarshal([]byte(c.Labels[labelTask]), &rec)
		if h, ok := handles[rec.ID]; ok && d.is(h, c.ID) {
			there[rec.ID] = c
			continue
		}
		if err := d.removeContainer(ctx, c.ID); err != nil {
			return r, err
		}
		stray := rec.ID
		if stray == "" {
			stray = c.ID
		}
		r.Strays = append(r.Strays, stray)
	}
	for id, h := range handles {
		err := h.Validate(d.info.Name)
		if err == nil {
			err = d.take(ctx, h, there[id].ID)
		}
		var own *faas.Error
		switch {
		case err == nil:
			r.Adopted = append(r.Adopted, id)
			continue
		case !errors.As(err, &own):
			return r, err
		}
		r.Lost = append(r.Lost, driver.Loss{ID: id, Err: err})
		if c, ok := there[id]; ok {
			if err := d.removeContainer(ctx, c.ID); err != nil {
				return r, err
			}
		}
	}
	slices.Sort(r.Adopted)
	return r, d.tidy()
}

// is reports whether the handle is about the container.
func (d *Driver) is(h driver.Handle, container string) bool {
	var s handleState
	return json.Unmarshal(h.State, &s) == nil && s.Container == container
}

// take adopts one container. An *faas.Error says why it cannot be adopted. The caller holds mu.
func (d *Driver) take(ctx context.Context, h driver.Handle, id string) error {
	lost := func(class error, format string, args ...any) error {
		return faas.Errorf(component, "recover", h.ID, class, format, args...)
	}
	if h.Format != handleFormat {
		return lost(faas.ErrUnimplemented, "the handle's format %d is not one of %d", h.Format, handleFormat)
	}
	var s handleState
	if err := json.Unmarshal(h.State, &s); err != nil || s.Container == "" || s.Ready.IsZero() {
		return lost(faas.ErrCorrupt, "the handle cannot be read")
	}
	if id == "" {
		return lost(faas.ErrNotFound, "the engine has no such container of this owner any more")
	}
	c, err := d.inspect(ctx, id)
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal([]byte(c.Config.Labels[labelTask]), &r); err != nil || r.ID != h.ID || !isDirName(r.Dir) {
		return lost(faas.ErrCorrupt, "the container's label is not this task's")
	}
	i := newInstance(d, driver.Status{ID: r.ID, State: driver.StateRunning, Labels: r.Labels, Started: r.Started, Ready: s.Ready,
		Endpoint: driver.Endpoint{Network: "unix", Address: d.socket(r.Dir)}})
	i.container, i.dir, i.limited, i.paused = id, r.Dir, r.Limited, c.State.Paused
	if r.Contract == faas.ContractHTTP {
		i.status.Endpoint = driver.Endpoint{Network: "tcp"}
		for _, n := range c.NetworkSettings.Networks {
			i.status.Endpoint.Address = net.JoinHostPort(n.IPAddress, strconv.Itoa(httpPort))
		}
	}
	exit, err := i.exit(ctx)
	if err != nil {
		return err
	}
	if exit != nil {
		i.status.State, i.status.Exit = driver.StateEnded, exit
		close(i.ended)
	}
	d.tasks[r.ID], d.byID[id] = i, i
	return nil
}

// isDirName reports whether s can be the name of a private directory; empty for none.
func isDirName(s string) bool {
	return strings.Trim(s, "0123456789") == "" && len(s) <= 20
}

// tidy removes the private directories that no adopted instance has. The caller holds mu.
func (d *Driver) tidy() error {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, i := range d.tasks {
		used[i.dir] = true
	}
	for _, e := range entries {
		if !used[e.Name()] {
			if err := os.RemoveAll(d.dirOf(e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Handle implements driver.Recoverer.
func (d *Driver) Handle(ctx context.Context, id string) (driver.Handle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, err := d.find("handle", id)
	if err != nil {
		return driver.Handle{}, err
	}
	state, err := json.Marshal(handleState{Container: i.container, Ready: i.status.Ready})
	if err != nil {
		return driver.Handle{}, faas.Errorf(component, "handle", id, faas.ErrInternal, "%w", err)
	}
	return driver.Handle{ID: id, Driver: d.info.Name, Format: handleFormat, State: state}, nil
}
