package kit

import (
	"reflect"
	"testing"
	"time"

	"github.com/joinery/faas"
)

// WantSame checks that two records are the same, the time zone of the time that created returns aside.
func WantSame[T any](tb testing.TB, what string, got, want T, created func(*T) *time.Time) {
	tb.Helper()
	if g, w := created(&got), created(&want); !g.Equal(*w) {
		tb.Errorf("%s: created %v, want %v", what, *g, *w)
	}
	*created(&got) = *created(&want)
	if !reflect.DeepEqual(got, want) {
		tb.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// WantNumber checks the version that a reference names.
func WantNumber(tb testing.TB, what string, ref faas.Ref, version string) {
	tb.Helper()
	if ref.Version != version {
		tb.Errorf("%s: version %q, want %q", what, ref.Version, version)
	}
}
