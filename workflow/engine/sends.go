package engine

import (
	"errors"

	"github.com/joinery/faas"
	"github.com/joinery/faas/internal/failpoint"
)

// Signals that a Program sends are kept in the ledger until their receivers have them. After a restart
// those since the last snapshot are sent again; a receiver drops what it has heard, by the sender's ordinal.

// send delivers what the ledger has still to send, in order.
func (x *run) send() {
	if x.sending || len(x.l.outbox) == 0 {
		return
	}
	x.sending = true
	s := x.l.outbox[0]
	x.e.spawn(func() {
		x.deliverSignal(s)
		x.post(fact{kind: factSent, ordinal: s.ordinal})
	})
}

// sent goes on with the next.
func (x *run) sent(f *fact) {
	x.sending = false
	if len(x.l.outbox) > 0 && x.l.outbox[0].ordinal == f.ordinal {
		x.l.outbox[0] = send{}
		x.l.outbox = x.l.outbox[1:]
	}
}

// deliverSignal sends one signal. It gives up when the receiver does not exist or has closed.
func (x *run) deliverSignal(s send) {
	e := x.e
	for delay := childDelay; ; delay = min(2*delay, maxChildDelay) {
		value, err := inHand(e.ctx, s.value)
		if err == nil {
			failpoint.Hit("engine/before-send")
			err = e.signalOnce(x, s, fact{kind: factSignal, name: s.name, outcome: outcome{payload: value}, sender: x.ref.String(), ordinal: s.ordinal})
		}
		if err == nil {
			return
		}
		if errors.Is(err, faas.ErrNotFound) || errors.Is(err, faas.ErrConflict) || errors.Is(err, faas.ErrInvalidArgument) || errors.Is(err, faas.ErrCorrupt) {
			e.log.Info("a signal was not delivered", "execution", x.ref.String(), "receiver", s.to.String(), "signal", s.name, "error", err)
			return
		}
		if !e.pause(delay) {
			return
		}
	}
}

func (e *Engine) signalOnce(from *run, s send, f fact) error {
	receiver := e.runs.get(s.to)
	if receiver == nil {
		return errNotFound("signal", s.to)
	}
	if s.again && s.to.Run == 0 && receiver.record.Started.After(s.at) {
		return errNotFound("signal", s.to) // the run that it was for has closed
	}
	ch := make(chan error, 1)
	f.reply = ch
	receiver.post(f)
	select {
	case err := <-ch:
		return err
	case <-e.ctx.Done():
		return faas.ContextError(e.ctx, component, "signal", s.to.String())
	}
}
