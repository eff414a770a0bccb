package flow

import (
	"path/filepath"

	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/pebblestore"
)

// openStore opens the durable store that is measured, below the directory.
func openStore(dir string) (workflow.Store, error) {
	return pebblestore.Open(pebblestore.Config{Dir: filepath.Join(dir, "workflows")})
}
