package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/cmd/internal/rvikeys"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
	"github.com/updraft-ota/updraft/rvi/node"
	"github.com/updraft-ota/updraft/store"
)

// Many vehicles get a file of 1 MiB each, at the same time, from one server.
func TestRVIManyVehicles(t *testing.T) {
	t.Parallel()
	s, cars := newRVIFleet(t, 20, false)
	all(cars, (*simulated).links)
	all(cars, (*simulated).goesOn)
	s.checkFinished(cars)
}

// rviImage is what they get.
var rviImage = func() []byte {
	image := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{7}).Read(image)
	return image
}()

// newRVIFleet starts a server that has an update for each of many vehicles.
func newRVIFleet(t *testing.T, size int, secure bool) (*rviSite, []*simulated) {
	t.Helper()
	s := &rviSite{secure: secure, link: freePort()}
	s.site = &site{T: t, dir: filepath.Join(t.TempDir(), "data"), port: freePort(), trusting: true,
		args: []string{"--auth", "none", "--rvi-link-port", fmt.Sprint(s.link)}}
	if secure {
		s.args = []string{"--auth", "none", "--rvi-tls-port", fmt.Sprint(s.link)}
	}
	s.start()
	s.terminate() // it has made its folder
	cars := make([]*simulated, size)
	for i := range cars {
		cars[i] = &simulated{T: t, site: s, id: fmt.Sprintf("00000000-0000-4000-8000-%012x", i), ended: make(chan struct{})}
	}
	s.fill(cars)
	if secure {
		all(cars, (*simulated).provide)
	}
	s.start()
	return s, cars
}

// fill registers vehicles and queues an update for each, with the server's own
// parts, while it is away.
func (s *rviSite) fill(cars []*simulated) {
	s.Helper()
	db, err := store.Open(s.Context(), store.Options{Path: filepath.Join(s.dir, "updraft.db")})
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	blobs, err := blob.Open(filepath.Join(s.dir, "blobs"), blob.Options{})
	if err != nil {
		s.Fatal(err)
	}
	f := fleet.New(fleet.Options{Store: db, Blobs: blobs})
	err = db.Write(s.Context(), func(tx ota.Tx) error {
		for _, c := range cars {
			d := ota.Device{Namespace: ota.DefaultNamespace, ID: ota.DeviceID(c.id), Name: c.id, Type: ota.Vehicle, CreatedAt: tx.Now()}
			if err := tx.PutDevice(d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	id := ota.PackageID{Name: "image", Version: "1.0"}
	if _, err := f.PutPackage(s.Context(), ota.DefaultNamespace, fleet.NewPackage{ID: id}, bytes.NewReader(rviImage)); err != nil {
		s.Fatal(err)
	}
	for _, c := range cars {
		r := fleet.Request{Device: ota.DeviceID(c.id), Packages: []ota.PackageID{id}, ID: ota.UpdateID(c.id)}
		if _, _, err := f.Send(s.Context(), ota.DefaultNamespace, r); err != nil {
			s.Fatal(err)
		}
	}
}

// inUse is how many bytes of heap and stacks the server uses after a collection.
func (s *rviSite) inUse(asked int) int64 {
	s.Helper()
	s.cmd.Process.Signal(syscall.SIGUSR1)
	n, err := strconv.ParseInt(s.says(fmt.Sprintf(`in use %d: (\d+)`, asked)), 10, 64)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// checkFinished checks that every vehicle has its file, and that the server
// knows.
func (s *rviSite) checkFinished(cars []*simulated) {
	s.Helper()
	for _, c := range cars {
		<-c.ended
	}
	finished := func() (n int) {
		for _, c := range cars {
			var list []struct{ Status ota.Status }
			if err := s.get("/api/v1/updates?device="+c.id, &list); err == nil && len(list) == 1 && list[0].Status == ota.Finished {
				n++
			}
		}
		return n
	}
	until(s.T, "the server to have all reports", func() bool { return finished() == len(cars) })
}

// all has each do something, at the same time.
func all(cars []*simulated, do func(*simulated)) {
	var group sync.WaitGroup
	for _, c := range cars {
		group.Go(func() { do(c) })
	}
	group.Wait()
}

// simulated is a vehicle that is nothing but its end of a link.
type simulated struct {
	*testing.T
	site    *rviSite
	id      string         // of the device, and of its update
	key     *node.Identity // nil: its link is a plain one
	conn    net.Conn
	decoder *json.Decoder
	chunks  [][]byte
	held    rvi.Chunks
	ended   chan struct{}
}

// links connects the vehicle and waits for the offer.
func (c *simulated) links() {
	conn, err := net.Dial("tcp", c.site.addr())
	if err != nil {
		c.Error(err)
		return
	}
	c.Cleanup(func() { conn.Close() })
	c.conn = conn
	creds := []byte("[]")
	if c.key != nil { // whose the server is is not what is tested here
		c.conn = tls.Client(conn, &tls.Config{Certificates: []tls.Certificate{c.key.Certificate}, InsecureSkipVerify: true})
		creds, _ = json.Marshal(c.key.Credentials)
	}
	own := "genivi.org/device/" + c.id + "/sota/"
	c.say(fmt.Sprintf(`{"cmd":"au","ver":"1.1","creds":%[2]s}{"cmd":"sa","stat":"av","svcs":["%[1]snotify","%[1]sstart","%[1]schunk","%[1]sfinish","%[1]sgetpackages","%[1]sabort"]}`, own, creds))
	c.decoder = json.NewDecoder(c.conn)
	c.hears("notify")
}

// provide makes the keys of a vehicle.
func (c *simulated) provide() {
	files, err := rvikeys.Issue(c.site.dir, c.who(), filepath.Join(c.site.dir, "keys", c.id), time.Now())
	if err == nil {
		c.key, err = rvikeys.Load(files)
	}
	if err != nil {
		c.Error(err)
	}
}

func (c *simulated) say(text string) {
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.Error(err)
	}
}

func (c *simulated) tells(m rvi.BackendMessage) {
	c.say(fmt.Sprintf(`{"cmd":"rcv","tid":1,"mod":"proto_json_rpc","data":{"service":"genivi.org/backend/sota/%s","timeout":%d,"parameters":%s}}`,
		m.Service(), time.Now().Unix()+300, m.AppendParams(nil)))
}

// hears reads up to the next message for a service of the vehicle, or for that
// one.
func (c *simulated) hears(service rvi.Service) rvi.DeviceMessage {
	for {
		var m struct {
			Data struct {
				Service    string
				Parameters json.RawMessage
			}
		}
		c.conn.SetReadDeadline(time.Now().Add(3 * patience))
		if err := c.decoder.Decode(&m); err != nil {
			c.Errorf("vehicle %s: %v", c.id, err)
			return nil
		}
		if m.Data.Service == "" {
			continue
		}
		got, err := rvi.ReadAtDevice(m.Data.Service, m.Data.Parameters)
		if err != nil {
			c.Error(err)
			return nil
		}
		if service == "" || got.Service() == service {
			return got
		}
	}
}

func (c *simulated) who() rvi.Identity { return rvi.Identity{Device: ota.DeviceID(c.id)} }
func (c *simulated) unit() rvi.Unit    { return rvi.Unit{Update: ota.UpdateID(c.id)} }

// accepts takes the update, up to its first chunk, which it does not acknowledge.
func (c *simulated) accepts() {
	c.tells(rvi.BackendStart{From: c.who(), Units: []rvi.Unit{c.unit()}, Services: rvi.ServicesOf(c.who()), Window: 1})
	if m, ok := c.hears(rvi.ServiceStart).(rvi.Start); ok {
		c.chunks = make([][]byte, m.Chunks)
		c.tells(rvi.Ack{From: c.who(), Unit: c.unit()})
		c.hold(c.hears(rvi.ServiceChunk))
	}
}

func (c *simulated) hold(m rvi.DeviceMessage) {
	if m, ok := m.(rvi.Chunk); ok && m.Index <= len(c.chunks) {
		c.chunks[m.Index-1] = m.Bytes
		c.held.Add(m.Index)
	}
}

// goesOn takes all the rest, and reports.
func (c *simulated) goesOn() {
	defer close(c.ended)
	if c.chunks == nil {
		c.accepts()
	}
	for !c.Failed() {
		c.tells(rvi.Ack{From: c.who(), Unit: c.unit(), Chunks: c.held.Clone()})
		m := c.hears("")
		if m == nil || m.Service() == rvi.ServiceFinish {
			break
		}
		c.hold(m)
	}
	sum := sha256.New()
	for _, b := range c.chunks {
		sum.Write(b)
	}
	if [32]byte(sum.Sum(nil)) != sha256.Sum256(rviImage) {
		c.Errorf("vehicle %s has got another file", c.id)
	}
	c.tells(rvi.Report{From: c.who(), Unit: c.unit(), Results: []ota.OperationResult{{ID: c.id, Code: ota.OK}}})
}
