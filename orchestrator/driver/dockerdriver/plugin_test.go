package dockerdriver_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/testfunction/testcall"
	"github.com/joinery/faas/orchestrator/driver"
	"github.com/joinery/faas/orchestrator/driver/driverplugin"
)

// TestThePluginDies: its containers serve on, the next plugin adopts them, and Close leaves nothing.
func TestThePluginDies(t *testing.T) {
	t.Parallel()
	needEngine(t)
	dir := shortDir(t)
	p, err := driverplugin.Open(ctx(t), plugin(t), &driverplugin.Options{Env: []string{"JOINERY_DOCKER_DIR=" + dir}})
	require.NoError(t, err)
	defer func() { assert.NoError(t, p.Close()) }()
	st := start(t, p, task(t, "i1", faas.ContractSocket))
	paused := start(t, p, task(t, "i2", faas.ContractSocket))
	require.NoError(t, p.Pause(ctx(t), "i2"))
	pid := testcall.MustGet(t, st.Endpoint, "/pid")
	require.NoError(t, syscall.Kill(p.Health().PID, syscall.SIGKILL))
	assert.Equal(t, pid, testcall.MustGet(t, st.Endpoint, "/pid"), "the plugin is not on the data path")
	require.Eventually(t, func() bool { h := p.Health(); return h.Healthy && h.Restarts == 1 }, limit, time.Millisecond)
	third := start(t, p, task(t, "i3", faas.ContractSocket)) // by the next plugin
	await(t, p, "all are there", func(all []driver.Status) bool { return len(all) == 3 })
	require.NoError(t, p.Resume(ctx(t), "i2"))
	for _, e := range []driver.Endpoint{st.Endpoint, paused.Endpoint, third.Endpoint} {
		testcall.MustGet(t, e, "/pid")
	}
	_, _ = testcall.Get(t, st.Endpoint, "/exit?code=4")
	await(t, p, "the end of an adopted instance", ended("i1"))
	dirs, err := filepath.Glob(dir + "/*/*")
	require.NoError(t, err)
	assert.Len(t, dirs, 3)
}

// TestThePluginsEnvironment: what is wrong with it is said by Open.
func TestThePluginsEnvironment(t *testing.T) {
	t.Parallel()
	path := plugin(t)
	for env, class := range map[string]error{"JOINERY_DOCKER_PULL=sometimes": faas.ErrInvalidArgument,
		"DOCKER_HOST=tcp://elsewhere:1": faas.ErrInvalidArgument, "DOCKER_HOST=unix:///no/engine": faas.ErrUnavailable} {
		_, err := driverplugin.Open(ctx(t), path, &driverplugin.Options{Env: []string{env, "TMPDIR=" + os.TempDir()}})
		assert.ErrorIs(t, err, class, env)
	}
}
