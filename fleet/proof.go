package fleet

import (
	"context"

	"github.com/updraft-ota/updraft/ota"
)

// Proof is by what a constrained device can show who it is, over coaps.
type Proof string

// The proofs. A device has one of them.
const (
	ProofKey         Proof = "key"         // of its own
	ProofEnrolment   Proof = "enrolment"   // a token, not used yet, by which it gets its key
	ProofCertificate Proof = "certificate" // whether it has one, only the device knows
	ProofNone        Proof = "none"
)

// Proof finds out by what a device can show who it is. It fails with
// KindNotFound (missing_device), or KindInvalid for a device that is not
// constrained.
func (f *Fleet) Proof(ctx context.Context, ns ota.Namespace, id ota.DeviceID) (proof Proof, err error) {
	err = f.Store.Read(ctx, func(tx ota.ReadTx) error {
		d, err := device(tx, ns, id)
		if err != nil {
			return err
		}
		if d.Constrained == nil {
			return notConstrained(d)
		}
		for _, one := range []struct {
			identity string
			proof    Proof
		}{{string(id), ProofKey}, {ota.EnrolmentOf(id), ProofEnrolment}} {
			if _, err := tx.PSK(one.identity); err == nil {
				proof = one.proof
				return nil
			} else if ota.KindOf(err) != ota.KindNotFound {
				return err
			}
		}
		if proof = ProofNone; f.Certificates {
			proof = ProofCertificate
		}
		return nil
	})
	return proof, err
}
