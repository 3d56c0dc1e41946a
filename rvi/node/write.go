package node

import (
	"slices"
	"sync"
	"time"
)

// pushControl queues a message of the protocol. A peer that provokes them
// without reading them is cut off.
func (l *link) pushControl(text []byte) {
	if l.dead {
		return
	}
	if l.controls >= maxControls {
		l.n.audit("stalled", l.peer.String(), "", "it does not read what it asks for")
		l.kill()
		return
	}
	l.controls++
	l.push(item{control: text})
}

// pushParcel queues a message; false if too much is queued already.
func (l *link) pushParcel(p *parcel) bool {
	if len(l.out)-l.controls >= l.n.opt.QueueMessages || l.outBytes+p.size() > l.n.opt.QueueBytes || !l.n.room(p.size()) {
		return false
	}
	l.outBytes += p.size()
	l.n.queued += p.size()
	l.push(item{parcel: p})
	return true
}

func (l *link) push(it item) {
	l.out = append(l.out, it)
	if !l.writing {
		l.writing = true
		l.n.wg.Go(l.write)
	}
}

// outgoing are buffers for messages being written. One that had to grow beyond
// the size of a chunk's message is not kept.
var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, smallBuffer); return &b }}

// write writes what is queued. A parcel stays at the head of the queue until it
// is written, so that none is lost with a link that breaks; it may then arrive
// twice.
func (l *link) write() {
	buf := outgoing.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= 2*largeBuffer {
			outgoing.Put(buf)
		}
	}()
	for l.writeNext(buf) {
	}
}

// writeNext writes the first item; false if there is none, or no link.
func (l *link) writeNext(buf *[]byte) bool {
	it, w, ok := l.first()
	if !ok {
		return false
	}
	*buf = w.encode((*buf)[:0], it)
	if it.parcel != nil && w.largest > 0 && len(*buf) > w.largest {
		return l.written("too_large")
	}
	// One call for each message, as some peers take what they read for one (rvi.md Q20).
	_ = l.conn.SetWriteDeadline(time.Now().Add(writePatience)) // a closed link tells Write
	if _, err := l.conn.Write(*buf); err != nil {
		l.stall(err)
		return false
	}
	return l.written("")
}

// wording is how the peer wants its messages.
type wording struct {
	msgpack bool
	module  string
	largest int
	tid     uint64
}

// encode appends an item as it goes over the wire.
func (w wording) encode(b []byte, it item) []byte {
	if it.parcel != nil {
		b = appendRcv(b, w.tid, w.module, it.parcel)
	} else {
		b = append(b, it.control...)
	}
	if !w.msgpack {
		return b
	}
	text := len(b)
	b = toMsgpack(b, b[:text])
	return append(b[:0], b[text:]...)
}

// first returns the first item that has not expired.
func (l *link) first() (item, wording, bool) {
	l.n.mu.Lock()
	defer l.n.unlock()
	for !l.dead && len(l.out) > 0 {
		it := l.out[0]
		if it.parcel == nil || it.parcel.expires.After(l.n.now()) {
			return it, wording{l.msgpack, l.module, l.largest, l.sent + 1}, true
		}
		l.pop()
		l.n.audit("expired", l.peer.String(), it.parcel.service, "the peer did not take it in time")
	}
	l.out, l.writing = nil, false
	return item{}, wording{}, false
}

// written takes the first item off the queue, unless the link died meanwhile
// and the queue with it. A refusal says why the item could not be written.
func (l *link) written(refusal string) bool {
	l.n.mu.Lock()
	defer l.n.unlock()
	if l.dead {
		return false
	}
	it := l.pop()
	switch {
	case refusal != "":
		l.n.audit(refusal, l.peer.String(), it.parcel.service, "the peer does not take messages of that size")
	case it.parcel != nil:
		l.sent++
	}
	return true
}

func (l *link) pop() item {
	it := l.out[0]
	l.out = slices.Delete(l.out, 0, 1)
	if it.parcel != nil {
		l.outBytes -= it.parcel.size()
		l.n.queued -= it.parcel.size()
	} else {
		l.controls--
	}
	return it
}

// stall ends a link whose peer does not take what is written.
func (l *link) stall(err error) {
	l.n.mu.Lock()
	defer l.n.unlock()
	if !l.dead {
		l.n.audit("stalled", l.peer.String(), "", err.Error())
		l.kill()
	}
}
