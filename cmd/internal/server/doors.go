package server

import (
	"crypto/ed25519"
	"net/http"
	"strings"

	"github.com/updraft-ota/updraft/coap/resource"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator"
	"github.com/updraft-ota/updraft/httpapi/publish"
	"github.com/updraft-ota/updraft/httpapi/token"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/suit"
	pages "github.com/updraft-ota/updraft/web"
)

// doors sends a request to the room it is for. What devices ask over and over
// is found first, without a table of routes.
type doors struct {
	health                            *health
	device, tokens, publish, operator http.Handler
	pages                             *pages.Pages
}

func (d *doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case isConversation(path):
		d.device.ServeHTTP(w, r)
	case path == "/healthz":
		d.health.alive(w, r)
	case path == "/readyz":
		d.health.ready(w, r)
	case path == "/health":
		d.health.summary(w, r)
	case path == "/token":
		d.tokens.ServeHTTP(w, r)
	case publish.Serves(path):
		d.publish.ServeHTTP(w, r)
	case pages.Serves(path):
		d.pages.ServeHTTP(w, r)
	default:
		d.operator.ServeHTTP(w, r)
	}
}

// isConversation tells what devices say to the server, below
// /api/v1/mydevice/{uuid}/, from the operators' view of a device, which is at
// that path itself.
func isConversation(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/v1/mydevice/")
	return ok && strings.Contains(rest, "/")
}

// open puts the rooms together and returns the way in.
func (s *server) open(db ota.Store, blobs ota.Blobs, keys []ed25519.PublicKey, suitKeys []suit.Key) (http.Handler, error) {
	var issuer *token.Issuer // made below, as it asks the fleet
	revoke := func(id ota.DeviceID) {
		if issuer != nil {
			issuer.Revoke(id)
		}
	}
	s.fleet = fleet.New(fleet.Options{
		Store: db, Blobs: blobs, TrustedKeys: keys, MaxUpload: int64(s.MaxUpload),
		PackageName: s.PackageName.Regexp, PackageVersion: s.PackageVersion.Regexp,
		SUITKeys: suitKeys, RequireSUIT: s.RequireSUIT, CoAPRoot: s.coapRoot, Trigger: new(resource.Trigger), Certificates: s.CoAPSClientCA != "",
		Stoppable: func(id ota.DeviceID, update ota.UpdateID) bool { return s.vehicles.sending(id, update) },
		DeviceGone: func(id ota.DeviceID) {
			revoke(id)
			s.vehicles.gone(id)
			s.small.gone(id)
		},
		CredentialGone: revoke, KeyGone: func(id ota.DeviceID) { s.small.rekeyed(id) },
		Log: s.log, Now: s.Now,
	})
	s.health.auth, s.health.ask = s.Auth, s.fleet.Ready
	if s.Auth == AuthNone {
		d := s.doors(httpapi.NoAuth, nil)
		d.tokens = d.operator // there are none: that is a path nobody serves
		return observe(onlyLoopback(d), s.log), nil
	}
	admin, err := readAdminToken(s.folder.path("admin.token"), s.log)
	if err != nil {
		return nil, err
	}
	if issuer, err = token.NewIssuer(s.folder.path("token.key"), s.fleet); err != nil {
		return nil, err
	}
	issuer.Now = s.Now
	sessions := token.NewSessions(admin)
	sessions.Now = s.Now
	d := s.doors(sessions.Who(issuer.Who(admin)), sessions)
	d.tokens = issuer.Endpoint(s.log)
	return observe(d, s.log), nil
}

// doors makes those that ask who is there. Sessions are nil if nobody logs in.
func (s *server) doors(who httpapi.Who, sessions *token.Sessions) *doors {
	uplink := func(id ota.DeviceID) ota.Uplink { return s.fleet.Uplink(id) }
	door := publish.New(publish.Options{Fleet: s.fleet, Who: who, Log: s.log})
	s.pages = pages.New(pages.Options{Fleet: s.fleet, Publish: door, Links: s.links, Who: who, Sessions: sessions, Log: s.log})
	return &doors{
		health:   &s.health,
		pages:    s.pages,
		device:   httpapi.DeviceAPI(httpapi.OpenFor(who, uplink), s.log),
		publish:  door,
		operator: operator.New(operator.Options{Fleet: s.fleet, Who: who, Links: s.links, Host: s.HTTPHost, Version: s.Version, Log: s.log}),
	}
}

// links tells which devices are on the line.
func (s *server) links() []ota.Link { return append(s.vehicles.links(), s.small.links()...) }
