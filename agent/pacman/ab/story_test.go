package ab

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

// everyLoader tells a story once for each boot loader.
func everyLoader(t *testing.T, tell func(w *world)) {
	for loader := range bootloaders {
		t.Run(loader, func(t *testing.T) { tell(newWorld(t, loader, A)) })
	}
}

func (w *world) installed() string {
	w.Helper()
	ids, err := w.installer().Installed(w.Context())
	if err != nil {
		return err.Error()
	}
	var names []string
	for _, id := range ids {
		names = append(names, id.String())
	}
	return strings.Join(names, " ")
}

// next is a new update: its work directory is empty.
func (w *world) next(image string) {
	w.must(errors.Join(os.RemoveAll(w.at("work")), os.Mkdir(w.at("work"), 0o700)))
	w.download(image)
}

func TestUpdatesGoFromSlotToSlot(t *testing.T) {
	everyLoader(t, func(w *world) {
		if got := w.installed(); got != "" {
			w.Errorf("installed before any update: %q", got)
		}
		w.next("new")
		w.want(w.finish(), ota.OK, B, "slot B runs system=new")
		if got := w.installed(); got != "system=new" {
			w.Errorf("installed: %q", got)
		}
		if text := w.read("slot-b")[imageSize:]; text != strings.Repeat("x", slotSize-imageSize) {
			w.Error("the slot was changed behind the image")
		}

		same := w.img // sent once more, as another update
		w.must(os.RemoveAll(w.at("work/ab.json")))
		w.want(w.finish(), ota.AlreadyProcessed, B, "slot B runs this image")

		w.next("sick")
		w.want(w.finish(), ota.InstallFailed, B, "slot A came up", "health check", "exit status 1")
		w.next("dead")
		w.want(w.finish(), ota.InstallFailed, B, "slot A was tried and did not come up", "slot B runs again")
		if got := w.installed(); got != "system=new" {
			w.Errorf("installed: %q", got)
		}
		w.next("new")
		w.want(w.finish(), ota.OK, A)
		if w.holds(B) != "new" || w.img.Digest == same.Digest {
			w.Error("the slot that ran before was touched")
		}
	})
}

// What a client on trial says must not become the server's truth.
func TestNothingIsInstalledWhileOnTrial(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.download("new")
		w.live(0)
		if got := w.installed(); got != "" { // still slot A
			w.Errorf("before the restart: %q", got)
		}
		w.start()
		if got := w.installed(); w.now != B || !strings.Contains(got, "slot B is on trial") {
			w.Errorf("slot %s: %q", w.now, got)
		}
		w.want(w.finish(), ota.OK, B)
	})
}

func TestAHealthCheckMayPassLate(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.write("healthy", "#!/bin/sh\ntest -e "+w.at("once")+" || { : > "+w.at("once")+"; exit 1; }\n")
		w.download("new")
		w.want(w.finish(), ota.OK, B)
	})
}

// A check that takes the client down with it counts all the same.
func TestAHealthCheckThatKillsTheClient(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.write("healthy", "#!/bin/sh\nkill -KILL $PPID\n")
		w.download("new")
		w.live(0)
		w.start()
		for range w.cfg.HealthTries {
			w.dies()
		}
		w.want(w.finish(), ota.InstallFailed, A, "health check did not pass")
	})
}

func TestWithoutAHealthCheckTheClientIsOne(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.cfg.HealthCheck = ""
		w.download("sick")
		w.want(w.finish(), ota.OK, B)
	})
}

func TestARebootCommandThatFails(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.cfg.Reboot = "/bin/false"
		w.download("new")
		out := w.installer().Install(w.Context(), w.img)
		w.want(out, ota.InstallFailed, A, "does not restart the device", "/bin/false: exit status 1")
		w.cfg.Reboot = "/bin/true"
		w.next("new")
		out = w.installer().Install(w.Context(), w.img)
		w.want(out, ota.InstallFailed, A, "still runs")
	})
}

// stubborn starts the same slot, whatever it is told.
type stubborn struct {
	bootloader
	slot Slot
}

func (s stubborn) start(w *world) Slot {
	s.bootloader.start(w)
	return s.slot
}

func TestABootLoaderThatDoesNotListen(t *testing.T) {
	everyLoader(t, func(w *world) {
		listens := w.boot
		w.boot = stubborn{listens, A}
		w.download("new")
		w.want(w.finish(), ota.InstallFailed, A, "did not come up")

		w.boot = listens
		w.next("sick")
		w.live(0)
		w.start()
		w.boot = stubborn{listens, B}
		out := w.finish()
		if out.Code != ota.InstallFailed || !strings.Contains(out.Text, "the boot loader does not go back to slot A") || w.choice().Keep != A {
			w.Errorf("%v, %s", out, w.choice())
		}
		// Slot B is unhealthy, but runs. Slot A is all that is good, and safe.
		w.next("new")
		out = w.finish()
		if out.Code != ota.InstallFailed || !strings.Contains(out.Text, "not set to keep the running slot B") || w.holds(A) != "old" {
			w.Errorf("%v; slot A holds %q", out, w.holds(A))
		}
	})
}

// An altbootcmd may start the other slot and not note that.
func TestAnAltbootcmdThatForgets(t *testing.T) {
	w := newWorld(t, "uboot", A)
	w.download("dead")
	w.live(0)
	w.boot = stubborn{w.boot, A}
	w.start()
	w.must(w.boot.write(w.Context(), choice{Keep: A, Try: B})) // as before the start
	w.want(w.finish(), ota.InstallFailed, A)
}

func TestASystemThatDoesNotKnowItsSlot(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.download("new")
		w.live(0)
		w.start()
		w.write("cmdline", "quiet\n") // the new system's boot script lacks it
		w.live(0)
		if !w.has("rebooting") {
			w.Fatal("the client does not leave the slot")
		}
		w.start()
		w.want(w.finish(), ota.InstallFailed, A, "cannot tell which slot runs", "updraft.slot=")
	})
}

func TestAMissingBootEnvironmentIsToldBeforeAnythingIsWritten(t *testing.T) {
	everyLoader(t, func(w *world) {
		for _, name := range []string{"grubenv", "uboot.env"} {
			if w.has(name) {
				w.write(name, strings.Repeat("?", 0x8000))
			}
		}
		w.download("new")
		before := w.read("slot-b")
		out := w.installer().Install(w.Context(), w.img)
		if out.Code != ota.InstallFailed || !strings.Contains(out.Text, "cannot read the boot environment") {
			w.Errorf("%v", out)
		}
		if w.read("slot-b") != before {
			w.Error("the slot was written")
		}
	})
}

// Once the boot loader keeps the new slot there is no way back: that would
// undo what the device may have been seen to run.
func TestAKeptSlotIsNotJudgedAgain(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.cfg.HealthTries = 100
		w.download("new")
		w.live(0)
		w.start()
		for kill := 1; ; kill++ { // each life goes one point further
			if l := w.live(kill); l.Killed == `after choosing slot "B"` {
				break
			} else if l.Killed == "" {
				w.Fatalf("slot B is not chosen: %v", l)
			}
		}
		w.write("sick", "")
		out := w.finish()
		os.Remove(w.at("sick"))
		w.want(out, ota.OK, B)
	})
}

// A slot that was begun to be written holds nothing that is known.
func TestAHalfWrittenSlotIsForgotten(t *testing.T) {
	everyLoader(t, func(w *world) {
		for _, slot := range []Slot{B, A} {
			w.next("new")
			w.want(w.finish(), ota.OK, slot)
		}
		w.next("new")
		w.write("image", "something else")
		w.want(w.finish(), ota.ValidationFailed, A)
		known, err := w.installer().contents()
		if _, ok := known[B]; ok || len(known) != 1 {
			w.Errorf("%v, %v", known, err)
		}
	})
}

// deaf says it was written, and was not.
type deaf struct{ environment }

func (deaf) write(context.Context, choice) error { return nil }

func TestAnEnvironmentThatDoesNotChange(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.download("new")
		in := w.installer()
		in.env = deaf{in.env}
		w.want(in.Install(w.Context(), w.img), ota.InstallFailed, A, "did not change: it says slot \"A\", not slot B once, then slot A")
	})
}

func TestTheEnvironmentsOfNewDevices(t *testing.T) {
	for _, loader := range []string{"uboot", "grub"} {
		w := newWorld(t, loader, A)
		w.boot.install(w) // knows nothing of slots
		if got := w.installed(); got != "" {
			t.Errorf("%s: %q", loader, got)
		}
		w.download("new")
		w.want(w.finish(), ota.OK, B)
	}
}

func TestTheRunningSlotIsFound(t *testing.T) {
	w := newWorld(t, "grub", A)
	for line, want := range map[string]string{
		"updraft.slot=B":                       "B",
		"root=x updraft.slot=A rw":             "A",
		"updraft.slot=A x updraft.slot=B\n":    "B",
		"xupdraft.slot=A":                      "has no updraft.slot=A or updraft.slot=B",
		"updraft.slot=C":                       `expected slot A or B, not "C"`,
		"updraft.slot=":                        `expected slot A or B, not ""`,
		"updraft.slot=A updraft.slot=\x80\x81": "expected slot A or B",
	} {
		w.write("cmdline", line)
		w.cfg.Running = ""
		w.isRunning(line, want)
	}
	for command, want := range map[string]string{
		"echo B":                  "B",
		"cat " + w.at("which"):    "A",
		"/bin/false":              "/bin/false: exit status 1",
		"/no/such/program":        "no such file",
		"cat " + w.at("no-which"): "No such file",
		"echo":                    `expected slot A or B, not ""`,
	} {
		w.write("which", "A\n")
		w.cfg.Running = command
		w.isRunning(command, want)
	}
}

func (w *world) isRunning(from, want string) {
	w.Helper()
	slot, err := w.installer().running(w.Context())
	if string(slot) != want && (err == nil || !strings.Contains(err.Error(), want)) {
		w.Errorf("%q: slot %q, %v; want %s", from, slot, err, want)
	}
}

func TestDamagedFilesAreFoundOutAgain(t *testing.T) {
	everyLoader(t, func(w *world) {
		w.download("new")
		w.live(0)
		w.write("work/ab.json", "{")
		w.write("state/ab-slots.json", "[")
		w.want(w.finish(), ota.OK, B)
	})
}

func TestCommandsAreNotWaitedForForEver(t *testing.T) {
	_, err := run(t.Context(), 20*time.Millisecond, "", "sh", "-c", "sleep 1000 & wait")
	if err == nil || !strings.Contains(err.Error(), "still ran after") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run(ctx, time.Minute, "", "sleep", "1000"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, err = run(t.Context(), time.Minute, "", "sh", "-c", "echo why >&2; exit 3")
	if diff := cmp.Diff("sh: exit status 3: why", err.Error()); diff != "" {
		t.Error(diff)
	}
	if _, err := run(t.Context(), time.Minute, ""); err == nil {
		t.Error("an empty command succeeds")
	}
}

// Programs see nothing of the client's environment.
func TestCommandsSeeLittle(t *testing.T) {
	t.Setenv("SECRET", "x")
	out, err := run(t.Context(), time.Minute, "", "env")
	if err != nil || strings.Contains(out, "SECRET") || !strings.Contains(out, "PATH=") {
		t.Errorf("%v %q", err, out)
	}
}

func TestUnknownBootLoader(t *testing.T) {
	w := newWorld(t, "grub", A)
	w.cfg.Bootloader = "lilo"
	if _, err := New(w.cfg, Options{}); ota.KindOf(err) != ota.KindInvalid {
		t.Error(err)
	}
}
