package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"sync"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// source reads the large payloads of one execution: those that are on their way to the store, and
// those that are there.
type source struct {
	store  workflow.Store
	ref    workflow.ExecutionRef
	inHand int

	mu    sync.Mutex
	ahead map[faas.Digest][]byte
}

// Payload implements workflow.PayloadSource.
func (s *source) Payload(ctx context.Context, d faas.Digest) ([]byte, error) {
	s.mu.Lock()
	data, ok := s.ahead[d]
	s.mu.Unlock()
	if ok {
		return data, nil
	}
	return s.store.Payload(ctx, s.ref, d)
}

// keep returns the payload as an event holds it: in hand if it is small, else by reference.
func (s *source) keep(p workflow.Payload) workflow.Payload {
	data, ok := p.InHand()
	if !ok || len(data) <= s.inHand {
		return p
	}
	sum := sha256.Sum256(data)
	d := faas.Digest("sha256:" + hex.EncodeToString(sum[:]))
	s.mu.Lock()
	if s.ahead == nil {
		s.ahead = make(map[faas.Digest][]byte)
	}
	s.ahead[d] = data
	s.mu.Unlock()
	return workflow.Reference(p.MediaType(), d, int64(len(data)), s)
}

// pending returns the bytes that the next batch has to bring.
func (s *source) pending() map[faas.Digest][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ahead) == 0 {
		return nil
	}
	return maps.Clone(s.ahead)
}

// stored says that the store has all of them.
func (s *source) stored() {
	s.mu.Lock()
	s.ahead = nil
	s.mu.Unlock()
}

// inHand returns the payload with its bytes in hand, for another execution to keep.
func inHand(ctx context.Context, p workflow.Payload) (workflow.Payload, error) {
	if _, ok := p.InHand(); ok {
		return p, nil
	}
	data, err := p.Bytes(ctx)
	if err != nil {
		return workflow.Payload{}, err
	}
	return workflow.Bytes(p.MediaType(), data), nil
}
