package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
)

// nodeFlags are what updraft-agent node is told.
type nodeFlags struct {
	vin, device  string
	server, edge string
	data         string
	allow        []string
	files        rvikeys.Files
}

// nodeCommand makes the command of the device's RVI node.
func nodeCommand(version string, hooks Hooks, started *bool) *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use:   "node (--vin V|--device U) --server HOST:PORT --edge HOST:PORT --data DIR",
		Short: "Run the device's RVI node, for clients that are programs of their own",
		Long: `The RVI node of a device: programs on it register their services at its edge,
over HTTP, and it links to the server's node, again and again. A client with
rvi.server has a node of its own and does not need this one.

What is registered is kept in DIR/registrations.json, so that programs need not
register again when the node has been restarted. While it runs,
DIR/addresses.json tells where its edge listens.

With --rvi-root, --rvi-cert, --rvi-key and --rvi-cred, the files that updraft
rvi keygen makes, the link is TLS. Without them it is a plain one, which proves
nothing, and which only a server without authentication takes.`,
		Example: `  updraft-agent node --vin WVWZZZ1JZXW000001 --server 10.0.0.1:8807 --edge 127.0.0.1:8901 --data /var/lib/rvi-node
  updraft-agent node --device 9ea653bc-3486-44cd-aa86-d936bd957e52 --server ota.example:8810 --edge 127.0.0.1:8901 \
    --data /var/lib/rvi-node --rvi-root root.crt --rvi-cert device.crt --rvi-key device.key --rvi-cred credential.jwt`,
		Args: cobra.NoArgs,
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.vin, "vin", "", "the node is that of the vehicle with this `VIN`, genivi.org/vin/VIN/")
	fs.StringVar(&f.device, "device", "", "the node is that of the device with this `UUID`, genivi.org/device/UUID/")
	fs.StringVar(&f.server, "server", "", "data link of the server's node, `HOST:PORT`")
	fs.StringVar(&f.edge, "edge", "127.0.0.1:8901", "where programs find the node, `HOST:PORT`; whoever reaches it is trusted; port 0 is any free one")
	fs.StringVar(&f.data, "data", "", "directory `DIR` for what must survive a restart, made if need be")
	fs.StringSliceVar(&f.allow, "edge-allow", nil, "programs may be called in the network `CIDR` too, not on loopback only; repeatable")
	fs.StringVar(&f.files.Root, "rvi-root", "", "certificate of the RVI root, a PEM `FILE`")
	fs.StringVar(&f.files.Cert, "rvi-cert", "", "certificate of the node, a PEM `FILE`")
	fs.StringVar(&f.files.Key, "rvi-key", "", "its private key, a PEM `FILE`")
	fs.StringVar(&f.files.Cred, "rvi-cred", "", "its credential, a `FILE` with a JWT")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, allow, err := f.check()
		if err != nil {
			return err
		}
		*started = true
		return f.run(cmd.Context(), id, allow, newLog(hooks.Log, version, os.Getenv))
	}
	return cmd
}

// check reads what the flags cannot.
func (f nodeFlags) check() (id rvi.Identity, allow []netip.Prefix, err error) {
	switch {
	case (f.vin == "") == (f.device == ""):
		return id, nil, usage.Errorf("one of --vin and --device is needed")
	case f.server == "" || f.edge == "" || f.data == "":
		return id, nil, usage.Errorf("--server, --edge and --data are needed")
	}
	for _, a := range []struct{ flag, text string }{{"server", f.server}, {"edge", f.edge}} {
		if _, _, err := net.SplitHostPort(a.text); err != nil {
			return id, nil, usage.Errorf("--%s: expected a host and a port, not %q", a.flag, a.text)
		}
	}
	set := f.files != rvikeys.Files{}
	if set && (f.files.Root == "" || f.files.Cert == "" || f.files.Key == "" || f.files.Cred == "") {
		return id, nil, usage.Errorf("--rvi-root, --rvi-cert, --rvi-key and --rvi-cred go together")
	}
	for _, text := range f.allow {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return id, nil, usage.Errorf("--edge-allow: expected a network such as 10.1.0.0/16, not %q", text)
		}
		allow = append(allow, network.Masked())
	}
	id.VIN = f.vin
	if f.device != "" {
		id.Device, err = ota.ParseDeviceID(f.device) // in lower case
	} else {
		err = id.Check()
	}
	if err != nil {
		return id, nil, usage.Errorf("%v", err)
	}
	return id, allow, nil
}

// Files of the node's directory.
const (
	registrationsFile = "registrations.json"
	addressesFile     = "addresses.json"
	maxRegistrations  = 1 << 20 // bytes
)

// run runs the node until ctx ends.
func (f nodeFlags) run(ctx context.Context, id rvi.Identity, allow []netip.Prefix, log *slog.Logger) (err error) {
	dir, err := lockFolder(f.data)
	if err != nil {
		return fmt.Errorf("--data: %w", err)
	}
	defer dir.Close()
	link := vehicleLink{server: f.server, prefix: id.Prefix(), files: f.files}
	o, err := link.options(log)
	if err != nil {
		return err
	}
	o.EdgeAllow = allow
	if o.Addresses, err = readRegistrations(f.data); err != nil {
		return err
	}
	o.Keep = func(addresses map[string]string) error { return writeJSON(f.data, registrationsFile, addresses, 0o600) }
	n, err := link.node(o)
	if err != nil {
		return err
	}
	defer n.Close()
	l, err := net.Listen("tcp", f.edge)
	if err != nil {
		return fmt.Errorf("--edge: %w", err)
	}
	defer l.Close()
	if err := writeJSON(f.data, addressesFile, map[string]string{"rvi_edge": l.Addr().String()}, 0o644); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(filepath.Join(f.data, addressesFile))) }()
	log.Info("RVI node runs", "prefix", id.Prefix(), "edge", l.Addr(), "server", f.server, "tls", link.secure())
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		defer context.AfterFunc(ctx, func() { n.Close() })()
		return n.ServeEdge(l)
	})
	all.Go(func() error { return link.keep(ctx, n, o.Identity, log) })
	if err := all.Wait(); err != nil {
		return fmt.Errorf("RVI node: %w", err)
	}
	log.Info("RVI node has ended")
	return nil
}

// lockFolder makes a directory for us alone, and keeps others of us out.
func lockFolder(path string) (*os.File, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%s is in use by another node", path)
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

// readRegistrations is what was registered before.
func readRegistrations(dir string) (addresses map[string]string, err error) {
	path := filepath.Join(dir, registrationsFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxRegistrations) {
		err = fmt.Errorf("%s: not a file of ours", path)
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &addresses)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: remove it, and have programs register again", path, err)
	}
	return addresses, nil
}

// writeJSON puts a file into place, durably and in one step.
func writeJSON(dir, name string, v any, mode os.FileMode) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
