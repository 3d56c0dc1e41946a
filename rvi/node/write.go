package node

import (
	"errors"
	"slices"
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

// write writes what is queued. A parcel stays at the head of the queue until it
// is written, so that none is lost with a link that breaks; it may then arrive
// twice.
func (l *link) write() {
	m := letters.Get().(*letter)
	defer m.recycle()
	for l.writeNext(m) {
	}
}

// writeNext writes the first item; false if there is none, or no link.
func (l *link) writeNext(m *letter) bool {
	it, w, ok := l.first()
	if !ok {
		return false
	}
	var params []byte
	if it.parcel != nil {
		var err error
		if params, err = it.parcel.open(m.room); errors.Is(err, errWithdrawn) {
			return l.written(withdrawn, "")
		} else if err != nil {
			return l.written("not_made", err.Error())
		}
	}
	if m.compose(it, params, w); it.parcel != nil && w.largest > 0 && m.size > w.largest {
		return l.written("too_large", "the peer does not take messages of that size")
	}
	// One call for each message, as some peers take what they read for one (rvi.md Q20).
	_ = l.conn.SetWriteDeadline(time.Now().Add(writePatience)) // a closed link tells WriteTo
	pieces := m.pieces                                         // as it is used up
	if _, err := pieces.WriteTo(l.conn); err != nil {
		l.stall(err)
		return false
	}
	return l.written("", "")
}

// first returns the first item that has not expired.
func (l *link) first() (item, wording, bool) {
	l.n.mu.Lock()
	defer l.n.unlock()
	for !l.dead && len(l.out) > 0 {
		it := l.out[0]
		if it.parcel == nil || it.parcel.expires.After(l.n.now()) {
			return it, l.wording(), true
		}
		l.pop()
		l.n.audit("expired", l.peer.String(), it.parcel.service, "the peer did not take it in time")
	}
	l.out, l.writing = nil, false
	return item{}, wording{}, false
}

func (l *link) wording() wording {
	w := wording{msgpack: l.msgpack, module: l.module, largest: l.largest, tid: l.sent + 1}
	if l.n.opt.ClockUnsure {
		w.now = l.n.now()
	}
	return w
}

// withdrawn is no refusal: nobody has to be told.
const withdrawn = "withdrawn"

// written takes the first item off the queue, unless the link died meanwhile
// and the queue with it. A refusal says why the parcel could not be written.
func (l *link) written(refusal, detail string) bool {
	l.n.mu.Lock()
	defer l.n.unlock()
	if l.dead {
		return false
	}
	it := l.pop()
	switch {
	case refusal == withdrawn:
	case refusal != "":
		l.n.audit(refusal, l.peer.String(), it.parcel.service, detail)
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
		l.broken = true
		l.kill()
	}
}
