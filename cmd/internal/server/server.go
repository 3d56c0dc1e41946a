// Package server is the updraft server as a program: its configuration, what
// it keeps in its data folder, how its parts are put together, and how it
// starts and ends.
//
//	DIR/lock            held while a server runs; tells its pid
//	DIR/updraft.db      what the store remembers
//	DIR/blobs/          the bytes of packages
//	DIR/admin.token     what operators show (with auth on)
//	DIR/imported        which trees --upload-path has brought in
//	DIR/token.key       signs the tokens of devices (with auth on)
//	DIR/rvi/            proves who the server is to vehicles (see rvikeys)
//	DIR/addresses.json  where the server listens, while it does
//
// Whatever can go wrong at a start does so before anything is told: the
// configuration is checked, the folder claimed, the store opened, the
// certificate loaded, the ports bound; only then requests are answered, and
// last of all the addresses are published.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/sign"
	"github.com/updraft-ota/updraft/store"
	"github.com/updraft-ota/updraft/suit"
	pages "github.com/updraft-ota/updraft/web"
)

// Hooks let whoever runs a server watch it. All may be zero.
type Hooks struct {
	Log     io.Writer          // gets the log; nil is os.Stderr
	Ready   func(Addresses)    // called once the server serves
	Fault   func(point string) // see store.Options
	Now     func() time.Time   // nil is time.Now
	Version string             // of the program, as answers tell it; "" is unknown
}

// shutdownPatience is how long running requests get to end at a shutdown.
const shutdownPatience = 10 * time.Second

// Run runs a server until ctx ends, and shuts it down in order: nothing new
// is let in, running requests end (for ten seconds at most), what was held
// back is written. It returns nil after that. The configuration is one that
// Flags' reader returned, or made from Default and as right.
func Run(ctx context.Context, c Config, hooks Hooks) error {
	if hooks.Log == nil {
		hooks.Log = os.Stderr
	}
	if hooks.Now == nil {
		hooks.Now = time.Now
	}
	if hooks.Version == "" {
		hooks.Version = "unknown"
	}
	if hooks.Ready == nil {
		hooks.Ready = func(Addresses) {}
	}
	if err := c.check(); err != nil {
		return err
	}
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	s := &server{Config: c, Hooks: hooks, log: slog.New(slog.NewTextHandler(hooks.Log, &slog.HandlerOptions{Level: level}))}
	return s.run(ctx)
}

// server is one run of a server. Its parts are opened in order and closed in
// the opposite one.
type server struct {
	Config
	Hooks
	log      *slog.Logger
	folder   *folder
	fleet    *fleet.Fleet
	vehicles *vehicles // set before anything is served
	pages    *pages.Pages
	small    *constrained
	health   health

	// Ports that CoAP and coaps are served on; 0 until they are bound.
	coapBound, coapsBound atomic.Int32
}

func (s *server) run(ctx context.Context) (err error) {
	keys, err := readKeys("trusted keys", s.TrustedKeys, sign.ParsePublic)
	if err != nil {
		return err
	}
	suitKeys, err := readKeys("keys trusted for SUIT", cmp.Or(s.SUITTrusted, s.TrustedKeys), suit.ParseKeys)
	if err != nil {
		return err
	}
	if s.StaticPath != "" {
		s.log.Warn("--static-path is ignored: the page is part of this program")
	}
	if s.folder, err = claim(s.Data); err != nil {
		return err
	}
	defer s.folder.release()

	db, err := store.Open(ctx, store.Options{Path: s.folder.path("updraft.db"), Now: s.Now, Log: s.log, Fault: s.Fault})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// Only now is it sure that this program may use the folder.
	if err := errors.Join(s.folder.sign(), withdrawAddresses(s.Data)); err != nil {
		return err
	}
	blobs, err := blob.Open(s.folder.path("blobs"), blob.Options{Now: s.Now})
	if err != nil {
		return err
	}
	doors, err := s.open(db, blobs, keys, suitKeys)
	if err != nil {
		return err
	}
	if err := s.importTree(ctx); err != nil {
		return err
	}
	if s.vehicles, err = s.openVehicles(ctx); err != nil {
		return err
	}
	defer s.vehicles.stop()
	return s.serve(ctx, doors)
}

// readKeys reads the keys that must have signed what is uploaded; there are
// none without a file.
func readKeys[K any](what, path string, parse func(file []byte) ([]K, error)) ([]K, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	keys, err := parse(file)
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w", what, path, err)
	}
	return keys, nil
}

// serve binds the ports and answers until ctx ends.
func (s *server) serve(ctx context.Context, h http.Handler) (err error) {
	var cert *certificate
	if s.TLSCert != "" {
		if cert, err = loadCertificate(s.TLSCert, s.TLSKey, s.Now, s.log); err != nil {
			return err
		}
	}
	web, err := listenWeb(ctx, s.Config, cert, s.log)
	if err != nil {
		return err
	}
	if s.small, err = s.openConstrained(ctx, cert); err != nil {
		web.close()
		return err
	}
	defer s.small.stop()
	if err := s.vehicles.listen(ctx); err != nil {
		web.close()
		return err
	}
	upkeep := s.startUpkeep(ctx)
	defer func() { err = errors.Join(err, upkeep()) }()
	defer s.vehicles.stop() // what they bring is written by upkeep's end
	defer s.small.stop()

	// Everything listens, and whoever comes is heard in a moment: the one who
	// asks /readyz first finds the file, and the one who reads that, us ready.
	addresses := web.addresses()
	s.vehicles.addresses(&addresses)
	s.small.addresses(&addresses)
	if err := addresses.publish(s.Data); err != nil {
		web.close()
		return fmt.Errorf("publish the addresses: %w", err)
	}
	s.health.listening.Store(true)
	web.serve(h)
	s.vehicles.serve(web.ended)
	s.small.serve(web.ended)
	s.announce(addresses)
	s.Ready(addresses)

	select {
	case <-ctx.Done():
	case err = <-web.ended:
		err = fmt.Errorf("serve: %w", err)
	}
	s.log.Info("shutting down")
	s.health.listening.Store(false)
	s.pages.Close()
	err = errors.Join(err, withdrawAddresses(s.Data))
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
	defer cancel()
	return errors.Join(err, web.stop(patience))
}

// startUpkeep runs the fleet's upkeep until the returned function is called,
// which waits for it and then has the fleet write what it held back.
func (s *server) startUpkeep(ctx context.Context) (end func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { s.fleet.Upkeep(ctx) })
	return func() error {
		cancel()
		running.Wait()
		patience, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
		defer done()
		return s.fleet.Close(patience)
	}
}

// announce logs where the server is and what an operator should know of it.
func (s *server) announce(a Addresses) {
	for _, l := range []struct{ scheme, addr string }{{"http", a.HTTP}, {"https", a.HTTPS}} {
		if l.addr != "" {
			s.log.Info("listening", "url", l.scheme+"://"+l.addr, "auth", s.Auth)
		}
	}
	for _, l := range []struct{ what, addr string }{{"edge", a.RVIEdge}, {"plain link", a.RVILink}, {"tls link", a.RVITLS}} {
		if l.addr != "" {
			s.log.Info("listening", "rvi", l.what, "addr", l.addr)
		}
	}
	for _, l := range []struct{ scheme, addr string }{{"coap", a.CoAP}, {"coaps", a.CoAPS}, {"coap+tcp", a.CoAPTCP}, {"coaps+tcp", a.CoAPSTCP}} {
		if l.addr != "" {
			s.log.Info("listening", "url", l.scheme+"://"+l.addr, "public", s.CoAPPublic)
		}
	}
	if root := s.coapRoot(); root != "" {
		s.log.Info("devices are told of files by CoAP", "url", root)
	}
	if s.RVINode != "" {
		s.log.Info("speaking RVI", "node", s.RVINode, "called_at", s.vehicles.calls.Addr().String())
	}
	if addr, _ := s.address(); a.HTTP != "" && s.Auth == AuthOn && !addr.IsLoopback() {
		s.log.Warn("http carries tokens and packages unencrypted beyond this machine: give --tls-cert, --tls-key and --http-port off, or --bind 127.0.0.1 behind a proxy")
	}
}
