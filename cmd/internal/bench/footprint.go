package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// footprint measures the device client with every gateway on: its size, its
// memory while idle and while it downloads, and how often it wakes up; beside
// it other update clients, where they are installed.
func footprint(ctx context.Context, o options, dir string) error {
	s, err := newFleet(ctx, dir+"/footprint", "none", 1)
	if err != nil {
		return err
	}
	if err := s.start(o.updraft); err != nil {
		return err
	}
	defer s.stop()
	bus, err := startBus()
	if err != nil {
		return err
	}
	defer bus.stop()
	home := filepath.Join(dir, "device")
	agent, err := startAgent(o, s, bus.address, home)
	if err != nil {
		return err
	}
	defer agent.stop()

	fmt.Printf("\n%-26s %12s %14s %12s\n", "", "program", "peak memory", "wake-ups/min")
	if err := agent.settle(ctx); err != nil {
		return err
	}
	wakeups, err := agent.wakeups(ctx, o.idle)
	if err != nil {
		return err
	}
	agent.row("updraft-agent, idle", fmt.Sprint(wakeups))
	update, err := s.send(ctx, o.updraft, o.download)
	if err != nil {
		return err
	}
	if err := agent.downloaded(ctx, filepath.Join(home, update), o.download); err != nil {
		return err
	}
	agent.row(fmt.Sprintf("… after %d MiB", o.download>>20), "")
	fmt.Println("(aims: 12 MB static; 15 MiB, idle and downloading; 120 wake-ups)")
	return others(ctx, o, dir)
}

// client is an update client that runs.
type client struct {
	cmd *exec.Cmd
}

func startAgent(o options, s *fleetDir, bus, home string) (*client, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	c := &client{exec.Command(filepath.Join(filepath.Dir(o.updraft), "updraft-agent"),
		"--core-server", "http://"+s.addr, "--core-polling-sec", "10",
		"--device-uuid", string(s.devices[0]), "--device-packages-dir", home,
		"--gateway-console", "true", "--gateway-dbus", "true", "--gateway-http", "true", "--gateway-socket", "true", "--gateway-websocket", "true",
		"--dbus-timeout", "60", "--network-http-server", "127.0.0.1:0", "--network-websocket-server", "127.0.0.1:0",
		"--network-socket-commands-path", home+"/commands", "--network-socket-events-path", home+"/events")}
	c.cmd.Env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+bus, "SOTA_LOG=warn")
	c.cmd.Stderr = os.Stderr
	return c, c.start()
}

func (c *client) start() error {
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return c.cmd.Start()
}

func (c *client) stop() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	c.cmd.Wait()
}

// settle lets the start pass.
func (c *client) settle(ctx context.Context) error { return pause(ctx, 5*time.Second) }

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// row prints a line of the table.
func (c *client) row(name, wakeups string) {
	size := int64(0)
	if info, err := os.Stat(c.cmd.Path); err == nil {
		size = info.Size()
	}
	kib, err := c.peak()
	if err != nil {
		fmt.Printf("%-26s %9.1f MB %14s %12s\n", name, float64(size)/1e6, err, wakeups)
		return
	}
	fmt.Printf("%-26s %9.1f MB %10.1f MiB %12s\n", name, float64(size)/1e6, float64(kib)/1024, wakeups)
}

// peak is VmHWM in KiB.
func (c *client) peak() (int64, error) {
	return field(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid), "VmHWM:")
}

// wakeups counts voluntary context switches of all threads over d, per minute.
func (c *client) wakeups(ctx context.Context, d time.Duration) (int64, error) {
	before, err := c.switches()
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := c.switches()
	return int64(float64(after-before) / d.Minutes()), err
}

func (c *client) switches() (sum int64, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("the client has ended: %w", err)
	}
	for _, t := range tasks {
		n, err := field(t, "voluntary_ctxt_switches:")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// field reads a number from a file of /proc.
func field(file, name string) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == name {
			return strconv.ParseInt(words[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}

// downloaded waits until a finished image lies there.
func (c *client) downloaded(ctx context.Context, path string, size int64) error {
	for range 3000 {
		if info, err := os.Stat(path); err == nil && info.Size() == size {
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the image does not arrive")
}

// bus is a D-Bus daemon of our own.
type bus struct {
	cmd     *exec.Cmd
	address string
}

func startBus() (*bus, error) {
	b := &bus{cmd: exec.Command("dbus-daemon", "--session", "--nofork", "--print-address")}
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: scripts/bootstrap test installs it", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	b.address = strings.TrimSpace(line)
	return b, err
}

func (b *bus) stop() {
	b.cmd.Process.Kill()
	b.cmd.Wait()
}

// others runs the clients that Debian has, as far as they are installed, each
// polling a server that is not there.
func others(ctx context.Context, o options, dir string) error {
	home := filepath.Join(dir, "others")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	config := filepath.Join(home, "mender.conf")
	if err := os.WriteFile(config, []byte(`{"ServerURL":"http://127.0.0.1:9","UpdatePollIntervalSeconds":1800,"InventoryPollIntervalSeconds":1800,"RetryPollIntervalSeconds":300}`), 0o600); err != nil {
		return err
	}
	cert := filepath.Join(home, "cert.pem")
	exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", home+"/key.pem", "-out", cert, "-subj", "/CN=bench", "-days", "2").Run()
	var all sync.WaitGroup
	defer all.Wait()
	for _, c := range []struct {
		name string
		args []string
	}{
		{"mender", []string{"--config", config, "--data", home, "--no-syslog", "daemon"}},
		{"swupdate", []string{"-k", cert, "-H", "board:1.0", "-w", "-p 0 -r " + home}},
	} {
		path, err := exec.LookPath(c.name)
		if err != nil {
			fmt.Printf("%-26s not installed\n", c.name)
			continue
		}
		other := &client{exec.Command(path, c.args...)}
		if err := other.start(); err != nil {
			return err
		}
		all.Go(func() {
			defer other.stop()
			other.watch(ctx, c.name+", idle", o.idle)
		})
	}
	return nil
}

// watch prints the line of an idle client.
func (c *client) watch(ctx context.Context, name string, d time.Duration) {
	if c.settle(ctx) != nil {
		return
	}
	wakeups, err := c.wakeups(ctx, d)
	if err != nil {
		c.row(name, "it ended")
		return
	}
	c.row(name, fmt.Sprint(wakeups))
}
