package node

import (
	"slices"
	"strconv"
	"time"
)

// Codes of frg-end (rvi.md 3.8).
const (
	pieceDone    = 0
	pieceWrong   = -2
	pieceTimeout = -3
)

// fragment is a part of a message of the data link, or what the receiver of
// one says.
type fragment struct {
	kind   string // frg, frg-get, frg-end, frg-err; "" if it is malformed
	id     string // JSON: an integer or a string
	size   int64  // of the whole message
	offset int64  // of this piece; the first byte is 1
	data   []byte
}

// piece is a message being put together. Guarded by Node.mu.
type piece struct {
	data  []byte
	have  []span // sorted, apart from each other
	timer *time.Timer
}

// span is from a byte up to, but without, another, counting from 0.
type span struct{ from, to int64 }

// readPiece reads a fragment in JSON; its bytes are a string.
func (f frame) readPiece() (p fragment) {
	if f.piece != "frg" {
		return fragment{kind: f.piece}
	}
	var args [][]byte
	elements(f.pieceArgs, func(v []byte) { args = append(args, v) })
	if len(args) != 4 || len(args[0]) > maxName {
		return fragment{}
	}
	var ok [4]bool
	var data string
	_, ok[0] = integer(args[0])
	if !ok[0] {
		_, ok[0] = text(args[0])
	}
	p.size, ok[1] = integer(args[1])
	p.offset, ok[2] = integer(args[2])
	data, ok[3] = text(args[3])
	if ok != [4]bool{true, true, true, true} {
		return fragment{}
	}
	p.kind, p.id, p.data = f.piece, string(args[0]), []byte(data)
	return p
}

// msgpackPiece reads a fragment in msgpack, whose bytes need not be text; ok is
// false if the message is something else.
func msgpackPiece(b []byte) (p fragment, ok bool) {
	const start = "\x81\xa3frg\x94"
	if len(b) < len(start) || string(b[:len(start)]) != start {
		return fragment{}, false
	}
	id, rest, err := fromMsgpack(nil, b[len(start):], 0)
	size, rest, ok1 := uintHead(rest)
	offset, rest, ok2 := uintHead(rest)
	h, ok3, _ := readHead(rest)
	if err != nil || len(id) > maxName || !ok1 || !ok2 || !ok3 || h.kind != kindText || len(rest) != h.size+h.n {
		return fragment{}, true
	}
	return fragment{kind: "frg", id: string(id), size: size, offset: offset, data: rest[h.size:]}, true
}

func uintHead(b []byte) (int64, []byte, bool) {
	h, ok, err := readHead(b)
	if err != nil || !ok || h.kind != kindUint || int64(h.bits) < 0 {
		return 0, nil, false
	}
	return int64(h.bits), b[h.size:], true
}

// takePiece handles a fragment. We send none, so that only frg means anything.
func (l *link) takePiece(p fragment) error {
	if p.kind == "" {
		return dropping("bad_value:frg")
	}
	if p.kind != "frg" {
		return dropping("unknown_fragment")
	}
	whole, err := l.addPiece(p)
	if err != nil || whole == nil {
		return err
	}
	defer l.n.pieceBudget.give(len(whole))
	return l.takeWhole(whole)
}

// addPiece puts a piece in its place, and returns the message when it is
// complete, after which its bytes are the caller's to give back to the budget.
func (l *link) addPiece(f fragment) ([]byte, error) {
	l.n.mu.Lock()
	defer l.n.unlock()
	if !l.greeted || l.dead {
		return nil, dropping("unauthorized")
	}
	p := l.pieces[f.id]
	if !f.fits(l.n.opt.MessageBytes) || p != nil && f.size != int64(len(p.data)) {
		l.dropPiece(f.id)
		l.pushControl(appendPieceEnd(f.id, pieceWrong))
		return nil, dropping("bad_value:frg")
	}
	if p == nil {
		if p = l.newPiece(f); p == nil {
			l.pushControl(appendPieceEnd(f.id, pieceWrong))
			return nil, dropping("too_many_fragments")
		}
	}
	copy(p.data[f.offset-1:], f.data)
	before := p.bytes()
	if p.add(span{f.offset - 1, f.offset - 1 + int64(len(f.data))}); len(p.have) > maxGaps {
		l.dropPiece(f.id)
		l.pushControl(appendPieceEnd(f.id, pieceWrong))
		return nil, dropping("too_many_fragments")
	}
	if p.bytes() > before { // what comes twice is no progress
		p.timer.Reset(piecePatience)
	}
	if gap := p.gap(); gap.from < gap.to {
		l.pushControl(appendPieceGet(f.id, gap))
		return nil, nil
	}
	p.timer.Stop()
	delete(l.pieces, f.id)
	l.pushControl(appendPieceEnd(f.id, pieceDone))
	return p.data, nil
}

func (l *link) newPiece(f fragment) *piece {
	if len(l.pieces) >= maxPieces || !l.n.pieceBudget.take(int(f.size)) {
		return nil
	}
	if l.pieces == nil {
		l.pieces = map[string]*piece{}
	}
	p := &piece{data: make([]byte, f.size)}
	p.timer = time.AfterFunc(piecePatience, func() { l.giveUp(f.id, p) })
	l.pieces[f.id] = p
	return p
}

func (l *link) giveUp(id string, p *piece) {
	l.n.mu.Lock()
	defer l.n.unlock()
	if l.pieces[id] != p || l.dead {
		return
	}
	l.dropPiece(id)
	l.pushControl(appendPieceEnd(id, pieceTimeout))
	l.n.audit("incomplete", l.peer.String(), "", "the fragments of a message stopped coming")
}

func (l *link) dropPiece(id string) {
	if p := l.pieces[id]; p != nil {
		p.timer.Stop()
		delete(l.pieces, id)
		l.n.pieceBudget.give(len(p.data))
	}
}

// fits reports whether the piece is one of a message of at most so many bytes.
func (f fragment) fits(largest int) bool {
	return 1 <= f.size && f.size <= int64(largest) && 1 <= f.offset && f.offset <= f.size &&
		len(f.data) > 0 && int64(len(f.data)) <= f.size-f.offset+1
}

// bytes is how many are there.
func (p *piece) bytes() (sum int64) {
	for _, h := range p.have {
		sum += h.to - h.from
	}
	return sum
}

// add remembers that the bytes of s are there.
func (p *piece) add(s span) {
	rest := p.have[:0]
	for _, h := range p.have {
		if h.to < s.from || s.to < h.from {
			rest = append(rest, h)
			continue
		}
		s = span{min(h.from, s.from), max(h.to, s.to)}
	}
	p.have = append(rest, s)
	slices.SortFunc(p.have, func(a, b span) int { return int(a.from - b.from) })
}

// gap is what is missing first; empty if nothing is.
func (p *piece) gap() span {
	g := span{0, int64(len(p.data))}
	for i, h := range p.have {
		if i == 0 && h.from > 0 {
			return span{0, h.from}
		}
		g.from = h.to
		if i+1 < len(p.have) {
			return span{h.to, p.have[i+1].from}
		}
	}
	return g
}

// takeWhole handles a message that was put together. It is none of fragments itself.
func (l *link) takeWhole(message []byte) error {
	r := reader{buf: message, w: len(message)}
	b, err := r.begin()
	if err != nil {
		return dropping("parse_error")
	}
	if n, err := b.find(message); err != nil || n != len(message) {
		return dropping("parse_error")
	}
	if b.msgpack {
		if _, nested := msgpackPiece(message); nested {
			return dropping("protocol_violation")
		}
		text, rest, err := fromMsgpack(nil, message, maxDepth)
		if err != nil || len(rest) > 0 {
			return dropping("parse_error")
		}
		message = text
	}
	f, err := readFrame(message)
	if err != nil {
		return err
	}
	if f.piece != "" {
		return dropping("protocol_violation")
	}
	return l.handle(f)
}

func appendPieceGet(id string, gap span) []byte {
	b := append([]byte(`{"frg-get":[`), id...)
	b = strconv.AppendInt(append(b, ','), gap.from+1, 10)
	b = strconv.AppendInt(append(b, ','), gap.to-gap.from, 10)
	return append(b, ']', '}')
}

func appendPieceEnd(id string, code int64) []byte {
	b := append([]byte(`{"frg-end":[`), id...)
	b = strconv.AppendInt(append(b, ','), code, 10)
	return append(b, ']', '}')
}
