package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/suit"
)

// Config is what a device is, and whom it knows.
type Config struct {
	Name string // among the devices of this simulation
	Dir  string // its flash: a folder of its own, made if need be

	Vendor, Class uuid.UUID
	ID            uuid.UUID // device identifier; uuid.Nil for none
	Board         string    // as it tells people
	Dialect       suit.Dialect
	Trusted       []suit.Key
	Offsets       [2]uint64 // where RIOT's slots begin in flash, in bytes
	SlotSize      int64     // the longest image, in bytes
	Sequence      *uint64   // installed in the factory; nil for none

	Network Network
	// Server is where the device asks what to install and reports, such as
	// "coap://[fd00::1]:5683"; "" for none.
	Server string
	// Path is what the device is called there, in /u/PATH and /r/PATH.
	Path string
	// Register makes the device tell the server where it listens.
	Register bool
	// EnrolToken is used once, to be given a Path and a key; "" if they are
	// known already.
	EnrolToken string
	VendorName string // domain by which the server knows the vendor, to enrol; "" to not say
	ClassName  string
	// SUITReports makes the device report an outcome as SUIT_Report.
	SUITReports bool
	Signer      *suit.Signer // of SUIT_Reports; nil for none
	// TriggerPath is one more path where the device is told of manifests,
	// besides /suit/trigger.
	TriggerPath string

	// Manifests are URLs to install at first, one after another.
	Manifests []string
	// Once makes Run end when a manifest was installed, or not.
	Once bool
	// Poll is how long the device waits before it asks a server again that
	// had nothing to say, or did not answer; 30 s if 0.
	Poll time.Duration
	Tell func(Event)      // is told what happens; may be nil
	Now  func() time.Time // time.Now if nil
}

// Device is one device, through all its reboots.
type Device struct {
	Config
	flash   *flash
	address string // where it listens, host:port
	orders  *mailbox
	todo    []string      // of Manifests, those not begun
	outbox  chan struct{} // there is something to report
	link    *link
	settled bool // a manifest was dealt with in this run
}

// New makes a device, or finds it as it was left in its folder.
func New(c Config) (*Device, error) {
	c.Poll = cmp.Or(c.Poll, 30*time.Second)
	if c.Tell == nil {
		c.Tell = func(Event) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Network.Rand == nil {
		c.Network.Rand = rand.Float64
	}
	f, err := openFlash(c.Dir, c.SlotSize, c.Sequence)
	if err != nil {
		return nil, err
	}
	d := &Device{Config: c, flash: f, orders: newMailbox(), outbox: make(chan struct{}, 1)}
	d.link = &link{device: d}
	d.todo = c.Manifests
	return d, nil
}

// ErrRefused is what Run ends with if the device is to end after one manifest
// and did not install it.
var ErrRefused = errors.New("the manifest was not installed")

// Run powers the device on, and plays it until ctx ends or, with Once, it has
// dealt with one manifest and its server knows. c is where it listens; it is
// closed then. Run fails with ErrRefused, if somebody else plays the device, or
// if its folder cannot be written.
func (d *Device) Run(ctx context.Context, c net.PacketConn) error {
	claim, err := d.flash.claim()
	if err != nil {
		return errors.Join(err, c.Close())
	}
	defer claim.Close()
	d.address = c.LocalAddr().String()
	ctx, stop := context.WithCancel(ctx)
	var radio sync.WaitGroup
	served := make(chan error, 1)
	radio.Go(func() {
		served <- d.serve(ctx, c)
		stop()
	})
	err = d.lives(ctx)
	stop()
	radio.Wait()
	d.link.close()
	return errors.Join(err, <-served)
}

// lives is from reboot to reboot.
func (d *Device) lives(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := d.start(ctx); err != nil {
			return err
		}
		again, err := d.life(ctx)
		if err != nil || !again {
			return err
		}
		d.link.close() // what was in memory is gone
		d.orders.forget()
	}
	return nil
}

// life is from a start to the next reboot, to which it answers with true.
func (d *Device) life(ctx context.Context) (reboot bool, err error) {
	life, end := context.WithCancel(ctx)
	var talk sync.WaitGroup
	defer talk.Wait()
	defer end()
	if d.Server != "" {
		talk.Go(func() { d.converse(life) })
	}
	for {
		if d.Once && d.settled {
			return false, d.finish(ctx)
		}
		if len(d.todo) > 0 {
			d.orders.put(order{url: d.todo[0]})
			d.todo = d.todo[1:]
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-d.orders.ready:
			if reboot, err = d.obey(life); reboot || err != nil {
				return reboot, err
			}
		}
	}
}

// obey carries out the oldest order, if there is one.
func (d *Device) obey(ctx context.Context) (reboot bool, err error) {
	o, ok := d.orders.take()
	if !ok {
		return false, nil
	}
	defer d.orders.done()
	return d.update(ctx, o)
}

// finish waits until the server has the outcome, and tells what it was.
func (d *Device) finish(ctx context.Context) error {
	o := d.flash.now().Outcome
	for d.Server != "" && !o.Reported {
		select {
		case <-ctx.Done():
			return nil
		case <-d.flash.delivered:
			o = d.flash.now().Outcome
		}
	}
	if !o.Code.Success() {
		return fmt.Errorf("%w: %s", ErrRefused, o.Text)
	}
	return nil
}
