package rvi

// Finish says that all chunks were acknowledged (rvi.md 4.4).
type Finish struct {
	Unit Unit
	// Signature is that of the update's notify; of 2016 only, where it is
	// always written.
	Signature string
}

func (Finish) Service() Service { return ServiceFinish }
func (Finish) toDevice()        {}

func readFinish(f fields) DeviceMessage {
	m := Finish{Unit: f.unit()}
	if m.Unit.Update != "" {
		m.Signature = f.text("signature", maxText)
	}
	return m
}

func (m Finish) AppendParams(b []byte) []byte {
	w := params(b)
	w.unit(m.Unit)
	if m.Unit.Update != "" {
		w.text("signature", m.Signature)
	}
	return w.done()
}
