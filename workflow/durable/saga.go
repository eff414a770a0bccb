package durable

import "errors"

// Saga collects how to undo what was done, for when something later fails (Garcia-Molina and Salem,
// "Sagas", SIGMOD 1987):
//
//	var saga durable.Saga
//	defer func() {
//		if err != nil {
//			err = errors.Join(err, saga.Compensate(ctx))
//		}
//	}()
//	room, err := durable.Call[Room](ctx, book, trip, nil).Get()
//	if err != nil {
//		return err
//	}
//	saga.Add(func(ctx durable.Context) error { return durable.Call[any](ctx, cancel, room, nil).Err() })
//
// The zero Saga is empty.
type Saga struct{ undo []func(Context) error }

// Add adds a compensation.
func (s *Saga) Add(undo func(Context) error) { s.undo = append(s.undo, undo) }

// Compensate runs the compensations, the last one added first, and empties the saga. They get a Context that a
// cancellation of ctx does not reach. One that fails does not keep the others from
// running; their errors are joined. An execution that compensated cannot be redriven: what it
// had done is not there any more.
func (s *Saga) Compensate(ctx Context) error {
	ctx = ctx.Disconnected()
	ctx.x.compensated = ctx.x.compensated || len(s.undo) > 0
	var errs []error
	for n := len(s.undo); n > 0; n = len(s.undo) {
		undo := s.undo[n-1]
		s.undo = s.undo[:n-1]
		errs = append(errs, undo(ctx))
	}
	return errors.Join(errs...)
}
