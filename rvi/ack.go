package rvi

import "strconv"

// Ack answers a start or a chunk with all chunks of the file that the device
// holds (rvi.md 4.4).
type Ack struct {
	From   Identity
	Unit   Unit
	Chunks Chunks
}

func (Ack) Service() Service   { return ServiceAck }
func (m Ack) Sender() Identity { return m.From }
func (m Ack) Dialect() Dialect { return dialectOf(m.From, m.Unit) }

func readAck(f fields, d Dialect) BackendMessage {
	m := Ack{From: f.sender(d), Unit: f.unitIn(d)}
	v := f.need("chunks")
	if v == nil {
		return m
	}
	s := scanner{text: v, checked: true}
	if s.peek() != '[' {
		f.wrong("chunks", "an array")
		return m
	}
	s.walk(maxDepth, func(_, e []byte) {
		n, ok := number(e)
		if !ok {
			f.wrong("chunks", "an array of whole numbers")
		}
		m.Chunks.Add(int(min(n, MaxChunks+1)))
	})
	return m
}

func (m Ack) AppendParams(b []byte) []byte {
	w := params(b)
	w.unit(m.Unit)
	w.key("chunks")
	w.b = append(w.b, '[')
	w.first = true
	for i := range m.Chunks.All() {
		w.comma()
		w.b = strconv.AppendInt(w.b, int64(i), 10)
	}
	w.b = append(w.b, ']')
	w.first = false
	w.sender(m.From)
	return w.done()
}
