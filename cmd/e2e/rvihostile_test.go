package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Peers of all kinds are bad to a server, the real program, while it serves an
// honest device: it stays small, writes down who did what, and the device does
// not notice.
func TestRVIBadPeersHarmNobody(t *testing.T) {
	t.Parallel()
	s := newRealRVISite(t)
	s.publish(buildHeavyDeb(t, "tool", "1.0", nil, 100*65_536), "tool", "1.0")
	c := newRVICar(s, "honest", "2015")
	deaf := newRVICar(s, "deaf", "2015")
	deaf.send("tool", "1.0")
	c.embedded().start()
	until(t, "the honest device to be linked", func() bool { return len(s.links()) == 1 })
	idle := s.memory("VmHWM")

	var bad sync.WaitGroup
	for reason, does := range map[string]func(*badPeer){
		"parse_error":       func(p *badPeer) { p.says("\xff\xfe\x00garbage") },
		"timeout":           func(p *badPeer) { p.says(`{"cmd":"au","creds":["`) }, // and no more
		"too_many_services": (*badPeer).registersTenThousand,
		"too_large":         (*badPeer).saysAGigabyte,
		"vin_mismatch":      func(p *badPeer) { p.comes("VIN-bad"); p.sends("ack", ackOf(c.vin)) },
		"stalled":           func(p *badPeer) { p.stopsReading(deaf.vin) },
	} {
		many := 5
		switch reason {
		case "stalled", "vin_mismatch", // a newer link of the same vehicle replaces it
			"too_many_services": // those whom nothing proves share what the log bears
			many = 1
		}
		for i := range many {
			p := &badPeer{T: t, name: fmt.Sprintf("%s-%d", reason, i), conn: dial(t, s.addr())}
			bad.Go(func() { does(p) })
		}
		if reason == "stalled" {
			continue // within half a minute; see rvi/node
		}
		defer s.says(`level=WARN msg=rvi .*` + reason)
	}
	id := c.send("tool", "1.0")
	c.hasToolOverRVI(id)
	bad.Wait()
	s.within("bad peers", idle, 48<<20)
	if !s.ready() {
		t.Error("the server is not well")
	}
}

// badPeer is a link to a server.
type badPeer struct {
	*testing.T
	name string
	conn net.Conn
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// says reports whether the server still listens.
func (p *badPeer) says(text string) bool {
	_, err := io.WriteString(p.conn, text)
	return err == nil
}

// comes announces one service, and so becomes the vehicle of that VIN.
func (p *badPeer) comes(vin string) {
	p.says(`{"cmd":"au","ver":"1.1","creds":[]}`)
	for _, service := range []string{"notify", "start", "chunk", "finish", "getpackages", "abort"} {
		p.says(fmt.Sprintf(`{"cmd":"sa","stat":"av","svcs":["genivi.org/vin/%s/sota/%s"]}`, vin, service))
	}
}

// sends hands in a message for a service of the backend.
func (p *badPeer) sends(service, params string) {
	p.says(fmt.Sprintf(`{"cmd":"rcv","tid":1,"mod":"proto_json_rpc","data":{"service":"genivi.org/backend/sota/%s","timeout":%d,"parameters":[%s]}}`,
		service, time.Now().Unix()+60, params))
}

func ackOf(vin string) string {
	return fmt.Sprintf(`{"package":{"name":"tool","version":"1.0"},"chunks":[1],"vin":%q}`, vin)
}

func (p *badPeer) registersTenThousand() {
	p.comes("VIN-" + p.name)
	for i := range 10_000 {
		if !p.says(fmt.Sprintf(`{"cmd":"sa","stat":"av","svcs":["genivi.org/vin/VIN-%s/sota/x%d"]}`, p.name, i)) {
			return
		}
	}
}

func (p *badPeer) saysAGigabyte() {
	p.comes("VIN-" + p.name)
	p.says(`{"cmd":"rcv","tid":1,"data":{"service":"`)
	part := strings.Repeat("x", 1<<20)
	for said := 0; said < 1<<10; said++ {
		if !p.says(part) {
			return
		}
	}
	p.Error("a string of 1 GiB was swallowed")
}

// stopsReading takes what it is offered, with a large window, and then reads no more.
func (p *badPeer) stopsReading(vin string) {
	p.conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	p.comes(vin)
	p.hears("sota/notify")
	own := "genivi.org/vin/" + vin + "/sota/"
	p.sends("start", fmt.Sprintf(`{"packages":[{"name":"tool","version":"1.0"}],"services":{"start":"%[1]sstart","chunk":"%[1]schunk","abort":"%[1]sabort","finish":"%[1]sfinish","getpackages":"%[1]sgetpackages"},"vin":%[2]q,"window":16}`, own, vin))
	p.hears("chunkscount")
	p.sends("ack", fmt.Sprintf(`{"package":{"name":"tool","version":"1.0"},"chunks":[],"vin":%q}`, vin))
}

// hears reads up to a text.
func (p *badPeer) hears(text string) {
	var all []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(all, []byte(text)) {
		n, err := p.conn.Read(buf)
		if err != nil {
			p.Errorf("%s: %v after %q", p.name, err, all)
			return
		}
		all = append(all, buf[:n]...)
	}
}
