package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTallyCountsInnermostSubtests(t *testing.T) {
	got := tally(map[string]map[string]string{
		"github.com/joinery/faas/registry/memregistry": {
			"TestConformance":               "fail",
			"TestConformance/publish":       "fail",
			"TestConformance/publish/first": "pass",
			"TestConformance/publish/again": "fail",
			"TestConformance/durability":    "skip",
			"TestConformanceInVirtualTime":  "pass",
		},
	})
	require.Equal(t, map[position]result{
		{"registry/memregistry", "direct"}:          {passed: 1, skipped: 1, failed: 1},
		{"registry/memregistry", "in virtual time"}: {passed: 1},
	}, got)
}
