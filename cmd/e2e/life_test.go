package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

// Two agents on one state would undo each other's work: the second one ends
// and says who is there. A killed agent leaves nothing that keeps out the next.
func TestOneAgentAtATime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := newCar(s, "one")
	c.start()
	c.says("client runs")
	first := c.process
	second := launch(t, "second agent", c.agent())
	second.exits(1)
	if want := fmt.Sprintf("pid %d", first.cmd.Process.Pid); !strings.Contains(second.said(), want) {
		t.Errorf("the second agent does not name %q", want)
	}
	first.kill()
	c.start()
	c.says("client runs")
	c.terminate()
}

// A device that becomes another one starts a fresh journal: what the old one
// had installed is not taken for its own. The old journal is kept.
func TestAnotherIdentityStartsAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(buildDeb(t, "tool", "1.0", nil), "tool", "1.0")
	c := newCar(s, "before")
	c.start()
	id := c.send("tool", "1.0")
	c.await(id, ota.Finished)
	c.rests()

	other := newCar(s, "after")
	other.extra = []string{"--device-packages-dir", filepath.Join(c.dir, "downloads")}
	s.must("update", "send", "--device", other.uuid, "--package", "tool=1.0", "--id", id)
	other.start()
	other.says("another than before")
	other.hasTool(id) // the same id, and yet another update
	kept, err := filepath.Glob(filepath.Join(c.dir, "downloads/.updraft-agent/old-*/journal/"+id+".json"))
	if err != nil || len(kept) != 1 {
		t.Errorf("of the old journal are kept %q: %v", kept, err)
	}
}

// An agent ends in order when systemd says so, and when somebody on the
// device does, even in the middle of a poll.
func TestAnAgentEndsInOrder(t *testing.T) {
	t.Parallel()
	c := newCar(newSite(t), "obedient")
	c.start()
	c.tell(`"GetUpdateRequests"`)
	c.terminate()
	c.start()
	if answer, err := c.post(`"Shutdown"`); err == nil {
		t.Errorf("Shutdown was answered: %s", answer)
	}
	c.exits(0)
}

// An update that fails blocks the device, and an operator is told so when he
// sends the next one. Unblocking lets it go on.
func TestAFailureBlocksTheDevice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publish(buildDeb(t, "broken", "1.0", scripts{"postinst": "echo the disk is on fire >&2; exit 3"}), "broken", "1.0")
	s.publish(buildDeb(t, "tool", "1.0", nil), "tool", "1.0")
	c := newCar(s, "unlucky")
	c.start()
	bad := c.send("broken", "1.0")
	c.await(bad, ota.Failed)
	c.reported(bad, ota.InstallFailed)
	if text := c.results(bad)[0].ResultText; !strings.Contains(text, "the disk is on fire") {
		t.Errorf("the report does not tell what the script said: %q", text)
	}

	next := uuid.NewString()
	out := s.must("update", "send", "--device", c.name, "--package", "tool=1.0", "--id", next)
	if !strings.Contains(out, `"blocked"`) || !strings.Contains(out, "broken=1.0 failed") {
		t.Errorf("sending to a blocked device says %s", out)
	}
	if got := c.tell(`"GetUpdateRequests"`); got != `"NoUpdateRequests"` {
		t.Errorf("a blocked device is offered %s", got)
	}
	s.must("device", "unblock", c.name)
	c.await(next, ota.Finished)
	c.installed("tool", "1.0")
	c.rests()
	c.reported(bad, ota.InstallFailed)
	c.reported(next, ota.OK)
}

// An image that no trusted key has signed never reaches the installer, even
// if the server takes it.
func TestAnUnsignedImageIsNotInstalled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	deb := buildDeb(t, "tool", "1.0", nil)
	if _, complaint, status := s.updraft("package", "add", deb, "--name", "tool", "--version", "1.0"); status != 1 || !strings.Contains(complaint, "trusted") {
		t.Errorf("the server takes what nobody signed: status %d: %s", status, complaint)
	}
	foreign := filepath.Join(t.TempDir(), "foreign.key")
	s.must("key", "new", "--out", foreign)
	s.terminate()
	s.trusting = true
	s.start()
	for name, sign := range map[string][]string{"unsigned": nil, "foreign": {"--sign", foreign}} {
		s.must(append([]string{"package", "add", deb, "--name", "tool", "--version", name}, sign...)...)
		c := newCar(s, name)
		c.start()
		id := c.send("tool", name)
		c.await(id, ota.Failed)
		c.reported(id, ota.ValidationFailed)
		if _, err := os.Stat(filepath.Join(c.root, "var")); !os.IsNotExist(err) {
			t.Errorf("dpkg was at work: %v", err)
		}
		c.terminate()
	}
}
