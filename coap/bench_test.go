package coap

import (
	"fmt"
	"testing"
)

// What a block costs the server, without the network.
func BenchmarkBlock(b *testing.B) {
	for _, size := range []int{1024, 64, 16} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := newBench(b)
			s.file("/fw/app/file1", 1<<18)
			s.u.layer.sock = mute{}
			s.prove()
			m := NewRequest(GET, "/fw/app/file1")
			m.Options.AddUint(Block2, Block{Num: 100, SZX: szx(size)}.value())
			m.Token = []byte{1, 2, 3, 4}
			raw := m.appendTo(nil)
			b.ReportAllocs()
			for b.Loop() {
				s.u.layer.receive(s.s, raw, s.from)
			}
		})
	}
}

// What a forged request costs it.
func BenchmarkChallenge(b *testing.B) {
	s := newBench(b)
	s.file("/f", 1<<18)
	s.u.layer.sock = mute{}
	raw := []byte{0x40, 1, 0x12, 0x34, 0xB1, 'f'}
	b.ReportAllocs()
	for b.Loop() {
		s.u.layer.receive(s.s, raw, s.from)
	}
}

// What a request costs that a handler answers.
func BenchmarkHandler(b *testing.B) {
	s := newBench(b)
	s.u.layer.sock = mute{}
	s.prove()
	m := NewRequest(GET, "/state")
	b.ReportAllocs()
	for b.Loop() {
		m.ID++
		s.u.layer.receive(s.s, m.appendTo(nil), s.from)
		s.u.wg.Wait()
	}
}
