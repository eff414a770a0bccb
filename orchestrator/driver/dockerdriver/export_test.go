package dockerdriver

// Die ends what the driver does, as the end of its process would, and leaves its containers.
func Die(d *Driver) {
	d.mu.Lock()
	d.cancel()
	d.mu.Unlock()
	d.work.Wait()
	_ = d.lock.Close()
	d.engine.close()
	d.feed.Close()
	close(d.closed)
}

// SplitFrames is splitFrames.
var SplitFrames = splitFrames
