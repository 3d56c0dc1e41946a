package ab

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// server offers one update until it is reported.
type server struct {
	image   string
	offer   ota.Offer
	heard   func()
	told    bool
	reports []string
	lists   []string
}

func (s *server) Pending(context.Context) ([]ota.Offer, error) {
	if len(s.reports) > 0 {
		return nil, nil
	}
	return []ota.Offer{s.offer}, nil
}

func (s *server) Fetch(_ context.Context, q ota.FetchRequest) (*ota.Content, error) {
	s.offer.Status = ota.InFlight
	f, err := os.Open(s.image)
	if err != nil {
		return nil, err
	}
	return &ota.Content{Body: f, Size: imageSize, Digest: s.offer.Main().SHA256}, nil
}

func (s *server) Report(_ context.Context, r ota.Report) error {
	s.reports = append(s.reports, r.Results[0].Code.String()+" "+r.Results[0].Text)
	return nil
}

// Installed is what a client tells last after a report.
func (s *server) Installed(_ context.Context, inv ota.Inventory) error {
	var names []string
	for _, p := range inv.Packages {
		names = append(names, p.PackageID.String())
	}
	s.lists = append(s.lists, strings.Join(names, " "))
	if len(s.reports) > 0 {
		s.heard()
	}
	return nil
}

func (s *server) SystemInfo(context.Context, json.RawMessage) error { return nil }

// Next says once in a client's life that there is something to ask for.
func (s *server) Next(ctx context.Context) (ota.Notice, error) {
	if !s.told {
		s.told = true
		return ota.Offered{}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// The whole client goes through its restarts and reports what came of them.
func TestTheClientReportsAcrossRestarts(t *testing.T) {
	for image, want := range map[string]string{"new": "OK ", "sick": "INSTALL_FAILED slot B came up", "dead": "INSTALL_FAILED slot B was tried"} {
		everyLoader(t, func(w *world) {
			w.cfg.Reboot = "/bin/true"
			w.download(image)
			s := &server{image: w.img.Path, offer: ota.Offer{
				Update: "u1", Package: w.img.Package, Status: ota.Pending,
				Artifacts: []ota.Artifact{{Name: "image", Sums: ota.Sums{Size: imageSize, SHA256: w.img.Digest}}},
			}}
			for range 4 {
				if w.agent(s); len(s.reports) > 0 {
					break
				}
				w.start()
			}
			if len(s.reports) != 1 || !strings.HasPrefix(s.reports[0], want) {
				t.Errorf("%s: reported: %q", image, s.reports)
			}
			last := len(s.lists) - 1
			if image == "new" && s.lists[last] == "system=new" {
				s.lists[last] = ""
			} else if image == "new" {
				t.Errorf("the last list is %q", s.lists[last])
			}
			if text := strings.Join(s.lists, ""); text != "" {
				t.Errorf("%s: lists before the outcome, or of a failed update: %q", image, s.lists)
			}
		})
	}
}

// agent lets a client run until the device restarts or the server has heard
// all.
func (w *world) agent(s *server) {
	w.Helper()
	ctx, stop := context.WithTimeout(w.Context(), time.Minute)
	defer stop()
	s.heard, s.told = stop, false
	in, err := newInstaller(w.dir, w.cfg, func(point string) {
		if point == "after the reboot command" {
			stop()
		}
	})
	w.must(err)
	in.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	cfg := agent.NewConfig()
	cfg.Device.PackagesDir = w.at("packages")
	cfg.Device.SystemInfo = ""
	state, err := agent.OpenState(w.at("state"), cfg.Identity(), agent.StateOptions{})
	w.must(err)
	defer state.Close()
	a, err := agent.New(agent.Options{Config: cfg, Uplink: s, Installer: in, State: state})
	w.must(err)
	w.must(a.Run(ctx))
	if context.Cause(ctx) == context.DeadlineExceeded {
		w.Fatalf("nothing more happens; reported: %q", s.reports)
	}
}
