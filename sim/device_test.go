package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/coap"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
)

// A device is told of a manifest, installs it into the slot that does not run,
// and runs it after a reboot; the next one goes to the other slot.
func TestADeviceInstallsWhatItIsToldOf(t *testing.T) {
	for _, dialect := range []suit.Dialect{suit.Standard, suit.RIOT} {
		t.Run(dialect.String(), func(t *testing.T) {
			w := newWorld(t)
			c, log := w.lamp(func(c *Config) { c.Dialect = dialect })
			d, client := w.run(c)
			if got := ask(t, client, "/suit/slot/inactive"); got != "1" {
				t.Fatalf("at first slot %s is free", got)
			}
			for n := range 2 {
				r := w.release(uint64(7 + n))
				if dialect == suit.RIOT {
					r = w.riotRelease(uint64(7+n), uint64(7+n))
				}
				url, _ := w.publish(r)
				m, err := client.Post(t.Context(), "/suit/trigger", coap.TextPlain, []byte(url))
				if err != nil || m.Code.Class() != 2 {
					t.Fatalf("trigger: %v, %v", m.Code, err)
				}
				if e := log.await(t, Outcome, n); *e.Code != 0 || *e.Sequence != r.Sequence {
					t.Fatalf("it ended with %s", e)
				}
				started := log.await(t, Started, n+1)
				if *started.Slot != 1-n || *started.Sequence != r.Sequence {
					t.Errorf("it runs %s", started)
				}
				holds(t, c, 1-n, w.files[strings.TrimPrefix(r.Images[1-n].URI, "coap://"+w.addr)])
			}
			if now := d.flash.now(); now.Active != 0 || *now.Sequence != 8 || now.Trial != nil {
				t.Errorf("it knows %+v", now)
			}
			if got := ask(t, client, "/suit/slot/inactive") + ask(t, client, "/suit/slot/active") + ask(t, client, "/riot/board"); got != "10lamp" {
				t.Errorf("it says %s", got)
			}
		})
	}
}

func ask(t *testing.T, c *coap.Client, path string) string {
	t.Helper()
	m, err := c.Get(t.Context(), path)
	if err == nil {
		err = m.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(m.Payload)
}

func holds(t *testing.T, c Config, slot int, want []byte) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(c.Dir, slotFile(slot)))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("slot %d holds %d bytes that are not the %d of the image: %v", slot, len(got), len(want), err)
	}
}

// TestADeviceRefuses what it should, and goes on running what it ran.
func TestADeviceRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(w *world, r *release, c *Config)
		code   ota.ResultCode
		reason string
	}{
		{"a rollback", func(_ *world, r *release, _ *Config) { r.Sequence = 4 }, ota.OldVersion, "not newer than 5"},
		{"another class", func(_ *world, r *release, _ *Config) { r.Class = suit.ClassID(r.Vendor, "stove") }, ota.ValidationFailed, "class-identifier"},
		{"another vendor", func(_ *world, r *release, _ *Config) { r.Vendor = suit.VendorID("example.org") }, ota.ValidationFailed, "vendor-identifier"},
		{"an image that is not the one signed", func(w *world, r *release, _ *Config) {
			image := bytes.Clone(w.files["/fw/slot1.6.bin"])
			image[100] ^= 1
			w.put("/fw/slot1.6.bin", image)
		}, ota.ValidationFailed, "image-match"},
		{"an author it does not trust", func(w *world, _ *release, c *Config) { c.Trusted = newWorld(w.T).lampKeys() }, ota.ValidationFailed, "trusted key"},
		{"an image that is not there", func(w *world, _ *release, _ *Config) { delete(w.files, "/fw/slot1.6.bin") }, ota.PackageNotFound, "4.04"},
		{"an image it has no room for", func(_ *world, _ *release, c *Config) { c.SlotSize = 1000 }, ota.DiskFull, "no room"},
		{"a dialect it does not read", func(_ *world, _ *release, c *Config) { c.Dialect = suit.RIOT }, ota.ValidationFailed, "dialect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			five := uint64(5)
			config, log := w.lamp(func(c *Config) { c.Sequence = &five })
			r := w.release(6)
			c.spoil(w, r, &config)
			url, _ := w.publish(r)
			config.Manifests = []string{url}
			err := w.once(config)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("it ended with %v", err)
			}
			if e := log.await(t, Outcome, 0); *e.Code != uint8(c.code) {
				t.Errorf("it says %s", e)
			}
			d, err := New(config)
			if err != nil {
				t.Fatal(err)
			}
			if now := d.flash.now(); now.Active != 0 || *now.Sequence != 5 || now.Trial != nil {
				t.Errorf("it knows %+v", now)
			}
		})
	}
}

func (w *world) lampKeys() []suit.Key { return []suit.Key{w.author.Key} }

// RIOT wants the version in riotboot's header to be the sequence number.
func TestRIOTRefusesAnImageOfAnotherVersion(t *testing.T) {
	w := newWorld(t)
	c, _ := w.lamp(func(c *Config) { c.Dialect = suit.RIOT })
	url, _ := w.publish(w.riotRelease(7, 6))
	c.Manifests = []string{url}
	if err := w.once(c); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "version 6 in its header") {
		t.Errorf("it ended with %v", err)
	}
	r := w.release(8) // its images have no header
	r.Dialect = suit.RIOT
	for i := range r.Images {
		r.Images[i].Slot = &offsets[i]
	}
	url, _ = w.publish(r)
	c.Manifests = []string{url}
	if err := w.once(c); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no header") {
		t.Errorf("it ended with %v", err)
	}
}

// Whatever happens between installation and reboot, the image is looked at
// again: one that has rotted does not run.
func TestADeviceSwitchedOffBeforeTheReboot(t *testing.T) {
	for name, rot := range map[string]bool{"sound": false, "rotten": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx, cut := context.WithCancel(t.Context())
			c, log := w.lamp()
			c.Tell = func(e Event) {
				if log.add(e); e.Kind == Installed {
					cut()
				}
			}
			url, _ := w.publish(w.release(7))
			c.Manifests = []string{url}
			d, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Run(ctx, socket(t)); err != nil {
				t.Fatal(err)
			}
			if now := d.flash.now(); now.Trial == nil || now.Active != 0 {
				t.Fatalf("there is nothing to try: %+v", now)
			}
			if rot {
				spoil(t, filepath.Join(c.Dir, slotFile(1)))
			}
			c.Manifests = nil
			again, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := facts{Active: 1, Outcome: &outcome{Code: ota.OK}}
			if rot {
				want = facts{Active: 0, Outcome: &outcome{Code: ota.FlashFailed}}
			}
			if now := again.flash.now(); now.Active != want.Active || now.Trial != nil || now.Outcome.Code != want.Outcome.Code {
				t.Errorf("it knows %+v: %v", now, log.kinds())
			}
		})
	}
}

func spoil(t *testing.T, path string) {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	image[len(image)/2] ^= 0x10
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A device that loses its power anywhere ends up with the image installed, and
// its server knows; whatever was told twice counts as once there.
func TestADeviceSwitchedOffAnywhere(t *testing.T) {
	for _, at := range []struct {
		kind string
		n    int // of that kind
	}{{Told, 1}, {Fetched, 1}, {Fetched, 2}, {Installed, 1}, {Rebooting, 1}, {Outcome, 1}, {Started, 2}, {Reported, 1}} {
		t.Run(fmt.Sprint(at.kind, at.n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			url, manifest := w.publish(w.release(7))
			w.wants(url, manifest)
			ctx, cut := context.WithCancel(t.Context())
			c, log := w.lamp(func(c *Config) { c.Server = "coap://" + w.addr })
			left := at.n
			c.Tell = func(e Event) {
				log.add(e)
				if e.Kind != at.kind {
					return
				}
				if left--; left == 0 {
					cut()
				}
			}
			d, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Run(ctx, socket(t)); err != nil {
				t.Fatal(err)
			}
			cut()
			c.Tell = log.add
			again, _ := w.run(c)
			until(t, "it to be settled", func() bool {
				now := again.flash.now()
				return now.Trial == nil && now.Active == 1 && now.Outcome != nil && now.Outcome.Reported
			})
			holds(t, c, 1, w.files["/fw/slot1.7.bin"])
			for _, s := range w.outcomes("/r/dev-1") {
				if *s.Code > uint8(ota.AlreadyProcessed) || s.Sequence != 7 {
					t.Errorf("reported %+v: %v", s, log.kinds())
				}
			}
		})
	}
}

func until(t *testing.T, what string, true func() bool) {
	t.Helper()
	patience := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !true() {
		select {
		case <-tick.C:
		case <-patience:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// A device asks its server what to install, and tells what came of it, also
// if the server was not there for a while.
func TestADeviceAndItsServer(t *testing.T) {
	w := newWorld(t)
	c, log := w.lamp(func(c *Config) { c.Server, c.Register = "coap://"+w.addr, true })
	url, manifest := w.publish(w.release(7))
	w.run(c)
	if e := log.await(t, Registered, 0); !strings.HasPrefix(e.URL, "coap://127.0.0.1:") {
		t.Errorf("registered %s", e)
	}
	w.wants(strings.TrimPrefix(url, "coap://"+w.addr), manifest)
	log.await(t, Reported, 0)
	old, manifest4 := w.publish(w.release(4))
	w.wants(old, manifest4)
	log.await(t, Reported, 1)
	got := w.outcomes("/r/dev-1")
	if len(got) != 2 || *got[0].Code != 0 || got[0].Sequence != 7 || *got[1].Code != uint8(ota.OldVersion) || got[1].Text == "" {
		t.Errorf("reported were %+v", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.HasPrefix(w.posts[0].path, "/rd ep=dev-1 lt=3600 base=coap://127.0.0.1:") {
		t.Errorf("first came %s", w.posts[0].path)
	}
}

// With a one-time token a device gets a key, and keeps it.
func TestADeviceEnrols(t *testing.T) {
	w := newWorld(t)
	c, log := w.lamp(func(c *Config) { c.Server, c.Path, c.EnrolToken = w.secure(), "uuid-9", "one-time" })
	url, _ := w.publish(w.release(7))
	c.Manifests = []string{url}
	if err := w.once(c); err != nil {
		t.Fatal(err)
	}
	if e := log.await(t, Enrolled, 0); e.Path != "uuid-9" {
		t.Errorf("it is %s", e)
	}
	c.Manifests, c.EnrolToken = nil, "spent"
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if n := d.network(); n.Identity != "dev-1" || string(n.Key) != psks["dev-1"] || d.path() != "uuid-9" {
		t.Errorf("it knows %+v", d.flash.now().Identity)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.posts[1:] {
		if p.path != "/r/uuid-9" || p.who != "dev-1" {
			t.Errorf("%s came from %s", p.path, p.who)
		}
	}
}

// An outcome is told until the server takes it, by the next life if need be.
func TestAReportOutlivesTheDevice(t *testing.T) {
	w := newWorld(t)
	w.down = true
	c, log := w.lamp(func(c *Config) { c.Server = "coap://" + w.addr })
	url, _ := w.publish(w.release(7))
	c.Manifests = []string{url}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cut := context.WithCancel(t.Context())
	ended := make(chan error)
	at := socket(t)
	go func() { ended <- d.Run(ctx, at) }()
	log.await(t, Outcome, 0)
	cut()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.down = false
	w.mu.Unlock()
	c.Manifests = nil
	w.run(c)
	log.await(t, Reported, 0)
	// What was on its way when the power was cut may arrive as well.
	got := w.outcomes("/r/dev-1")
	if len(got) == 0 || slices.ContainsFunc(got, func(s status) bool { return *s.Code != 0 || s.Sequence != 7 }) {
		t.Errorf("reported were %+v", got)
	}
}

// A datagram lost is sent again, whichever it is.
func TestALostDatagram(t *testing.T) {
	w := newWorld(t)
	var n atomic.Int64
	c, log := w.lamp(func(c *Config) {
		c.Network.Loss = 0.5
		c.Network.Block = 1024
		c.Network.Rand = func() float64 { // the fourth is lost
			if n.Add(1) == 4 {
				return 0
			}
			return 1
		}
	})
	url, _ := w.publish(w.release(7))
	c.Manifests = []string{url}
	if err := w.once(c); err != nil {
		t.Fatal(err)
	}
	if n.Load() < 8 {
		t.Errorf("only %d datagrams: %v", n.Load(), log.kinds())
	}
}

// What runs already is not installed again.
func TestTheSameAgain(t *testing.T) {
	w := newWorld(t)
	c, log := w.lamp()
	url, _ := w.publish(w.release(7))
	c.Manifests = []string{url}
	for n, want := range []ota.ResultCode{ota.OK, ota.AlreadyProcessed} {
		if err := w.once(c); err != nil {
			t.Fatal(err)
		}
		if e := log.await(t, Outcome, n); *e.Code != uint8(want) {
			t.Errorf("the %d. time it says %s", n+1, e)
		}
	}
}

// Triggers that are none are refused as RIOT does.
func TestTriggers(t *testing.T) {
	w := newWorld(t)
	c, _ := w.lamp(func(c *Config) { c.Dialect, c.TriggerPath = suit.RIOT, "/url" })
	_, client := w.run(c)
	for _, try := range []struct {
		path, url string
		want      coap.Code
	}{
		{"/suit/trigger", "", coap.RequestEntityIncomplete},
		{"/suit/trigger", "coap://h/" + strings.Repeat("x", 127), coap.RequestEntityTooLarge},
		{"/url", "coap://127.0.0.1:1/nothing\x00", coap.Created},
		{"/other", "coap://127.0.0.1:1/nothing", coap.NotFound},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		m, err := client.Post(ctx, try.path, coap.TextPlain, []byte(try.url))
		cancel()
		if err != nil || m.Code != try.want {
			t.Errorf("%s %q: %v, %v", try.path, try.url, m.Code, err)
		}
	}
}
