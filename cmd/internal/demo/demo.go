// Package demo is `updraft demo`: a server, a few real agents and a real
// package on one machine, driven by the very commands an operator would type.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/updraft-ota/updraft/ota"
)

// demo is one run.
type demo struct {
	once    bool
	devices int
	dir     string
	patient time.Duration
	out     *os.File

	family family // the processes started
	url    string
	coap   string // URL
	pkg    ota.PackageID
}

// Command makes the demo's command.
func Command() *cobra.Command {
	d := &demo{out: os.Stdout}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a real package travel to real agents on this machine",
		Long: `Starts a server on loopback and a few agents, each with a scratch Debian root
of its own, publishes a real Debian package, sends it to every device and shows
how it arrives, until all have installed it with dpkg. Nothing outside the
demo's directory is touched, and no root rights are needed.`,
		Example: `  updraft demo                 # watch, then try commands of your own; Ctrl-C ends it
  updraft demo --once          # end when all is installed; exit status 0 if it was
  updraft demo --devices 10`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&d.once, "once", false, "use free ports and end when every device has installed the package")
	cmd.Flags().IntVar(&d.devices, "devices", 3, "number of devices")
	cmd.Flags().StringVar(&d.dir, "dir", "", "directory to work in (default: a new one below the system's temporary directory)")
	cmd.Flags().DurationVar(&d.patient, "timeout", 2*time.Minute, "give up if not every device has installed the package by then")
	return cmd
}

func (d *demo) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.family.end()) }()
	if err := d.prepare(); err != nil {
		return err
	}
	deb, origin, err := findDeb(ctx, d.dir)
	if err != nil {
		return err
	}
	if d.pkg, err = identify(ctx, deb); err != nil {
		return err
	}
	d.say("Package:  %s %s, %s", d.pkg.Name, d.pkg.Version, origin)
	if err := d.startServer(ctx); err != nil {
		return err
	}
	d.say("Server:   %s, and %s for microcontrollers", d.url, d.coap)
	for i := range d.devices {
		if err := d.startDevice(ctx, i); err != nil {
			return err
		}
	}
	d.say("Devices:  %d, each with a Debian root of its own below %s\n", d.devices, d.dir)
	if err := d.updraft(ctx, "package", "add", deb, "--name", d.pkg.Name, "--version", d.pkg.Version); err != nil {
		return err
	}
	for i := range d.devices {
		if err := d.updraft(ctx, "update", "send", "--device", d.name(i), "--package", d.pkg.String()); err != nil {
			return err
		}
	}
	d.say("")
	if err := d.watch(ctx); err != nil {
		return err
	}
	d.farewell()
	if d.once {
		return nil
	}
	return d.family.wait(ctx)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) name(i int) string { return fmt.Sprintf("demo-%d", i+1) }

func (d *demo) home(i int) string { return filepath.Join(d.dir, d.name(i)) }

// prepare makes the directory to work in.
func (d *demo) prepare() (err error) {
	if d.devices < 1 || d.devices > 100 {
		return fmt.Errorf("--devices must be 1 to 100, not %d", d.devices)
	}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "updraft-demo-"); err != nil {
			return err
		}
	}
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return err
	}
	return os.MkdirAll(d.dir, 0o755)
}

// startServer starts a server and waits until all of it listens.
func (d *demo) startServer(ctx context.Context) error {
	http, coap := "0", "0"
	if !d.once {
		http, coap = freePort("tcp", 8080), freePort("udp", 5683)
	}
	data := filepath.Join(d.dir, "server")
	if err := d.family.start(filepath.Join(d.dir, "server.log"), self(),
		"server", "--data", data, "--auth", "none", "--http-port", http, "--coap-port", coap); err != nil {
		return err
	}
	var addresses struct {
		HTTP string `json:"http"`
		CoAP string `json:"coap"`
	}
	err := d.family.until(ctx, 30*time.Second, "the server to listen", func() bool {
		b, err := os.ReadFile(filepath.Join(data, "addresses.json"))
		return err == nil && json.Unmarshal(b, &addresses) == nil && addresses.HTTP != ""
	})
	d.url, d.coap = "http://"+addresses.HTTP, "coap://"+addresses.CoAP
	return err
}

// freePort returns the well-known port if it is free, else 0 for any.
func freePort(network string, port int) string {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	var c io.Closer
	var err error
	if network == "udp" {
		c, err = net.ListenPacket(network, addr)
	} else {
		c, err = net.Listen(network, addr)
	}
	if err != nil {
		return "0"
	}
	c.Close()
	return strconv.Itoa(port)
}

// startDevice registers a device and starts its agent.
func (d *demo) startDevice(ctx context.Context, i int) error {
	home := d.home(i)
	root, downloads := filepath.Join(home, "root"), filepath.Join(home, "downloads")
	for _, dir := range []string{root, downloads} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := makeRoot(root); err != nil {
		return err
	}
	config := filepath.Join(home, "sota.toml")
	if err := d.quietly(ctx, "device", "add", "--name", d.name(i), "--agent-config", config); err != nil {
		return err
	}
	return d.family.start(filepath.Join(home, "agent.log"), sibling("updraft-agent"), "--config", config,
		"--device-package-manager", "deb", "--device-package-root", root, "--device-packages-dir", downloads,
		"--device-system-info", "", "--core-polling-sec", "1")
}

// updraft runs an operator's command and shows it.
func (d *demo) updraft(ctx context.Context, args ...string) error {
	d.say("$ %s %s", os.Args[0], shell(args))
	return d.quietly(ctx, args...)
}

func (d *demo) quietly(ctx context.Context, args ...string) error {
	_, err := output(ctx, self(), append(args, "--server", d.url)...)
	return err
}

func (d *demo) farewell() {
	admin := filepath.Join(d.home(0), "root/var/lib/dpkg")
	d.say("\nEvery device has installed %s %s. See for yourself:", d.pkg.Name, d.pkg.Version)
	d.say("  dpkg-query --admindir=%s --list", admin)
	if d.once {
		return
	}
	server := ""
	if d.url != "http://127.0.0.1:8080" {
		server = "export UPDRAFT_SERVER=" + d.url + "\n  "
	}
	d.say("\nThe server goes on at %s (open it in a browser), and the devices ask it every second. Try:", d.url)
	d.say("  %s%[2]s device ls\n  %[2]s device show %[3]s\n  %[2]s update ls", server, os.Args[0], d.name(0))
	d.say("  %s update send --device %s --package %s   # it is there already", os.Args[0], d.name(0), d.pkg)
	d.say("  %s publish --publish-id app --publish FILE   # for microcontrollers, as %s/app/FILE", os.Args[0], d.coap)
	d.say("\nLogs and data: %s. Ctrl-C ends all processes; the folder stays.", d.dir)
}

func (d *demo) live() bool { return term.IsTerminal(int(d.out.Fd())) }
