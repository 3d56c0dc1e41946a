package resource

// Waiting counts the devices that have updates, and were looked at.
func (d *Door) Waiting() (n int) {
	d.talks.mu.RLock()
	defer d.talks.mu.RUnlock()
	for _, k := range d.talks.byID {
		if k.update.ID != "" {
			n++
		}
	}
	return n
}

// Hold keeps talks from looking at anything until it is let go.
func (d *Door) Hold() (letGo func()) {
	for range atWork {
		d.talks.slots <- struct{}{}
	}
	return func() {
		for range atWork {
			<-d.talks.slots
		}
	}
}
