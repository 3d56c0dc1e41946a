package e2e_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// lab is a server for constrained devices, and the author whose manifests they
// install. All programs are the real ones.
type lab struct {
	*site
	author string // the private key's file; the public one is beside it
	files  string // folder
}

func newLab(t *testing.T, args ...string) *lab {
	t.Helper()
	l := &lab{files: t.TempDir()}
	l.author = filepath.Join(l.files, "author.key")
	l.site = &site{T: t, dir: filepath.Join(t.TempDir(), "data"), port: freePort(), real: true, trusting: true,
		args: append([]string{"--coaps-port", "0", "--coap-tcp-port", "0", "--suit-trusted-keys", l.author + ".pub"}, args...)}
	l.run("suit", "keygen", "--out", l.author)
	l.start()
	until(t, "the server to tell where it listens", func() bool {
		_, err := os.Stat(filepath.Join(l.dir, "addresses.json"))
		return err == nil
	})
	return l
}

// in is the same lab in another test.
func (l *lab) in(t *testing.T) *lab { return &lab{l.site.in(t), l.author, l.files} }

// run runs the program updraft as an operator does, and returns what it said.
func (l *lab) run(args ...string) string {
	l.Helper()
	said, err := l.try(args...)
	if err != nil {
		l.Fatalf("updraft %s: %v: %s", strings.Join(args, " "), err, said)
	}
	return said
}

// try is run for what may fail.
func (l *lab) try(args ...string) (string, error) {
	l.Helper()
	cmd := exec.CommandContext(l.Context(), program(l.T, "updraft"), args...)
	cmd.Dir = l.files
	cmd.Env = append(os.Environ(), "UPDRAFT_SERVER="+l.url())
	if token, err := os.ReadFile(filepath.Join(l.dir, "admin.token")); err == nil {
		cmd.Env = append(cmd.Env, "UPDRAFT_TOKEN="+strings.TrimSpace(string(token)))
	}
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// coap is where files are.
func (l *lab) coap() string { return "coap://" + l.addresses().CoAP }

func (l *lab) coaps() string { return "coaps://" + l.addresses().CoAPS }

// file makes a file of n bytes that differ from block to block, and from those
// of another edition.
func (l *lab) file(name string, n, edition int) []byte {
	l.Helper()
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ edition)
	}
	l.keep(name, b)
	return b
}

// kept reads a file again.
func (l *lab) kept(name string) []byte {
	l.Helper()
	b, err := os.ReadFile(filepath.Join(l.files, name))
	if err != nil {
		l.Fatal(err)
	}
	return b
}

func (l *lab) keep(name string, b []byte) {
	l.Helper()
	if err := os.WriteFile(filepath.Join(l.files, name), b, 0o600); err != nil {
		l.Fatal(err)
	}
}

// lamp publishes a version of a lamp's firmware, with a manifest that the
// author signed for a class, and returns the package.
func (l *lab) lamp(id string, sequence int, class string) string {
	l.Helper()
	l.file("slot0.bin", 5001, sequence)
	l.file("slot1.bin", 8192, 100+sequence)
	manifest := fmt.Sprintf("%s.%d.suit", id, sequence)
	l.run("suit", "create", "slot0.bin:0", "slot1.bin:1", "--vendor", "example.com", "--class", class,
		"--sequence", fmt.Sprint(sequence), "--url-root", l.coap()+"/"+id, "--sign", l.author, "--out", manifest)
	l.publishLamp(id, sequence)
	return fmt.Sprintf("%s=%d", id, sequence)
}

// publishLamp publishes what lamp made, whatever the server thinks of it.
func (l *lab) publishLamp(id string, sequence int) {
	l.Helper()
	l.run("publish", "--publish-id", id, "--version-tag", fmt.Sprint(sequence), "--force",
		"--publish", "slot0.bin", "slot1.bin", "--manifest", fmt.Sprintf("%s.%d.suit", id, sequence))
}

// riot publishes a RIOT application, as its build makes it: two images with
// riotboot's header, and a manifest with the same version in its name. It returns the package.
func (l *lab) riot(version int) string {
	l.Helper()
	const id = "fw/suit_update/samr21-xpro"
	images := []string{fmt.Sprintf("slot0.%d.bin", version), fmt.Sprintf("slot1.%d.bin", version)}
	l.keep(images[0], riotImage(version, 0x1100))
	l.keep(images[1], riotImage(version, 0x20900))
	manifest := fmt.Sprintf("riot.suit.%d.bin", version)
	l.run("suit", "create", images[0]+":0x1000", images[1]+":0x20800", "--dialect", "riot", "--vendor", "riot-os.org", "--class", "samr21-xpro",
		"--sequence", fmt.Sprint(version), "--url-root", l.coap()+"/"+id, "--out", "unsigned.suit")
	l.run("suit", "sign", "unsigned.suit", "--key", l.author, "--out", manifest)
	if err := os.Remove(filepath.Join(l.files, "unsigned.suit")); err != nil {
		l.Fatal(err)
	}
	l.run("publish", "--publish-id", id, "--publish", images[0], images[1], manifest)
	return fmt.Sprintf("fw_suit_update_samr21-xpro=%d", version)
}

// riotImage is an image for riotboot (coap-suit.md 6.5).
func riotImage(version, start int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("RIOT"), uint32(version))
	b = binary.LittleEndian.AppendUint32(b, uint32(start))
	lo, hi := uint32(0xFFFF), uint32(0xFFFF)
	for i := 0; i < len(b); i += 2 {
		lo += uint32(binary.LittleEndian.Uint16(b[i:]))
		hi += lo
		lo, hi = lo&0xFFFF+lo>>16, hi&0xFFFF+hi>>16
	}
	b = binary.LittleEndian.AppendUint32(b, hi<<16|lo)
	b = append(b, bytes.Repeat([]byte{0xFF}, 0x100-len(b))...)
	return append(b, bytes.Repeat([]byte("code"), 512)...)
}

// small is a simulated device, which the server knows or not.
type small struct {
	*lab
	*process
	papers struct {
		UUID     string
		Identity string `json:"psk_identity"`
		Key      string `json:"psk_key"`
	}
	flash string
	args  []string
}

// lampArgs and riotArgs are what such devices are.
func (l *lab) lampArgs() []string {
	return []string{"--vendor", "example.com", "--class", "lamp-1", "--trust", l.author + ".pub"}
}

func (l *lab) riotArgs() []string {
	return []string{"--vendor", "riot-os.org", "--class", "samr21-xpro", "--dialect", "riot", "--slots", "0x1000,0x20800", "--trust", l.author + ".pub"}
}

// small makes a device with a flash of its own.
func (l *lab) small(args ...string) *small {
	return &small{lab: l, flash: filepath.Join(l.TempDir(), "flash"), args: args}
}

// register adds the device to the server.
func (d *small) register(name, vendor, class string, more ...string) {
	d.Helper()
	said := d.run(append([]string{"device", "add", "--name", name, "--constrained", "--vendor", vendor, "--class", class, "-o", "json"}, more...)...)
	d.keep(name+".json", []byte(said))
	if err := json.Unmarshal([]byte(said), &d.papers); err != nil {
		d.Fatalf("%v: %s", err, said)
	}
	d.args = append(d.args, "--credentials", filepath.Join(d.files, name+".json"), "--poll", "1s")
}

// play starts the device, and waits until it listens.
func (d *small) play(args ...string) {
	d.Helper()
	cmd := exec.Command(program(d.T, "updraft"), append(append([]string{"sim", "coap", "--data", d.flash, "-o", "json"}, d.args...), args...)...)
	d.process = launch(d.T, "device", cmd)
	d.tells(`"listening"`)
}

// serverFlags make the device speak to the server, over coaps or plain coap.
func (d *small) serverFlags(plain bool) []string {
	if plain {
		return []string{"--server", d.coap(), "--register"}
	}
	return []string{"--server", d.coaps(), "--register"}
}

// once has the device deal with one manifest, and returns how it ended.
func (d *small) once(status int, args ...string) string {
	d.Helper()
	d.play(append([]string{"--once", "--timeout", patience.String()}, args...)...)
	d.exits(status)
	return d.said()
}

// holds checks what is in a slot.
func (d *small) holds(slot int, want []byte) {
	d.Helper()
	got, err := os.ReadFile(filepath.Join(d.flash, fmt.Sprintf("slot%d.bin", slot)))
	if err != nil || !bytes.Equal(got, want) {
		d.Errorf("slot %d holds %d bytes that are not the %d of the image: %v", slot, len(got), len(want), err)
	}
}

// send queues a package for the device and returns the update's id.
func (d *small) send(pkg string, flags ...string) string {
	d.Helper()
	var sent struct{ ID string }
	send := append([]string{"update", "send", "--device", d.papers.UUID, "--package", pkg, "-o", "json"}, flags...)
	if err := json.Unmarshal([]byte(d.run(send...)), &sent); err != nil {
		d.Fatal(err)
	}
	return sent.ID
}

// server tells how the server sees an update of this device.
func (d *small) server() *car { return &car{T: d.T, site: d.lab.site, uuid: d.papers.UUID} }

// tells waits for an event with these members, in the order they have.
func (d *small) tells(members ...string) {
	d.Helper()
	d.says(`"event":` + strings.Join(members, `[^\n]*`))
}

// await waits until the server sees the end of an update.
func (d *small) await(update string, want ota.Status) {
	d.Helper()
	d.server().await(update, want)
}
