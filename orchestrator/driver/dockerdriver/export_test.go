package dockerdriver

// Die ends what the driver does, as the end of its process would, and leaves its containers.
func Die(d *Driver) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancel()
	d.work.Wait() // nothing of the tests' drivers is under way
	_ = d.lock.Close()
	d.engine.close()
	close(d.closed)
	d.feed.Close()
}

// SplitFrames is splitFrames.
var SplitFrames = splitFrames
