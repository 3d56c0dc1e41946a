package device

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
)

func TestNodeUsage(t *testing.T) {
	good := []string{"node", "--vin", "V1", "--server", "127.0.0.1:1", "--edge", "127.0.0.1:0", "--data", "/nowhere/at/all"}
	for says, args := range map[string][]string{
		"one of --vin and --device":   {"--device", "9ea653bc-3486-44cd-aa86-d936bd957e52"},
		"a VIN has":                   {"--vin", "V 1"},
		"1 to 64":                     {"--vin", "V1/V2"},
		"Try 'updraft-agent node":     {"--vin", ""},
		"--server, --edge and --data": {"--data", ""},
		"--server: expected":          {"--server", "localhost"},
		"--edge: expected":            {"--edge", "8901"},
		"go together":                 {"--rvi-key", "k"},
		"--edge-allow: expected":      {"--edge-allow", "everywhere"},
		"unknown command":             {"more"},
	} {
		status, _, log := call(t, append(good, args...)...)
		if status != 2 || !strings.Contains(log, says) {
			t.Errorf("%v: %d %s", args, status, log)
		}
	}
	status, out, _ := call(t, "node", "--help")
	if status != 0 || !strings.Contains(out, "Examples:") {
		t.Error(status, out)
	}
}

// ask calls a node's edge.
func ask(t *testing.T, edge, method, params string) (result struct{ Services []string }) {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
	resp, err := http.Post("http://"+edge, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Result struct{ Services []string }
		Error  json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != nil {
		t.Fatal(err, string(answer.Error))
	}
	return answer.Result
}

// What a program registers at the device's node reaches the server's, and stays
// registered when the node is restarted.
func TestTheDevicesNode(t *testing.T) {
	server, names := serverNode(t)
	data := filepath.Join(t.TempDir(), "node")
	for again := range 2 {
		var log syncBuffer
		status := make(chan int)
		go func() {
			status <- Main([]string{"node", "--vin", "V1", "--server", server, "--edge", "127.0.0.1:0", "--data", data}, "test", Hooks{Out: &log, Log: &log})
		}()
		addresses := filepath.Join(data, "addresses.json")
		var at struct {
			Edge string `json:"rvi_edge"`
		}
		readWhenThere(t, addresses, &at)
		if again == 0 {
			ask(t, at.Edge, "register_service", `{"network_address":"http://127.0.0.1:9","service":"/sota/notify"}`)
		}
		if got := <-names; got != "genivi.org/vin/V1/sota/notify" {
			t.Error(got)
		}
		waitFor(t, "the backend's service", func() bool {
			return len(ask(t, at.Edge, "get_available_services", "{}").Services) == 2
		})
		if code := Main([]string{"node", "--vin", "V1", "--server", server, "--edge", "127.0.0.1:0", "--data", data}, "test", Hooks{Out: &log, Log: &log}); code != 1 || !strings.Contains(log.String(), "in use") {
			t.Errorf("a second one: %d %s", code, log.String())
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if s := <-status; s != 0 {
			t.Errorf("exit %d: %s", s, log.String())
		}
		if _, err := os.Stat(addresses); !os.IsNotExist(err) {
			t.Error("addresses.json outlives the node", err)
		}
	}
	if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info, err)
	}
}

// serverNode is a server's node with one service; it tells those of vehicles.
func serverNode(t *testing.T) (addr string, names chan string) {
	names = make(chan string, 10)
	n, err := node.New(node.Options{Prefix: rvi.BackendPrefix, Plain: node.Vehicles(rvi.BackendPrefix),
		Rights: node.Rights{{Receive: []string{rvi.BackendPrefix}, Invoke: []string{"genivi.org/"}}}, Audit: func(node.Event) {},
		Announced: func(a node.Announcement) {
			for _, s := range a.Services {
				if a.Available {
					names <- s
				}
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if _, err := n.Handle("/sota/start", func(context.Context, node.Message) error { return nil }); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go n.ServeLink(l)
	return l.Addr().String(), names
}

func readWhenThere(t *testing.T, path string, into any) {
	t.Helper()
	waitFor(t, path, func() bool {
		text, err := os.ReadFile(path)
		return err == nil && json.Unmarshal(text, into) == nil
	})
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
