package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

// car is a device that speaks to a real fleet over the network.
type car struct {
	*httpapi.Client
	t     *testing.T
	fleet *fleet.Fleet
	id    ota.DeviceID
}

// drive registers devices with one server; each gets its client.
func drive(t *testing.T, names ...string) (cars []car) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	blobs, err := blob.Open(t.TempDir(), blob.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := fleet.New(fleet.Options{Store: st, Blobs: blobs})
	open := httpapi.OpenFor(httpapi.NoAuth, func(id ota.DeviceID) ota.Uplink { return f.Uplink(id) })
	srv := httptest.NewServer(httpapi.DeviceAPI(open, slog.New(slog.DiscardHandler)))
	t.Cleanup(srv.Close)
	for _, name := range names {
		d, err := f.AddDevice(t.Context(), ota.DefaultNamespace, fleet.NewDevice{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		c, err := httpapi.NewClient(httpapi.Config{Server: srv.URL, Device: d.ID, Poll: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		cars = append(cars, car{c, t, f, d.ID})
	}
	return cars
}

func (c car) publish(name, content string) ota.PackageID {
	c.t.Helper()
	id := ota.PackageID{Name: name, Version: "1"}
	if _, err := c.fleet.PutPackage(c.t.Context(), ota.DefaultNamespace, fleet.NewPackage{ID: id}, strings.NewReader(content)); err != nil {
		c.t.Fatal(err)
	}
	return id
}

func (c car) send(id ota.PackageID) ota.UpdateID {
	c.t.Helper()
	made, _, err := c.fleet.Send(c.t.Context(), ota.DefaultNamespace, fleet.Request{Device: c.id, Packages: []ota.PackageID{id}})
	if err != nil {
		c.t.Fatal(err)
	}
	return made[0].ID
}

// offered is what Pending answers, in short.
func (c car) offered() (list []string) {
	c.t.Helper()
	offers, err := c.Pending(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, o := range offers {
		list = append(list, o.Package.Name+" "+string(o.Status))
	}
	return list
}

// expect checks what a call came to; "" is no error.
func (c car) expect(err error, code string) {
	c.t.Helper()
	if ota.CodeOf(err) != code || (err == nil) != (code == "") {
		c.t.Errorf("got %v, want %q", err, code)
	}
}

func TestAnUpdateTravelsWhole(t *testing.T) {
	c := drive(t, "car")[0]
	image := strings.Repeat("0123456789", 20_000)
	id := c.send(c.publish("film", image))

	offers, err := c.Pending(t.Context())
	if err != nil || len(offers) != 1 {
		t.Fatalf("%v %v", offers, err)
	}
	digest := offers[0].Main().SHA256
	direct, err := c.fleet.Uplink(c.id).Pending(t.Context())
	if diff := cmp.Diff(direct[0].CreatedAt, offers[0].CreatedAt); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}

	var got bytes.Buffer
	for from := int64(0); from < int64(len(image)); from = int64(got.Len()) {
		content, err := c.Fetch(t.Context(), ota.FetchRequest{Update: id, From: from, Digest: digest})
		if err != nil || content.From != from || content.Size != int64(len(image)) || content.Digest != digest {
			t.Fatalf("from %d: %+v %v", from, content, err)
		}
		if _, err := io.CopyN(&got, content.Body, 70_000); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		content.Body.Close()
	}
	if got.String() != image {
		t.Error("the image arrived changed")
	}
	if diff := cmp.Diff([]string{"film InFlight"}, c.offered()); diff != "" {
		t.Error(diff)
	}
	report := ota.Outcome(id, ota.OK, "")
	c.expect(c.Report(t.Context(), report), "")
	c.expect(c.Report(t.Context(), report), "") // the answer was lost, say
	c.expect(c.Report(t.Context(), ota.Outcome(id, ota.GeneralError, "later")), "")
	if list := c.offered(); list != nil {
		t.Errorf("still offered: %v", list)
	}
	results, err := c.fleet.Results(t.Context(), ota.DefaultNamespace, c.id, id)
	if err != nil || len(results) != 2 {
		t.Errorf("%v %v", results, err)
	}
	_, err = c.Fetch(t.Context(), ota.FetchRequest{Update: id})
	c.expect(err, "update_ended")
}

func TestADeviceSeesItsOwnUpdatesOnly(t *testing.T) {
	cars := drive(t, "mine", "theirs")
	mine, theirs := cars[0], cars[1]
	id := theirs.send(theirs.publish("film", "x"))
	if list := mine.offered(); list != nil {
		t.Errorf("offered %v", list)
	}
	_, err := mine.Fetch(t.Context(), ota.FetchRequest{Update: id})
	mine.expect(err, "missing_entity")
	mine.expect(mine.Report(t.Context(), ota.Outcome(id, ota.OK, "")), "missing_entity")
	if diff := cmp.Diff([]string{"film Pending"}, theirs.offered()); diff != "" {
		t.Error(diff)
	}
}

func TestAfterAFailureTheQueueIsHeld(t *testing.T) {
	c := drive(t, "car")[0]
	first, second := c.send(c.publish("film", "x")), c.send(c.publish("radio", "y"))
	c.expect(c.Report(t.Context(), ota.Outcome(first, ota.InstallFailed, "no")), "")
	if list := c.offered(); list != nil {
		t.Errorf("offered while blocked: %v", list)
	}
	_, err := c.Fetch(t.Context(), ota.FetchRequest{Update: second})
	c.expect(err, "device_blocked")
	if ota.KindOf(err) != ota.KindLocked {
		t.Errorf("%v", ota.KindOf(err))
	}
}

func TestWhatIsCanceledIsWithdrawn(t *testing.T) {
	c := drive(t, "car")[0]
	id := c.send(c.publish("film", "x"))
	c.offered()
	if err := c.fleet.Cancel(t.Context(), ota.DefaultNamespace, c.id, id); err != nil {
		t.Fatal(err)
	}
	c.offered()
	if n, err := c.Next(t.Context()); err != nil || n != (ota.Withdrawn{Update: id}) {
		t.Errorf("%v %v", n, err)
	}
	c.expect(c.Report(t.Context(), ota.Outcome(id, ota.OK, "")), "update_canceled")
}

func TestARemovedDevice(t *testing.T) {
	c := drive(t, "car")[0]
	if err := c.fleet.RemoveDevice(t.Context(), ota.DefaultNamespace, c.id); err != nil {
		t.Fatal(err)
	}
	_, err := c.Pending(t.Context())
	c.expect(err, "missing_device")
	c.expect(c.Installed(t.Context(), ota.Inventory{}), "missing_device")
	c.expect(c.SystemInfo(t.Context(), json.RawMessage("1")), "missing_device")
}
