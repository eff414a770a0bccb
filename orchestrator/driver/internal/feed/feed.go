// Package feed is the former place of driver.Feed.
package feed

import "github.com/joinery/faas/orchestrator/driver"

// Feed is driver.Feed.
type Feed = driver.Feed
