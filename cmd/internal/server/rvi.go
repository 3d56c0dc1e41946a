package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"

	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
)

// vehicles is the server's side of RVI: what speaks with vehicles, and the node
// that carries it, here or in another process. The nil pointer is a server
// without RVI.
type vehicles struct {
	Config
	backend *rvi.Backend
	node    *node.Node            // nil if it is another process
	program *node.Program         // nil if it is not
	renew   func(context.Context) // looks for renewed keys until the context is done; nil if there are none
	calls   net.Listener          // of program
	serving []listener

	stopRun context.CancelFunc
	running sync.WaitGroup
}

// listener is a port of the node.
type listener struct {
	net.Listener
	serve func(net.Listener) error
}

// openVehicles puts RVI together, as far as it is configured, and makes the
// keys it needs.
func (s *server) openVehicles(ctx context.Context) (_ *vehicles, err error) {
	if !s.usesRVI() {
		return nil, nil
	}
	v := &vehicles{Config: s.Config, backend: rvi.NewBackend(rvi.BackendOptions{
		Devices: registry{s.fleet}, Feed: s.fleet.Feed(), Dual: true, Log: s.log, Now: s.Now})}
	audit := newAudit(s.log, s.Now)
	if s.RVINode != "" {
		if v.calls, err = s.listenForNode(ctx); err != nil {
			return nil, err
		}
		v.program = node.NewProgram(node.ProgramOptions{Node: s.RVINode, Address: "http://" + v.calls.Addr().String() + "/",
			Audit: audit.tell, Announced: v.backend.Announced})
		v.backend.AttachProgram(v.program)
		return v, nil
	}
	o := node.Options{Prefix: rvi.BackendPrefix, EdgeAllow: s.EdgeAllow, Audit: audit.tell, Announced: v.backend.Announced, Now: s.Now}
	if s.RVILink.Open() {
		o.Plain = node.Vehicles(rvi.BackendPrefix)
	}
	files, err := s.prove(&o)
	if err != nil {
		return nil, err
	}
	if s.RVIEdge.Open() {
		if err := s.rememberPrograms(&o); err != nil {
			return nil, err
		}
	}
	if v.node, err = node.New(o); err != nil {
		return nil, fmt.Errorf("open the RVI node: %w", err)
	}
	if err := v.backend.AttachNode(v.node); err != nil {
		return nil, errors.Join(fmt.Errorf("the RVI credential does not let the server offer its services: %w", err), v.node.Close())
	}
	if o.Identity != nil {
		v.renew = func(ctx context.Context) { rvikeys.Renew(ctx, files, o.Identity, v.node.Renew, s.log) }
	}
	return v, nil
}

// prove gives the node what it may do: what its credential says or, if it
// serves no TLS, what that of a backend would (rvi.md 3.6). It returns where
// that lies.
func (s *server) prove(o *node.Options) (files rvikeys.Files, err error) {
	if !s.RVITLS.Open() {
		o.Rights = node.Rights{{Receive: []string{rvi.BackendPrefix + "sota/"}, Invoke: []string{"genivi.org/vin/", "genivi.org/device/"}}}
		return files, nil
	}
	files = rvikeys.Files{Root: s.RVIRoot, Cert: s.RVICert, Key: s.RVIKey, Cred: s.RVICred}
	if files == (rvikeys.Files{}) {
		if files, err = rvikeys.Ensure(s.folder.dir, s.Now()); err != nil {
			return files, fmt.Errorf("make the RVI keys: %w", err)
		}
	}
	o.Identity, err = rvikeys.Load(files)
	return files, err
}

// listen binds the node's ports.
func (v *vehicles) listen(ctx context.Context) error {
	if v == nil || v.node == nil {
		return nil
	}
	edge := v.Config
	if edge.Bind == "" { // whoever reaches it may speak for the server
		edge.Bind = "127.0.0.1"
	}
	for _, p := range []struct {
		c     Config
		what  string
		port  settings.Port
		serve func(net.Listener) error
	}{
		{edge, "rvi-edge", v.RVIEdge, v.node.ServeEdge},
		{v.Config, "rvi-link", v.RVILink, v.node.ServeLink},
		{v.Config, "rvi-tls", v.RVITLS, v.node.ServeTLS},
	} {
		l, err := listen(ctx, p.c, p.what, p.port)
		if err != nil {
			return err
		}
		if l != nil {
			v.serving = append(v.serving, listener{l, p.serve})
		}
	}
	return nil
}

// serve speaks with vehicles until stop. A listener that fails is told to ended.
func (v *vehicles) serve(ended chan<- error) {
	if v == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	v.stopRun = cancel
	v.running.Go(func() { _ = v.backend.Run(ctx) }) // it ends with ctx only
	if v.renew != nil {
		v.running.Go(func() { v.renew(ctx) })
	}
	for _, l := range v.serving {
		v.running.Go(func() {
			if err := l.serve(l.Listener); err != nil {
				ended <- err
			}
		})
	}
	if v.program != nil {
		v.running.Go(func() {
			if err := v.program.Serve(ctx, v.calls); err != nil {
				ended <- err
			}
		})
	}
}

// stop ends every link: what they bring no more is asked for at the next start.
func (v *vehicles) stop() {
	if v == nil {
		return
	}
	if v.node != nil {
		_ = v.node.Close() // it returns nil
	}
	for _, l := range v.serving {
		_ = l.Close() // unless it served, and is closed already
	}
	if v.calls != nil {
		_ = v.calls.Close()
	}
	if v.stopRun != nil {
		v.stopRun()
	}
	v.running.Wait()
}

// links tells who is on the line.
func (v *vehicles) links() []ota.Link {
	if v == nil {
		return nil
	}
	return v.backend.Links()
}

// sending reports whether an update is under way, and can be stopped.
func (v *vehicles) sending(id ota.DeviceID, update ota.UpdateID) bool {
	return v != nil && v.backend.Sending(id, update)
}

// gone tells that a device may have been removed.
func (v *vehicles) gone(id ota.DeviceID) {
	if v != nil {
		v.backend.Doubt(id)
	}
}

// addresses puts in where the node listens.
func (v *vehicles) addresses(a *Addresses) {
	if v == nil || v.node == nil {
		return
	}
	at := []*string{}
	for _, p := range []struct {
		port settings.Port
		name *string
	}{{v.RVIEdge, &a.RVIEdge}, {v.RVILink, &a.RVILink}, {v.RVITLS, &a.RVITLS}} {
		if p.port.Open() {
			at = append(at, p.name)
		}
	}
	for i, l := range v.serving {
		*at[i] = dialable(l.Addr())
	}
}

// registry is the fleet as RVI sees it. VINs are those of the default
// namespace; an id is a device's in any.
type registry struct{ *fleet.Fleet }

func (r registry) Vehicle(ctx context.Context, vin string) (ota.DeviceID, error) {
	return r.Fleet.Vehicle(ctx, ota.DefaultNamespace, vin)
}

func (r registry) Known(ctx context.Context, id ota.DeviceID) error {
	_, err := r.Uplink(id).Queue(ctx)
	return err
}

func (r registry) Push(id ota.DeviceID) ota.Push { return r.Uplink(id) }

// listenForNode opens where a node in another process calls the server: at
// --bind, or the address by which this machine reaches that node, so that one on
// this machine is listened to on loopback.
func (s *server) listenForNode(ctx context.Context) (net.Listener, error) {
	at, err := s.address()
	if err != nil {
		return nil, err
	}
	host := at.String()
	if !at.IsValid() || at.IsUnspecified() {
		if host, err = facing(ctx, s.RVINode); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen for the calls of --rvi-node: %w", err)
	}
	return l, nil
}

// facing is the address of this machine that packets to a node go out from. It
// asks the routing table: nothing is sent.
func facing(ctx context.Context, node string) (string, error) {
	u, err := url.Parse(node)
	if err != nil {
		return "", err
	}
	c, err := new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), "9"))
	if err != nil {
		return "", fmt.Errorf("find the way to --rvi-node: %w", err)
	}
	defer func() { _ = c.Close() }()
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	return host, err
}
