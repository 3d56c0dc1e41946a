package node

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Who proves nothing does not push aside who has proved to be that vehicle.
func TestAPlainLinkDoesNotReplaceAProvenOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, l := newAuthority(t, 0), &log{}
		s, v := secured(t, Options{Identity: a.identity(t, backendGrant), Plain: Vehicles(backend), Audit: l.audit},
			Options{Identity: a.identity(t, vehicleGrant), Audit: (&log{}).audit})
		ack, notify := handle(t, s, "/sota/ack"), handle(t, v, "/sota/notify")
		synctest.Wait()
		liar := meet(t, s)
		liar.say(hello + sa("av", vin+"sota/notify", vin+"sota/chunk"))
		liar.say(rcv(backend+"sota/ack", `1`))
		send(t, s, vin+"sota/notify", `2`)
		synctest.Wait()
		if got := notify.take(); !slices.Equal(got, []string{"2"}) || ack.take() != nil {
			t.Errorf("the vehicle hears %q, the liar %q", got, liar.heard())
		}
		if got := slices.Compact(l.reasons()); !slices.Equal(got, []string{"unauthorized"}) {
			t.Errorf("%q", got)
		}
	})
}

// A peer whose right to a service has ended is sent nothing for it any more, and
// is not taken for who it was.
func TestNothingIsSentToWhoseRightsHaveEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		brief := vehicleGrant
		brief.Start, brief.Stop = time.Now(), time.Now().Add(10*time.Minute)
		other := Grant{Receive: []string{"genivi.org/vin/OTHER/"}, Invoke: vehicleGrant.Invoke}
		o := serverOptions(l)
		o.Plain = func(string) (Rights, bool) { return Rights{brief, other}, true }
		n := start(t, o)
		ack := handle(t, n, "/sota/ack")
		p := meet(t, n)
		p.say(hello + sa("av", vin+"sota/notify", "genivi.org/vin/OTHER/sota/notify"))
		p.say(rcv(backend+"sota/ack", `1`))
		time.Sleep(11 * time.Minute)
		p.heard()
		l.told()
		send(t, n, vin+"sota/notify", `"for the vehicle"`)
		p.say(rcv(backend+"sota/ack", `2`))
		if got := p.heard(); strings.Contains(got, "for the vehicle") {
			t.Errorf("heard %q", got)
		}
		if ack.take(); len(ack.from) != 2 || ack.from[0].Prefix != vin || ack.from[1].Prefix == vin {
			t.Errorf("%+v", ack.from)
		}
		time.Sleep(10 * time.Minute) // at the latest with the next ping
		synctest.Wait()
		if got := l.told(); !slices.Equal(got, []string{"-" + vin + "sota/notify"}) {
			t.Errorf("announced %q", got)
		}
	})
}

func TestOnlyAPatternThatMatchesIsAPrefix(t *testing.T) {
	for pattern, want := range map[string]string{
		"genivi.org/vin/V/": vin2("V"), "genivi.org/vin/V": vin2("V"), "genivi.org/vin/V/sota/": vin2("V") + "sota/",
		"/genivi.org/vin/V/": "", "message:genivi.org/vin/V/": "", "genivi.org/vin/+/": "", "genivi.org/vin/": "", "": "", "/": "",
		"genivi.org//vin/V": "", "genivi.org/vin/V//": "",
	} {
		if got := (Rights{{Receive: []string{pattern}}}).prefix(time.Now()); got != want {
			t.Errorf("%q: %q", pattern, got)
		}
	}
}

func vin2(v string) string { return "genivi.org/vin/" + v + "/" }

// However many names were registered before, what is registered gets its messages.
func TestAServiceAfterAThousandOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, serverOptions(&log{}))
		for i := range maxHosted {
			name := fmt.Sprint("/sota/x", i)
			handle(t, n, name)
			n.mu.Lock()
			n.unhost(backend + name[1:])
			n.unlock()
		}
		ack := handle(t, n, "/sota/ack")
		p := meet(t, n)
		p.say(hello + sa("av", vin+"sota/notify") + rcv(backend+"sota/ack", `1`))
		if got := ack.take(); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestANameIsTakenBackAsItWasAnnounced(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, serverOptions(&log{}))
		p := meet(t, n)
		p.say(hello + sa("av", "message:"+vin+"sota/notify"))
		p.say(sa("un", "message:"+vin+"sota/notify"))
		if got := n.state().Routes; len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}

// Who is silent makes room for who comes later.
func TestACrowdOfSilentStrangersKeepsNobodyOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &log{}
		n := start(t, serverOptions(l))
		for range maxStrangers {
			meet(t, n)
		}
		time.Sleep(strangerRight + time.Second)
		good := meet(t, n)
		good.say(hello + sa("av", vin+"sota/notify"))
		if good.closed() || len(n.state().Routes) != 1 {
			t.Errorf("%+v", n.state())
		}
		if got := l.reasons(); !slices.Equal(got, []string{"too_many_strangers"}) {
			t.Errorf("%q", got)
		}
	})
}

// A credential that replaces one that is about to end is shown to those who are
// linked; with another certificate they are met anew.
func TestANodeRenewsItsIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, sLog := newAuthority(t, 0), &log{}
		brief := vehicleGrant
		brief.Start, brief.Stop = time.Now(), time.Now().Add(10*time.Minute)
		id := a.identity(t, brief)
		s, v := secured(t, Options{Identity: a.identity(t, backendGrant), Audit: sLog.audit, Announced: sLog.announced}, Options{Identity: id, Audit: (&log{}).audit})
		ack := handle(t, s, "/sota/ack")
		handle(t, v, "/sota/notify")
		synctest.Wait()
		longer := vehicleGrant
		longer.Start, longer.Stop = time.Now(), time.Now().Add(30*time.Minute)
		again := &Identity{Certificate: id.Certificate, Roots: id.Roots, Credentials: []string{a.credential(t, longer, id.Certificate.Certificate[0])}}
		if err := v.Renew(again); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		send(t, v, backend+"sota/ack", `1`)
		synctest.Wait()
		if got := ack.take(); !slices.Equal(got, []string{"1"}) || len(sLog.told()) != 1 {
			t.Errorf("after the first: %q, %q", got, sLog.reasons())
		}
		if err := v.Renew(&Identity{Certificate: id.Certificate, Roots: id.Roots, Credentials: []string{"nonsense"}}); ota.KindOf(err) != ota.KindInvalid {
			t.Error(err)
		}
		g := vehicleGrant
		g.Start, g.Stop = time.Now(), time.Now().Add(time.Hour)
		if err := v.Renew(a.identity(t, g)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(40 * time.Minute)
		send(t, v, backend+"sota/ack", `2`)
		synctest.Wait()
		if got := ack.take(); !slices.Equal(got, []string{"2"}) || !slices.Equal(sLog.told(), []string{"-" + vin + "sota/notify", "+" + vin + "sota/notify"}) {
			t.Errorf("with another certificate: %q, %q", got, sLog.reasons())
		}
	})
}

func TestACredentialThatEndedInTheYearOne(t *testing.T) {
	a := newAuthority(t, 0)
	g := vehicleGrant
	g.Start, g.Stop = time.Time{}.AddDate(0, 0, 1), time.Time{}
	jwt, err := SignCredential(a.key, "test", g, a.cert.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := VerifyCredential(jwt, []*x509.Certificate{a.cert}, a.cert.Raw, time.Now()); err == nil {
		t.Errorf("%+v", g)
	}
}

// A device is the same however its UUID is written; a VIN is not.
func TestTheSameDeviceInCapitals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, serverOptions(&log{}))
		for _, name := range []string{"vin/abc", "vin/ABC", "device/9ea653bc-3486-44cd-aa86-d936bd957e52", "device/9EA653BC-3486-44CD-AA86-D936BD957E52"} {
			meet(t, n).say(hello + sa("av", "genivi.org/"+name+"/sota/notify"))
		}
		var got []string
		for _, l := range n.Links() {
			got = append(got, l.Peer.Prefix)
		}
		slices.Sort(got)
		if !slices.Equal(got, []string{"genivi.org/device/9EA653BC-3486-44CD-AA86-D936BD957E52/", "genivi.org/vin/ABC/", "genivi.org/vin/abc/"}) {
			t.Errorf("%q", got)
		}
	})
}
