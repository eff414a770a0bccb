package drivertest

import (
	"errors"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/orchestrator/driver"
)

func manyClauses() []clause {
	return []clause{
		{"hammer", manyHammer},
		{"distinct-endpoints", manyEndpoints},
	}
}

// manyHammer starts, calls and stops from many goroutines, some of them under ids that
// others use too, while others list and watch.
func manyHammer(f *fixture) {
	const workers, rounds = 8, 4
	keep := f.serve()
	w := f.watch()
	shared := f.task(Serve)
	own := make([][]driver.Task, workers)
	for i := range own {
		for range rounds {
			own[i] = append(own[i], f.task(Serve))
		}
	}
	var wg sync.WaitGroup
	for _, tasks := range own {
		wg.Go(func() {
			for _, t := range tasks {
				f.serves(f.start(t))
				f.stop(t.ID, 0)
			}
		})
		wg.Go(func() {
			for range rounds {
				_, err := f.d.Start(f.ctx, shared)
				if err != nil && !errors.Is(err, faas.ErrAlreadyExists) {
					f.Errorf("Start of a shared id: %v", err)
				}
				_ = f.list()
				if err := f.d.Stop(f.ctx, shared.ID, 0); err != nil && !errors.Is(err, faas.ErrNotFound) {
					f.Errorf("Stop of a shared id: %v", err)
				}
			}
		})
	}
	f.within("the hammer", wg.Wait)
	if err := f.d.Stop(f.ctx, shared.ID, 0); err != nil && !errors.Is(err, faas.ErrNotFound) {
		f.Errorf("Stop of a shared id: %v", err)
	}
	for _, tasks := range own {
		for _, t := range tasks {
			w.waitState(t.ID, driver.StateGone)
		}
	}
	f.serves(keep)
	f.stop(keep.ID, patience)
	f.nothingLeft("after the hammer")
}

// manyEndpoints: instances of one program do not answer for each other.
func manyEndpoints(f *fixture) {
	seen := map[driver.Endpoint]string{}
	for range 5 {
		st := f.serve()
		if other, taken := seen[st.Endpoint]; taken {
			f.Errorf("%s and %s have the endpoint %+v", st.ID, other, st.Endpoint)
		}
		seen[st.Endpoint] = st.ID
	}
}
