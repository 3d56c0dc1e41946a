package fleet

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// ReadReport reads a SUIT_Report (coap-suit.md 7.7) as what a device tells of
// itself. Whether it is signed does not matter: who sent it, the door has
// proved, or not. It fails with KindInvalid.
func ReadReport(text []byte) (State, error) {
	r, _, err := suit.ReadReport(text, nil)
	if err != nil {
		return State{}, err
	}
	s := State{report: &r}
	if r.Result == nil {
		return s.with(stateIdle, ota.OK), nil
	}
	switch s.Text = r.Result.Reason.String(); r.Result.Reason {
	case suit.ReasonOK: // there was something to tell, and nothing wrong
		return s.with(stateIdle, ota.OK), nil
	case suit.ReasonInvokePending:
		installing := stateInstalling
		s.State = &installing
		return s, nil
	case suit.ReasonParse, suit.ReasonCOSE, suit.ReasonAlgorithm, suit.ReasonUnauthorised, suit.ReasonComponentUnauthorised, suit.ReasonSevering:
		return s.with(stateIdle, ota.ValidationFailed), nil
	case suit.ReasonCondition:
		if r.Result.Record.Section == 0 { // no command asked: it is the sequence number
			return s.with(stateIdle, ota.OldVersion), nil
		}
		return s.with(stateIdle, ota.ValidationFailed), nil
	}
	return s.with(stateIdle, ota.InstallFailed), nil
}

func (s State) with(state uint64, code ota.ResultCode) State {
	s.State, s.Result = &state, &code
	return s
}

// complete adds what is only known with the manifest at hand: its sequence
// number, and which of its commands failed.
func (u *Uplink) complete(ctx context.Context, s *State, a ota.Artifact) error {
	if s.report == nil {
		return nil
	}
	text, err := u.f.suitFile(ctx, a)
	if err != nil || text == nil {
		return err
	}
	e, err := suit.Open(text)
	if err != nil {
		return nil // it is stored as it is, and cannot be explained
	}
	m, err := e.Manifest()
	if err != nil {
		return nil
	}
	if r := s.report.Result; r != nil && r.Reason != suit.ReasonOK {
		s.Text = s.report.Result.Explain(m)
		return nil
	}
	s.Sequence = &m.Sequence
	return nil
}
