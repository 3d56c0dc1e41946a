package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/updraft-ota/updraft/cmd/internal/operator"
	"github.com/updraft-ota/updraft/cmd/internal/server"
)

// site is a server with its data folder and port, through all its lives.
type site struct {
	*testing.T
	dir  string
	port int
	args []string // further ones
	key  string   // file that signs packages, trusted by server and devices
	*process
	real     bool  // run the real program
	trusting bool  // takes unsigned packages
	mortal   bool  // killed at some point; see revive
	deaths   int32 // how often it was
}

// in is the same server in another test.
func (s *site) in(t *testing.T) *site {
	c := *s
	c.T = t
	return &c
}

// newSite starts a server that asks for tokens and takes signed packages only.
func newSite(t *testing.T, args ...string) *site {
	t.Helper()
	s := &site{T: t, dir: filepath.Join(t.TempDir(), "data"), port: freePort(), args: args, key: filepath.Join(t.TempDir(), "release.key")}
	s.must("key", "new", "--out", s.key)
	s.start()
	return s
}

// start starts the server and waits until it serves.
func (s *site) start(env ...string) {
	s.Helper()
	s.begin(env...)
	until(s.T, "the server to serve", func() bool { return s.ready() || !s.alive() })
	if !s.alive() {
		s.Fatalf("the server did not start: %s", s.process.said())
	}
}

// begin starts the server.
func (s *site) begin(env ...string) {
	s.Helper()
	args := append([]string{"--data", s.dir, "--bind", "127.0.0.1", "--http-port", fmt.Sprint(s.port), "--coap-port", "0"}, s.args...)
	if !s.trusting {
		args = append(args, "--trusted-keys", s.key+".pub")
	}
	cmd := self("server", args...)
	if s.real {
		cmd = exec.Command(program(s.T, "updraft"), append([]string{"server"}, args...)...)
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, env...)
	s.process = launch(s.T, "server", cmd)
}

// addresses are where the server listens.
func (s *site) addresses() (a server.Addresses) {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "addresses.json"))
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// revive starts a mortal server again if it has died.
func (s *site) revive() {
	s.Helper()
	if s.mortal && !s.alive() {
		s.killed()
		s.deaths++
		s.start()
	}
}

func (s *site) url() string { return fmt.Sprintf("http://127.0.0.1:%d", s.port) }

func (s *site) ready() bool {
	resp, err := http.Get(s.url() + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// updraft runs an operator's command and returns what it printed, which is
// JSON if it succeeded, and what it complained of.
func (s *site) updraft(args ...string) (out, complaint string, status int) {
	s.Helper()
	token, err := os.ReadFile(filepath.Join(s.dir, "admin.token"))
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	root := operator.Root("e2e")
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	status = operator.Execute(s.Context(), root, append(args, "-o", "json", "--server", s.url(), "--token", strings.TrimSpace(string(token))))
	return stdout.String(), stderr.String(), status
}

// must is updraft for what has to succeed.
func (s *site) must(args ...string) string {
	s.Helper()
	out, complaint, status := s.updraft(args...)
	if status != 0 {
		s.Fatalf("updraft %s: status %d: %s", strings.Join(args, " "), status, complaint)
	}
	return out
}

// publish publishes a file, signed.
func (s *site) publish(file, name, version string) {
	s.Helper()
	s.must("package", "add", file, "--name", name, "--version", version, "--sign", s.key)
}

// get reads from the operator API, of a mortal server until it answers.
func (s *site) get(path string, v any) (err error) {
	s.Helper()
	if !s.mortal {
		return s.ask(path, v)
	}
	until(s.T, "the server to answer", func() bool {
		s.revive()
		err = s.ask(path, v)
		return err == nil
	})
	return nil
}

func (s *site) ask(path string, v any) error {
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.url()+path, nil)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(s.dir, "admin.token"))
	if err != nil && !os.IsNotExist(err) { // there is none without auth
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

var lastPort atomic.Int32

// freePort returns a port that is free and, lying below those the kernel
// gives away, stays so while a server is being restarted.
func freePort() int {
	const first, many = 20_000, 10_000
	for {
		port := first + (os.Getpid()*100+int(lastPort.Add(1)))%many
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
}
