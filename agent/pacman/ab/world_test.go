package ab

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// A test's world is a device in a directory: slots, a boot environment that
// the boot loader's real tools work on, what the kernel says, and a client
// that is a process of its own, so that it can be killed.

const (
	imageSize = 2*chunk + 1000
	slotSize  = imageSize + 5000
)

// TestMain runs the client of a world instead, if told so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("AB_TEST_WORLD"); dir != "" {
		client(dir)
		return
	}
	os.Exit(m.Run())
}

type world struct {
	*testing.T
	dir  string
	cfg  agent.ABConfig
	pkgs map[string]string // what each known image is: its digest to "old", "new", "sick" or "dead"
	img  agent.Image
	boot bootloader
	now  Slot                      // runs
	wrap func(exe string) []string // starts the client's process, if set
}

// bootloader is what the boot loader does with its environment at each start.
type bootloader interface {
	environment
	// install makes the environment of a device that never had an update.
	install(w *world)
	// start picks the slot to start.
	start(w *world) Slot
}

// newWorld is a device that runs "old" from a slot, kept by the boot loader.
func newWorld(t *testing.T, loader string, from Slot) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{T: t, dir: dir, pkgs: map[string]string{}, cfg: agent.ABConfig{
		SlotA: dir + "/slot-a", SlotB: dir + "/slot-b", Bootloader: loader,
		FwEnvConfig: dir + "/fw_env.config", Grubenv: dir + "/grubenv",
		Reboot: dir + "/reboot", HealthCheck: dir + "/healthy", HealthTimeout: 20, HealthTries: 2,
	}}
	w.boot = bootloaders[loader](w)
	for _, sub := range []string{"state", "work"} {
		w.must(os.Mkdir(w.at(sub), 0o700))
	}
	w.write("reboot", "#!/bin/sh\n: > "+w.at("rebooting")+"\nkill -TERM $PPID\n")
	w.write("healthy", "#!/bin/sh\ntest ! -e "+w.at("sick")+"\n")
	w.write("slot-a", strings.Repeat("x", slotSize))
	w.write("slot-b", strings.Repeat("x", slotSize))
	w.write(filepath.Base(w.path(from)), w.image("old")+strings.Repeat("x", slotSize-imageSize))
	w.boot.install(w)
	w.must(w.boot.write(w.Context(), choice{Keep: from}))
	w.start()
	return w
}

func (w *world) at(name string) string { return filepath.Join(w.dir, name) }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) write(name, text string) {
	w.Helper()
	w.must(os.WriteFile(w.at(name), []byte(text), 0o755))
}

func (w *world) read(name string) string {
	w.Helper()
	text, err := os.ReadFile(w.at(name))
	w.must(err)
	return string(text)
}

func (w *world) has(name string) bool {
	_, err := os.Lstat(w.at(name))
	return err == nil
}

func (w *world) path(s Slot) string {
	if s == A {
		return w.cfg.SlotA
	}
	return w.cfg.SlotB
}

func digestOf(data string) ota.Digest {
	return ota.Digest(fmt.Sprintf("%x", sha256.Sum256([]byte(data))))
}

// image makes an image that is as its name says: "new" is healthy, "sick"
// comes up but is not, "dead" does not come up.
func (w *world) image(name string) string {
	data := make([]byte, imageSize)
	rand.Read(data)
	w.pkgs[string(digestOf(string(data)))] = name
	return string(data)
}

// download puts an image in front of the client.
func (w *world) download(name string) {
	data := w.image(name)
	w.write("image", data)
	w.img = agent.Image{
		Update: "u1", Package: ota.PackageID{Name: "system", Version: name},
		Digest: digestOf(data), Path: w.at("image"), WorkDir: w.at("work"),
	}
}

// holds says what the image in a slot is, "" for none that is whole.
func (w *world) holds(s Slot) string {
	w.Helper()
	data, err := os.ReadFile(w.path(s))
	w.must(err)
	return w.pkgs[string(digestOf(string(data[:imageSize])))]
}

// start is the device coming up, from power on to the client's start.
func (w *world) start() {
	w.Helper()
	os.Remove(w.at("rebooting"))
	os.Remove(w.at("sick"))
	for range 5 {
		w.now = w.boot.start(w)
		switch w.holds(w.now) {
		case "":
			w.Fatalf("slot %s is started, and is broken", w.now)
		case "dead":
			continue // until the watchdog resets it
		case "sick":
			w.write("sick", "")
		}
		w.write("cmdline", fmt.Sprintf("quiet updraft.slot=%s ro\n", w.now))
		w.write("boot_id", rand.Text()+"\n")
		return
	}
	w.Fatal("the device does not come up any more")
}

// choice is what the boot environment says.
func (w *world) choice() choice {
	w.Helper()
	c, err := w.boot.read(w.Context())
	w.must(err)
	return c
}

// installer is a client in this process, which does not wait, and must not be
// stopped.
func (w *world) installer() *Installer {
	w.Helper()
	cfg := w.cfg
	if cfg.Reboot == w.at("reboot") {
		cfg.Reboot = "/bin/true"
	}
	in, err := newInstaller(w.dir, cfg, nil)
	w.must(err)
	in.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return in
}

func newInstaller(dir string, cfg agent.ABConfig, fault func(string)) (*Installer, error) {
	in, err := New(cfg, Options{StateDir: filepath.Join(dir, "state"), Log: slog.New(slog.DiscardHandler), Fault: fault})
	if err == nil {
		in.files = files{cmdline: filepath.Join(dir, "cmdline"), bootID: filepath.Join(dir, "boot_id")}
	}
	return in, err
}

// order is what a client's process is to do.
type order struct {
	Config agent.ABConfig
	Image  agent.Image
	Kill   int // dies at the fault point of that number, from 1
}

// life is what became of it.
type life struct {
	Outcome *agent.Outcome // nil: it was stopped
	Killed  string         // at this fault point
	Passed  int            // fault points met
}

// client is the process: it installs until it is stopped by SIGTERM, as when
// the device goes down, or dies at a fault point.
func client(dir string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		panic(err)
	}
	passed := 0
	in, err := newInstaller(dir, o.Config, func(point string) {
		if passed++; passed == o.Kill {
			json.NewEncoder(os.Stdout).Encode(life{Killed: point})
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if err != nil {
		panic(err)
	}
	in.pause = func(ctx context.Context, d time.Duration) error {
		if d == restartLimit {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	out := in.Install(ctx, o.Image)
	l := life{Passed: passed}
	if ctx.Err() == nil {
		l.Outcome = &out
	}
	json.NewEncoder(os.Stdout).Encode(l)
}

// process is a client about to live.
func (w *world) process(kill int) *exec.Cmd {
	w.Helper()
	in, err := json.Marshal(order{w.cfg, w.img, kill})
	w.must(err)
	exe, err := os.Executable()
	w.must(err)
	argv := []string{exe}
	if w.wrap != nil {
		argv = w.wrap(exe)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	// The race detector would hold each process back for a second at its end.
	cmd.Env = append(os.Environ(), "AB_TEST_WORLD="+w.dir, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	return cmd
}

// live lets a client live once.
func (w *world) live(kill int) life {
	w.Helper()
	cmd := w.process(kill)
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	var l life
	if jsonErr := json.Unmarshal(out.Bytes(), &l); jsonErr != nil || err != nil && l.Killed == "" {
		w.Fatalf("%v: %s", err, out.String())
	}
	return l
}

// dies lets a client live until its health check kills it.
func (w *world) dies() {
	w.Helper()
	cmd := w.process(0)
	if err := cmd.Run(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		w.Fatalf("the client was not killed: %v", err)
	}
}

// finish lets the client live, and the device restart, until an outcome.
func (w *world) finish() agent.Outcome {
	w.Helper()
	for range 6 {
		l := w.live(0)
		if l.Outcome != nil {
			return *l.Outcome
		}
		if !w.has("rebooting") {
			w.Fatal("the client was stopped without a restart")
		}
		w.start()
	}
	w.Fatal("the device goes round in circles")
	return agent.Outcome{}
}

// want checks an outcome, that its text holds all the words, and that now and
// after another start the device runs a slot, and keeps it.
func (w *world) want(got agent.Outcome, code ota.ResultCode, runs Slot, words ...string) {
	w.Helper()
	if got.Code != code {
		w.Fatalf("outcome is %s, want %s: %s", got.Code, code, got.Text)
	}
	for _, word := range words {
		if !strings.Contains(got.Text, word) {
			w.Errorf("%q is not in: %s", word, got.Text)
		}
	}
	if c := w.choice(); w.now != runs || c != (choice{Keep: runs}) {
		w.Errorf("slot %s runs, the boot loader is to start %s; want slot %s for both", w.now, c, runs)
	}
	w.start()
	if w.now != runs {
		w.Errorf("after another start slot %s runs, want %s", w.now, runs)
	}
}

var bootloaders = map[string]func(*world) bootloader{
	"uboot": func(w *world) bootloader { return ubootModel{uboot{w.cfg.FwEnvConfig}} },
	"grub":  func(w *world) bootloader { return grubModel{grub{w.cfg.Grubenv}} },
}

// ubootModel starts slots as U-Boot does with CONFIG_BOOTCOUNT_ENV. The
// commands are those of docs/ab.md, run by a shell with U-Boot's words.
type ubootModel struct{ uboot }

// install makes a redundant environment with what a vendor has in there.
func (u ubootModel) install(w *world) {
	w.write("uboot.env", string(make([]byte, 0x8000)))
	w.write("fw_env.config", fmt.Sprintf("%[1]s 0x0 0x4000\n%[1]s 0x4000 0x4000\n", w.at("uboot.env")))
	w.write("initial", "bootdelay=2\n"+documented(w.T, "uboot"))
	out, err := exec.Command("fw_setenv", "-c", u.config, "-f", w.at("initial"), "board", "test").CombinedOutput()
	if err != nil {
		w.Fatalf("fw_setenv (Debian package libubootenv-tool): %v: %s", err, out)
	}
}

// hush stands for U-Boot's shell. Loading a kernel prints its command line.
const hush = `
run() { eval "eval \"\$$1\""; }
setenv() { name=$1; shift; eval "$name=\$*"; }
saveenv() {
	printf 'updraft_slot=%s\nupgrade_available=%s\nbootcount=%s\n' "$updraft_slot" "$upgrade_available" "$bootcount" |
		fw_setenv -c "$config" -s -
}
load() { true; }
booti() { echo "$bootargs"; exit; }
reset() { exit 1; }
if [ "$upgrade_available" = 1 ]; then
	bootcount=$((bootcount + 1))
	saveenv
	if [ "$bootcount" -gt "$bootlimit" ]; then run altbootcmd; fi
fi
run bootcmd
`

func (u ubootModel) start(w *world) Slot {
	out, err := exec.Command("fw_printenv", "-c", u.config).Output()
	w.must(err)
	vars := variables(string(out))
	if vars["board"] != "test" || vars["bootdelay"] != "2" {
		w.Fatalf("the vendor's variables are gone: %q", vars)
	}
	cmd := exec.Command("sh", "-euc", hush)
	cmd.Env = append(environ(), "config="+u.config, "kernel_addr_r=", "fdt_addr_r=", "bootargs=", "updraft_part=")
	for name, value := range vars {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stderr = os.Stderr
	line, err := cmd.Output()
	w.must(err)
	_, slot, _ := strings.Cut(strings.TrimSpace(string(line)), cmdlineKey)
	if part := map[string]string{"A": "p2 ", "B": "p3 "}[slot]; part == "" || !strings.Contains(string(line), part) {
		w.Fatalf("slot %q is started with %q", slot, line)
	}
	return Slot(slot)
}

// grubModel starts slots as a grub.cfg of grub-mkconfig does.
type grubModel struct{ grub }

func (g grubModel) install(w *world) {
	if out, err := exec.Command("grub-editenv", g.file, "create").CombinedOutput(); err != nil {
		w.Fatalf("grub-editenv (Debian package grub-common): %v: %s", err, out)
	}
	w.must(exec.Command("grub-editenv", g.file, "set", "recordfail=1").Run())
}

func (g grubModel) start(w *world) Slot {
	out, err := exec.Command("grub-editenv", g.file, "list").Output()
	w.must(err)
	vars := variables(string(out))
	if vars["recordfail"] != "1" {
		w.Fatalf("another variable is gone: %q", vars)
	}
	if next := vars["next_entry"]; next != "" {
		w.must(exec.Command("grub-editenv", g.file, "set", "next_entry=").Run())
		return Slot(next)
	}
	return Slot(vars["saved_entry"])
}
