package pacman

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// The tests run the real dpkg on roots of their own. Maintainer scripts run
// there by chroot(2), which is root's right: an ordinary user's test run
// becomes two, one as root of a user namespace and one for TestOrdinaryUser.
func TestMain(m *testing.M) {
	if what := os.Getenv(serviceEnv); what != "" {
		os.Exit(serve(what))
	}
	if os.Geteuid() == 0 || os.Getenv(ordinaryEnv) != "" {
		os.Exit(m.Run())
	}
	namespace := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	err := again(os.Stdout, namespace, namespaceEnv, os.Args[1:]...)
	if err == nil {
		err = again(os.Stdout, nil, ordinaryEnv, "-test.run=^TestOrdinaryUser$")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need root, or a kernel that lets users make namespaces:", err)
		os.Exit(1)
	}
}

const (
	namespaceEnv = "PACMAN_TEST_NAMESPACE" // set in the namespace TestMain makes
	ordinaryEnv  = "PACMAN_TEST_ORDINARY"  // set where the tests must stay an ordinary user
)

// again runs this test program again, with a variable set.
func again(out io.Writer, attr *syscall.SysProcAttr, variable string, args ...string) error {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, attr
	if attr != nil && attr.Credential != nil {
		cmd.Dir = "/" // the other user may not come here
	}
	return cmd.Run()
}

// ground is a system of its own, with an installer for it.
type ground struct {
	*testing.T
	agent.Installer
	top string // its root directory
	dir string // images lie here
}

func newGround(t *testing.T, spec, root string) ground {
	t.Helper()
	in, err := New(spec, Options{Root: root, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return ground{T: t, Installer: in, top: root, dir: t.TempDir()}
}

// world is a system with dpkg, and with a shell for maintainer scripts.
type world struct {
	ground
	*deb
}

func newWorld(t *testing.T) world {
	t.Helper()
	return newWorldIn(t, t.TempDir())
}

func newWorldIn(t *testing.T, root string) world {
	t.Helper()
	g := newGround(t, "deb", root)
	g.write(filepath.Join(root, "bin/sh"), g.shell(), 0o755)
	return world{g, g.Installer.(*deb)}
}

// shell is a program that is a shell, and other things, on its own.
func (w ground) shell() string {
	w.Helper()
	shell, err := os.ReadFile("/bin/busybox") // Debian package busybox-static
	if err != nil {
		w.Fatal(err)
	}
	return string(shell)
}

func (w ground) write(path, text string, mode os.FileMode) {
	w.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		w.Fatal(err)
	}
}

// files of a package to build, by path in the package; "DEBIAN/postinst" is
// its script.
type files map[string]string

// build makes a real package. Control holds further fields, a line each.
func (w world) build(name, version, control string, content files) string {
	w.Helper()
	dir := w.TempDir()
	if !strings.Contains(control, "Architecture:") {
		control += "Architecture: all\n"
	}
	w.write(filepath.Join(dir, "DEBIAN/control"), fmt.Sprintf("Package: %s\nVersion: %s\nMaintainer: Test <test@example.org>\nDescription: test\n%s", name, version, control), 0o644)
	for path, text := range content {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(path, "DEBIAN/p") {
			mode, text = 0o755, "#!/bin/sh\nset -e\n"+text+"\n"
		}
		w.write(filepath.Join(dir, path), text, mode)
	}
	deb := filepath.Join(w.dir, name+"_"+version+".image")
	w.do("dpkg-deb", "--build", "--nocheck", "--root-owner-group", "-Zgzip", dir, deb)
	return deb
}

func (w ground) do(name string, args ...string) string {
	w.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// image is what the client would hand over for a file. Its work directory is
// the same each time, as after a crash.
func (w ground) image(path string) agent.Image {
	w.Helper()
	work := path + ".work"
	if err := os.MkdirAll(work, 0o700); err != nil {
		w.Fatal(err)
	}
	return agent.Image{Update: "u1", Package: ota.PackageID{Name: "as-the", Version: "server-calls-it"}, Path: path, WorkDir: work}
}

func (w ground) install(path string) agent.Outcome {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	return w.Install(ctx, w.image(path))
}

// mustInstall installs a package that the story takes for granted.
func (w ground) mustInstall(path string) {
	w.Helper()
	w.want(w.install(path), ota.OK)
}

// want checks a code and that the text holds all the words.
func (w ground) want(got agent.Outcome, code ota.ResultCode, words ...string) {
	w.Helper()
	if got.Code != code {
		w.Fatalf("outcome is %s, want %s; text:\n%s", got.Code, code, got.Text)
	}
	for _, word := range words {
		if !strings.Contains(got.Text, word) {
			w.Errorf("the text lacks %q:\n%s", word, got.Text)
		}
	}
}

// state is dpkg's own word for a package.
func (w world) state(name string) string {
	w.Helper()
	cmd := exec.Command("dpkg-query", "--admindir", w.admindir(), "-W", "-f", "${Version} ${Status}", name)
	out, err := cmd.Output()
	if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
		w.Fatal(err)
	}
	return string(out)
}

func (w world) wantState(name, want string) {
	w.Helper()
	if got := w.state(name); got != want {
		w.Errorf("dpkg says %q about %s, want %q", got, name, want)
	}
}

// lines counts the lines of a file in the root; scripts leave traces that way.
func (w ground) lines(name string) int {
	w.Helper()
	b, err := os.ReadFile(filepath.Join(w.top, name))
	if err != nil && !os.IsNotExist(err) {
		w.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

// gate is a place where a maintainer script stops until the test lets it go.
type gate struct {
	ground
	hello, answer string
}

// gateScript stops at the gate, and notes in /count that it got through.
const gateScript = `echo hello > /hello; read word < /answer; test "$word" = go; echo done >> /count`

func (w ground) gate() gate {
	w.Helper()
	g := gate{w, filepath.Join(w.top, "hello"), filepath.Join(w.top, "answer")}
	if err := errors.Join(syscall.Mkfifo(g.hello, 0o600), syscall.Mkfifo(g.answer, 0o600)); err != nil {
		w.Fatal(err)
	}
	return g
}

// reached waits until a script stands at the gate.
func (g gate) reached() {
	g.Helper()
	f, err := os.Open(g.hello)
	if err != nil {
		g.Fatal(err)
	}
	defer f.Close()
	if _, err := bufio.NewReader(f).ReadString('\n'); err != nil {
		g.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, f); err != nil { // until the script has closed it
		g.Fatal(err)
	}
}

// open lets the script that stands at the gate go.
func (g gate) open() {
	g.Helper()
	if err := os.WriteFile(g.answer, []byte("go\n"), 0o600); err != nil {
		g.Fatal(err)
	}
}

// begin starts an Install and returns once its script stands at the gate, with
// a function that makes the client forget it, as its death would.
func (g gate) begin(path string) (die func()) {
	g.Helper()
	ctx, cancel := context.WithCancel(g.Context())
	ended := make(chan struct{})
	go func() { g.Install(ctx, g.image(path)); close(ended) }()
	g.reached()
	return func() { cancel(); <-ended }
}

// powerCut kills the run for an image: keeper, installer and scripts.
func (g gate) powerCut(path string) {
	g.Helper()
	text, err := os.ReadFile(filepath.Join(path+".work", lockName))
	if err != nil {
		g.Fatal(err)
	}
	keeper, err := strconv.Atoi(string(text))
	if err != nil {
		g.Fatal(err)
	}
	if err := syscall.Kill(-keeper, syscall.SIGKILL); err != nil {
		g.Fatal(err)
	}
}

// killHolder kills only the process that holds one of the locks.
func (g gate) killHolder(locks ...string) {
	g.Helper()
	pid, err := holder(locks...)
	if err != nil || pid == 0 {
		g.Fatalf("nobody holds the lock: %d, %v", pid, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		g.Fatal(err)
	}
}
