package node

import "strings"

// devicePrefix is that of vehicles known by a UUID (rvi.md 5.1).
const devicePrefix = "genivi.org/device/"

// Vehicles is the Plain of a server without authentication: a link has the
// rights of the vehicle or device that the first service it announces belongs
// to, genivi.org/vin/V/ or genivi.org/device/U/, those of the minimal
// credential of rvi.md 3.6. backend is the server's own prefix.
func Vehicles(backend string) func(service string) (Rights, bool) {
	backend = strings.TrimSuffix(backend, "/")
	return func(service string) (Rights, bool) {
		part := strings.SplitN(service, "/", 4)
		if len(part) != 4 || part[0] != "genivi.org" || part[1] != "vin" && part[1] != "device" || strings.Contains(part[2], "+") {
			return nil, false
		}
		return Rights{{Receive: []string{nodeOf(service)}, Invoke: []string{backend + "/sota/"}}}, true
	}
}

// Backend is the Plain of a vehicle's node without authentication: whoever it
// is linked with is its backend. vehicle is the node's own prefix.
func Backend(backend, vehicle string) func(service string) (Rights, bool) {
	rights := Rights{{Receive: []string{strings.TrimSuffix(backend, "/") + "/sota/"}, Invoke: []string{strings.TrimSuffix(vehicle, "/") + "/"}}}
	return func(string) (Rights, bool) { return rights, true }
}
