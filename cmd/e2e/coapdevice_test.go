package e2e_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// A RIOT application is published as its build makes it. Its device is told,
// fetches in blocks of 64 bytes, verifies, installs, runs it, and tells the
// server so; the next version goes to the other slot.
func TestARIOTApplication(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	d := l.small(l.riotArgs()...)
	d.register("node", "riot-os.org", "samr21-xpro", "--plain-coap")
	d.play(d.serverFlags(true)...)
	d.tells(`"registered"`)
	for n, slot := range []int{1, 0} {
		version := 1700000001 + n
		update := d.send(l.riot(version))
		d.await(update, ota.Finished)
		d.server().reported(update, ota.OK)
		d.holds(slot, riotImage(version, []int{0x1100, 0x20900}[slot]))
	}
	// What any RIOT device is told by hand is another way to the same end.
	l.riot(1700000003)
	at := strings.TrimPrefix(d.says(`"event":"listening","url":"(coap://[^"]+)"`), "coap://")
	l.run("publish", "--publish-id", "fw/suit_update/samr21-xpro", "--notifyv4", at)
	d.tells(`"outcome"`, `"sequence":1700000003,"code":0`)
}

// A device hears of an update it observes, over plain CoAP, with a key, or
// with one it gets by enrolling; and the server hears how it ended.
func TestAConstrainedDevice(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	lamp := l.lamp("lamp", 7, "lamp-1")
	for name, how := range map[string]string{"plain": "--plain-coap", "psk": "--psk", "enrols": "--enrol"} {
		t.Run(name, func(t *testing.T) {
			d := l.in(t).small(l.lampArgs()...)
			d.register("lamp-"+name, "example.com", "lamp-1", how)
			d.play(d.serverFlags(name == "plain")...)
			d.tells(`"registered"`)
			update := d.send(lamp)
			d.await(update, ota.Finished)
			d.server().reported(update, ota.OK)
			d.holds(1, l.kept("slot1.bin"))
			shown := d.run("device", "show", d.papers.UUID)
			if strings.Contains(shown, "unauthenticated") != (name == "plain") {
				t.Errorf("the server shows\n%s", shown)
			}
			d.terminate()
		})
	}
}

// Whatever a server is made to hand out, a device refuses what it should, goes
// on as before, and the server hears why.
func TestAConstrainedDeviceRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	good := l.lamp("lamp", 7, "lamp-1")
	first := l.kept("slot1.bin")
	for _, c := range []struct {
		name  string
		pkg   func(l *lab, id string) string
		code  ota.ResultCode
		event string
	}{
		{"rollback", func(l *lab, id string) string { return l.lamp(id, 6, "lamp-1") }, ota.OldVersion, "not newer than 7"},
		{"class", func(l *lab, id string) string { return l.lamp(id, 8, "stove-1") }, ota.ValidationFailed, "class-identifier"},
		{"digest", func(l *lab, id string) string {
			pkg := l.lamp(id, 8, "lamp-1")
			image := bytes.Clone(l.kept("slot0.bin"))
			image[100] ^= 1
			l.keep("slot0.bin", image)
			l.publishLamp(id, 8)
			return pkg
		}, ota.ValidationFailed, "image-match"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.in(t)
			d := l.small(l.lampArgs()...)
			d.register(c.name, "example.com", "lamp-1", "--psk")
			d.play(d.serverFlags(false)...)
			d.await(d.send(good), ota.Finished)
			update := d.send(c.pkg(l, c.name), "--force") // or the server itself would refuse it
			d.await(update, ota.Failed)
			d.server().reported(update, c.code)
			d.tells(`"outcome"`, c.event)
			d.holds(1, first)
			d.terminate()
			d.play()
			d.tells(`"started"`, `"sequence":7`, `"slot":1`)
		})
	}
}

// A device that is killed on the way ends up with the image installed, and the
// server knows.
func TestAConstrainedDeviceThatIsKilled(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	lamp := l.lamp("lamp", 7, "lamp-1")
	for _, at := range []string{"told", "fetched", "outcome"} {
		t.Run(at, func(t *testing.T) {
			d := l.in(t).small(l.lampArgs()...)
			d.register("lamp-"+at, "example.com", "lamp-1", "--psk")
			d.play(append(d.serverFlags(false), "--block-size", "16")...)
			update := d.send(lamp)
			d.tells(`"` + at + `"`)
			d.kill()
			d.play(d.serverFlags(false)...)
			d.await(update, ota.Finished)
			d.holds(1, l.kept("slot1.bin"))
			d.terminate()
			d.play()
			d.tells(`"started"`, `"sequence":7`, `"slot":1`)
		})
	}
}

// One datagram in ten is lost, in both directions.
func TestAConstrainedDeviceOnABadNetwork(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	lamp := l.lamp("lamp", 7, "lamp-1")
	d := l.small(l.lampArgs()...)
	d.register("far-away", "example.com", "lamp-1", "--psk")
	d.play(append(d.serverFlags(false), "--block-size", "1024", "--loss", "10")...)
	update := d.send(lamp)
	within(t, 5*patience, "the update to end", func() bool {
		status, _ := d.server().status(update)
		return status != "" && !status.Active()
	})
	d.await(update, ota.Finished)
	d.holds(1, l.kept("slot1.bin"))
}

// Many devices at once are one command.
func TestManyConstrainedDevices(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.lamp("lamp", 7, "lamp-1")
	d := l.small(l.lampArgs()...)
	said := d.once(0, "--count", "20", l.coap()+"/lamp/manifest")
	if n := strings.Count(said, `"event":"outcome","sequence":7,"code":0`); n != 20 {
		t.Errorf("%d of 20 installed it", n)
	}
}
