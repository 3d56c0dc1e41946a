package rvi

import "github.com/updraft-ota/updraft/ota"

// BackendStart is a device's word that it takes what it was offered (rvi.md
// 4.4, 5.1): one or more packages in 2015, one update in 2016.
type BackendStart struct {
	From     Identity
	Units    []Unit
	Services DeviceServices
	// Window is how many chunks of a file the device takes without waiting for
	// its ack. The member is ours and optional; 1 if it is not there.
	Window int
}

// MaxWindow is the largest window; what a device wishes beyond it is cut.
const MaxWindow = 16

func (BackendStart) Service() Service   { return ServiceStart }
func (m BackendStart) Sender() Identity { return m.From }

func (m BackendStart) Dialect() Dialect {
	if len(m.Units) == 0 {
		return Unknown
	}
	return dialectOf(m.From, m.Units[0])
}

func readBackendStart(f fields, d Dialect) BackendMessage {
	m := BackendStart{From: f.sender(d), Window: 1}
	if d == Dialect2015 {
		f.entries("packages", maxListed, "package.", func(e fields) {
			m.Units = append(m.Units, Unit{Package: e.packageID()})
		})
		if len(m.Units) == 0 {
			f.outOfRange("packages")
		}
	} else {
		m.Units = []Unit{{Update: ota.UpdateID(f.uuid("update_id"))}}
	}
	s := f.object("services")
	name := func(service Service) string { return s.text(string(service), maxServiceName) }
	m.Services = DeviceServices{Start: name(ServiceStart), Chunk: name(ServiceChunk), Abort: name(ServiceAbort),
		Finish: name(ServiceFinish), GetPackages: name(ServiceGetPackages)}
	if n := f.maybeNumber("window", maxInteger); n > 0 {
		m.Window = int(min(n, MaxWindow))
	}
	return m
}

func (m BackendStart) AppendParams(b []byte) []byte {
	w := params(b)
	if m.Dialect() != Dialect2015 {
		w.sender(m.From)
		w.unit(m.Units[0])
	} else {
		w.list("packages", len(m.Units), func(i int) { w.packageID(m.Units[i].Package) })
	}
	w.open("services")
	w.text("start", m.Services.Start)
	w.text("chunk", m.Services.Chunk)
	w.text("abort", m.Services.Abort)
	w.text("finish", m.Services.Finish)
	w.text("getpackages", m.Services.GetPackages)
	w.close()
	if m.Dialect() == Dialect2015 {
		w.sender(m.From)
	}
	if m.Window > 1 {
		w.number("window", int64(m.Window))
	}
	return w.done()
}
