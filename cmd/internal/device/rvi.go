package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
)

// remote is the conversation over RVI, with all it needs.
type remote struct {
	*rvi.Client
	serve func(context.Context) error // links to the backend until ctx is done
	close func()
}

// openRVI makes the conversation that the configuration wants.
func openRVI(cfg agent.Config, hooks Hooks, log *slog.Logger) (*remote, error) {
	if err := checkParent(cfg.RVI.StorageDir); err != nil {
		return nil, fmt.Errorf("rvi.storage_dir: %w", err)
	}
	dialect, err := rvi.ParseDialect(cfg.RVI.Dialect)
	if err != nil {
		return nil, err
	}
	client, err := rvi.NewClient(rvi.ClientOptions{
		VIN: cfg.Device.VIN, Device: ota.DeviceID(cfg.Device.UUID), Dialect: dialect, Dir: cfg.RVI.StorageDir,
		Idle: time.Duration(cfg.RVI.Timeout) * time.Second, Log: log, Fault: hooks.Fault,
	})
	if err != nil {
		return nil, err
	}
	r := &remote{Client: client, close: func() {}}
	if cfg.RVI.Server != "" {
		err = r.embed(cfg, log)
	} else {
		err = r.attach(cfg, log)
	}
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return r, nil
}

// checkParent looks at where a directory is, or is going to be.
func checkParent(dir string) error {
	for dir = filepath.Clean(dir); dir != "/" && dir != "."; {
		dir = filepath.Dir(dir)
		if err := agent.CheckFolder(dir); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// embed gives the client a node of its own.
func (r *remote) embed(cfg agent.Config, log *slog.Logger) error {
	link := vehicleLink{server: cfg.RVI.Server, prefix: r.Identity().Prefix(),
		files: rvikeys.Files{Root: cfg.RVI.Root, Cert: cfg.RVI.Cert, Key: cfg.RVI.Key, Cred: cfg.RVI.Cred}}
	o, err := link.options(log)
	if err != nil {
		return err
	}
	o.Announced = r.Announced
	n, err := link.node(o)
	if err != nil {
		return err
	}
	if err := r.AttachNode(n); err != nil {
		return errors.Join(err, n.Close())
	}
	r.serve = func(ctx context.Context) error { return link.keep(ctx, n, o.Identity, log) }
	r.close = func() { n.Close() }
	return nil
}

// attach makes it a program at the node of another process, as in the seeds.
func (r *remote) attach(cfg agent.Config, log *slog.Logger) error {
	l, err := net.Listen("tcp", cfg.Network.RVIEdgeServer)
	if err != nil {
		return fmt.Errorf("network.rvi_edge_server: %w", err)
	}
	p := node.NewProgram(node.ProgramOptions{
		Node: cfg.RVI.Client, Address: "http://" + reachable(l.Addr()), Null: true, Audit: audit(log), Announced: r.Announced,
	})
	r.AttachProgram(p)
	log.Info("RVI edge listens", "address", l.Addr(), "node", cfg.RVI.Client)
	r.serve = func(ctx context.Context) error { return p.Serve(ctx, l) }
	r.close = func() { l.Close() }
	return nil
}

// reachable is where those on this machine find a listener.
func reachable(addr net.Addr) string {
	at, err := netip.ParseAddrPort(addr.String())
	switch {
	case err != nil || !at.Addr().IsUnspecified():
		return addr.String()
	case at.Addr().Is4():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()).String()
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()).String()
}

// run runs all of it until ctx is done.
func (r *remote) run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error { return r.Run(ctx) })
	all.Go(func() error {
		if err := r.serve(ctx); err != nil {
			return fmt.Errorf("RVI: %w", err)
		}
		return nil
	})
	return all.Wait()
}

// end gives everything free, when run has ended.
func (r *remote) end(log *slog.Logger) {
	r.close()
	if err := r.Close(); err != nil {
		log.Warn("the RVI storage did not close", "err", err)
	}
}

// vehicleLink is how a vehicle's node finds its server.
type vehicleLink struct {
	server string // host:port
	prefix string
	files  rvikeys.Files // empty: a plain link
}

func (l vehicleLink) secure() bool { return l.files != rvikeys.Files{} }

// options are those of the vehicle's node. On a plain link, which proves
// nothing, both sides have the rights of the minimal credentials (rvi.md 3.6).
func (l vehicleLink) options(log *slog.Logger) (o node.Options, err error) {
	o = node.Options{Prefix: l.prefix, Audit: audit(log), ClockUnsure: true}
	if l.secure() {
		o.Identity, err = rvikeys.Load(l.files)
		return o, err
	}
	o.Rights = node.Rights{{Receive: []string{l.prefix}, Invoke: []string{rvi.BackendPrefix + "sota/"}}}
	o.Plain = node.Backend(rvi.BackendPrefix, l.prefix)
	return o, nil
}

// node makes the node, if it may host what a vehicle does.
func (l vehicleLink) node(o node.Options) (*node.Node, error) {
	n, err := node.New(o)
	if err == nil && !n.MayHost(rvi.ServiceNotify.Local()) {
		err = errors.Join(fmt.Errorf("the credential in %s is not one of %s", l.files.Cred, l.prefix), n.Close())
	}
	return n, err
}

// keep links the node to the server, and shows renewed files there, until ctx
// is done.
func (l vehicleLink) keep(ctx context.Context, n *node.Node, shown *node.Identity, log *slog.Logger) error {
	if !l.secure() {
		return n.Connect(ctx, l.server)
	}
	ctx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { rvikeys.Renew(ctx, l.files, shown, n.Renew, log) })
	defer renewing.Wait()
	defer cancel()
	return n.ConnectTLS(ctx, l.server)
}

// audit logs what a node discards, as much as a log can bear.
func audit(log *slog.Logger) func(node.Event) {
	lines := rate.NewLimiter(1, 20)
	return func(e node.Event) {
		if lines.Allow() {
			log.Warn("RVI: "+e.Reason, "peer", e.Peer, "service", e.Service, "detail", e.Detail)
		}
	}
}
