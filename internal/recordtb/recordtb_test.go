package recordtb_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas/internal/recordtb"
)

func TestFailuresAreRecordedAndDoNotReachTheTest(t *testing.T) {
	for name, fail := range map[string]func(testing.TB){
		"error":  func(tb testing.TB) { tb.Error("bad", 1) },
		"errorf": func(tb testing.TB) { tb.Errorf("bad %d", 1) },
		"fatal":  func(tb testing.TB) { tb.Fatal("bad", 1); panic("went on") },
		"fatalf": func(tb testing.TB) { tb.Fatalf("bad %d", 1); panic("went on") },
		"panic":  func(testing.TB) { panic("bad 1") },
	} {
		r := recordtb.Run(t, fail)
		assert.True(t, r.Failed(), name)
		assert.Contains(t, r.Recorded(), "bad 1", name)
		assert.NotContains(t, r.Recorded(), "went on", name)
	}
	for name, fail := range map[string]func(testing.TB){
		"fail":    func(tb testing.TB) { tb.Fail() },
		"failnow": func(tb testing.TB) { tb.FailNow() },
		"cleanup": func(tb testing.TB) { tb.Cleanup(func() { tb.Fatal("late") }) },
	} {
		assert.True(t, recordtb.Run(t, fail).Failed(), name)
	}
}

func TestPassAndSkipAreNotFailures(t *testing.T) {
	r := recordtb.Run(t, func(tb testing.TB) { tb.Helper(); tb.Log("fine") })
	assert.False(t, r.Failed())
	assert.Equal(t, "fine\n", r.Recorded())
	r = recordtb.Run(t, func(tb testing.TB) { tb.Skipf("no %s", "reason"); tb.Error("went on") })
	assert.True(t, r.Skipped())
	assert.False(t, r.Failed())
	assert.False(t, t.Skipped())
}

func TestCleanupsRunLastFirstAfterTheContextEnds(t *testing.T) {
	var order []int
	r := recordtb.Run(t, func(tb testing.TB) {
		ctx := tb.Context()
		tb.Cleanup(func() { order = append(order, 1); assert.Error(t, ctx.Err()) })
		tb.Cleanup(func() {
			tb.Cleanup(func() { order = append(order, 3) })
			order = append(order, 2)
		})
		assert.NoError(t, ctx.Err())
		assert.DirExists(t, tb.TempDir())
		tb.FailNow()
	})
	assert.True(t, r.Failed())
	assert.Equal(t, []int{2, 3, 1}, order)
}

func TestWaitsAreFreeInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recordtb.Run(t, func(tb testing.TB) {
			select {
			case <-tb.Context().Done():
			case <-time.After(time.Hour):
				tb.Error("gave up")
			}
		})
		assert.True(t, r.Failed())
	})
}
