package rvi

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An update whose install failed, and was reported, is offered again: it is
// fetched and installed anew, and not answered with the old report.
func TestWhatIsAcceptedAgainComesAnew(t *testing.T) {
	d := receiving(t, fileOf(1), 1)
	d.Finish(Finish{Unit: unit}, noon)
	d.Reported(unit, noon)
	d.Ask(unit, at(60))
	if fresh, err := d.Start(fileOf(1), at(61)); !fresh || err != nil || d.Held(unit).Len() != 0 {
		t.Error(fresh, err, d.Held(unit))
	}
	if e, err := d.Finish(Finish{Unit: unit}, at(62)); err == nil {
		t.Error("finished without a chunk:", e)
	}
}

func TestWhatWasAskedForAgainIsDroppedOnce(t *testing.T) {
	d := receiving(t, fileOf(2), 1)
	d.Ask(unit, at(1))
	if diff := cmp.Diff([]Unit{unit}, d.Abort()); diff != "" {
		t.Error(diff)
	}
}

// A stock node announces services one by one, and to each address of a backend.
func TestThatAVehicleIsThereMayBeToldManyTimes(t *testing.T) {
	v := NewVehicle()
	v.Begin([]File{{Unit: unit, Chunks: 9}}, noon)
	v.Ack(unit, ChunkSet(1), at(1))
	v.Gone()
	expect(t, v.Back(at(10)).Send, orders(ServiceStart))
	expect(t, v.Back(at(10)).Send, nil)
	v.Ack(unit, ChunkSet(1), at(11))
	expect(t, v.Back(at(12)).Send, nil)
	if p := v.Progress(); p[0].State != Sending || p[0].Held != 1 {
		t.Error(p)
	}
}

func TestVehiclesThatAreNone(t *testing.T) {
	for _, name := range []string{"genivi.org/vin/../sota/notify", "genivi.org/vin/./x", "genivi.org/vin//x", "genivi.org/vin/a%2fb/x",
		"genivi.org/vin/+/x", "genivi.org/VIN/V/x", "genivi.org/vin/V\x00/x", "genivi.org/device/V/x", "/genivi.org/vin/V/x", "genivi.org/backend/sota/x"} {
		if id, err := IdentityOf(name); err == nil {
			t.Errorf("%q is %+v", name, id)
		}
	}
}
