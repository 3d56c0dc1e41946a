package device

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

// settings are those of a client without a server, whose gateways lie in dir.
func settings(t *testing.T, dir string, more ...string) []string {
	return append([]string{
		"--config", file(t, ""), "--core-server", "http://127.0.0.1:9", "--core-polling", "false", "--device-packages-dir", dir, "--device-system-info", "off",
		"--network-http-server", "127.0.0.1:0", "--network-websocket-server", "127.0.0.1:0",
		"--network-socket-commands-path", filepath.Join(dir, "commands"), "--network-socket-events-path", filepath.Join(dir, "events"),
	}, more...)
}

// Any number of gateways serve one client, and all end with it.
func TestAllGatewaysAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	in, typed := io.Pipe()
	printed, out := io.Pipe()
	logged, log := io.Pipe()
	status := make(chan int)
	go func() {
		defer log.Close()
		defer out.Close()
		status <- Main(settings(t, dir, "--gateway-http", "true", "--gateway-websocket", "true", "--gateway-socket", "true", "--gateway-console", "true"), "1.2", Hooks{In: in, Out: out, Log: log})
	}()
	lines := bufio.NewScanner(logged)
	addr := map[string]string{}
	for said := regexp.MustCompile(`(\w+) gateway listens (?:address|path)=(\S+)`); len(addr) < 3 && lines.Scan(); {
		if m := said.FindStringSubmatch(lines.Text()); m != nil {
			addr[m[1]] = m[2]
		}
	}
	go io.Copy(io.Discard, logged)

	watcher, _, err := websocket.Dial(t.Context(), "ws://"+addr["websocket"], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.CloseNow()
	heard := func() string {
		t.Helper()
		for {
			_, b, err := watcher.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(b), "Authenticated") { // of the start
				return string(b)
			}
		}
	}
	const list = `{"variant":"FoundInstalledPackages","fields":[[]]}`
	fmt.Fprintln(typed, "ls")
	if got, err := bufio.NewReader(printed).ReadString('\n'); got != list+"\n" || err != nil || heard() != list {
		t.Errorf("the console says %q, %v", got, err)
	}
	typed.Close() // ends the console only
	if got := overSocket(t, addr["socket"], "ls"); got != list || heard() != list {
		t.Errorf("the socket says %s", got)
	}
	conn, err := net.Dial("tcp", addr["HTTP"])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n\"Shutdown\"")
	if b, _ := io.ReadAll(conn); len(b) > 0 {
		t.Errorf("shutdown is answered with %s", b)
	}
	if s := <-status; s != 0 {
		t.Errorf("exit status %d", s)
	}
	if _, err := os.Lstat(addr["socket"]); !os.IsNotExist(err) {
		t.Errorf("the socket's file is left: %v", err)
	}
}

func overSocket(t *testing.T, path, command string) string {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, command)
	conn.CloseWrite()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A gateway that cannot start ends the program, and those before it leave
// nothing behind.
func TestAGatewayThatCannotStart(t *testing.T) {
	busy, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	open := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(open, []byte("0123456789abcdef"), 0o644); err != nil {
		t.Fatal(err)
	}
	for says, args := range map[string][]string{
		"HTTP gateway: listen":        {"--gateway-http", "true", "--network-http-server", busy.Addr().String()},
		"websocket gateway: listen":   {"--gateway-websocket", "true", "--network-websocket-server", busy.Addr().String()},
		"is not a loopback address":   {"--gateway-websocket", "true", "--network-websocket-server", "0.0.0.0:0"},
		"or set gateway.token_file":   {"--gateway-http", "true", "--network-http-server", "[::]:0"},
		"chmod 600":                   {"--gateway-http", "true", "--gateway-token-file", open},
		"socket gateway: ":            {"--gateway-http", "true", "--gateway-websocket", "true", "--gateway-socket", "true", "--network-socket-commands-path", "/dev/null"},
		"no such file":                {"--gateway-socket", "true", "--network-socket-commands-path", "/nowhere/commands"},
		"gateway.token_file: open /n": {"--gateway-token-file", "/nowhere/token"},
	} {
		t.Run(says, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			status, _, log := call(t, settings(t, t.TempDir(), args...)...)
			if status != 1 || !strings.Contains(log, says) {
				t.Errorf("%d\n%s", status, log)
			}
		})
	}
}
