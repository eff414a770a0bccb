package builder

// Present is the number of builds running and waiting.
func Present(p *Pipeline) int64 { return p.present.Load() }
