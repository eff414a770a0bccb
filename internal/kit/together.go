package kit

import "sync"

// Together runs f for 0 to n-1, each in a goroutine, all of which begin at once, and waits for them.
func Together(n int, f func(i int)) {
	var wg sync.WaitGroup
	gun := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-gun
			f(i)
		})
	}
	close(gun)
	wg.Wait()
}
