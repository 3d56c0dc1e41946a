package e2e_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// makeRoot makes a root for dpkg, with a shell for maintainer scripts.
func makeRoot(t *testing.T, root string) {
	t.Helper()
	shell, err := os.ReadFile("/bin/busybox") // Debian package busybox-static
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "bin/sh"), string(shell), 0o755)
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

// scripts are maintainer scripts by name. All note in /count when they begin
// and when they are through.
type scripts map[string]string

// buildDeb builds a real package and returns its file. It has a postinst
// whether one is given or not.
func buildDeb(t *testing.T, name, version string, of scripts) string {
	t.Helper()
	return buildHeavyDeb(t, name, version, of, 0)
}

// buildHeavyDeb is buildDeb of a package with so many bytes more.
func buildHeavyDeb(t *testing.T, name, version string, of scripts, size int) string {
	t.Helper()
	dir, deb := t.TempDir(), filepath.Join(t.TempDir(), name+".deb")
	write(t, filepath.Join(dir, "DEBIAN/control"), fmt.Sprintf(
		"Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: test\n", name, version), 0o644)
	write(t, filepath.Join(dir, "usr/share", name, "hello"), "hello\n", 0o644)
	noise := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(noise)
	write(t, filepath.Join(dir, "usr/share", name, "noise"), string(noise), 0o644)
	for _, script := range []string{"preinst", "postinst"} {
		if text, ok := of[script]; ok || script == "postinst" {
			write(t, filepath.Join(dir, "DEBIAN", script), fmt.Sprintf(
				"#!/bin/sh\nset -e\necho %s began >> /count\n%s\necho %[1]s done >> /count\n", script, text), 0o755)
		}
	}
	if out, err := exec.Command("dpkg-deb", "--build", "--nocheck", "--root-owner-group", "-Zgzip", dir, deb).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	return deb
}

// installed checks what dpkg's database says of a package.
func (c *car) installed(name, version string) {
	c.Helper()
	if got, want := dpkgSays(c.root, name), version+" install ok installed"; got != want {
		c.Errorf("dpkg says %q of %s, want %q", got, name, want)
	}
}

func dpkgSays(root, name string) string {
	out, _ := exec.Command("dpkg-query", "--admindir", filepath.Join(root, "var/lib/dpkg"), "-W", "-f", "${Version} ${Status}", name).Output()
	return string(out)
}

// count tells how often a script noted something, such as "postinst done".
func (c *car) count(what string) int {
	c.Helper()
	b, err := os.ReadFile(filepath.Join(c.root, "count"))
	if err != nil && !os.IsNotExist(err) {
		c.Fatal(err)
	}
	return strings.Count(string(b), what+"\n")
}

func (c *car) counts(what string, want int) {
	c.Helper()
	if got := c.count(what); got != want {
		c.Errorf("%d times %s, want %d", got, what, want)
	}
}

// gate is where a maintainer script stops until it is let through.
type gate struct {
	*testing.T
	hello, answer *os.File
}

// atTheGate is the script that does.
const atTheGate = `echo $PPID > /hello; read word < /answer; test "$word" = go`

// gate makes one in the device's root. Its end, and that of the tests, is the
// end of the script's hopes.
func (c *car) gate() *gate {
	c.Helper()
	return &gate{c.T, fifo(c.T, filepath.Join(c.root, "hello")), fifo(c.T, filepath.Join(c.root, "answer"))}
}

func fifo(t *testing.T, path string) *os.File {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// reached waits until a script stands at the gate and returns its dpkg's pid.
func (g *gate) reached() int {
	g.Helper()
	g.hello.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(g.hello).ReadString('\n')
	if err != nil {
		g.Fatalf("no script reached the gate: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		g.Fatal(err)
	}
	return pid
}

// open lets the script through that stands at the gate.
func (g *gate) open() {
	g.Helper()
	if _, err := g.answer.WriteString("go\n"); err != nil {
		g.Fatal(err)
	}
}
