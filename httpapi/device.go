package httpapi

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/updraft-ota/updraft/ota"
)

// Opener finds the server's side of a device's conversation. It decides
// whether the request may speak for the device, and fails with
// KindUnauthenticated, KindForbidden or KindNotFound.
type Opener func(r *http.Request, id ota.DeviceID) (ota.Uplink, error)

type answerer func(w http.ResponseWriter, r *http.Request, uplink ota.Uplink) error

// deviceRoutes is all that devices call.
var deviceRoutes = map[string]answerer{
	"GET /api/v1/mydevice/{uuid}/updates":               pending, // and HEAD, as with every GET
	"GET /api/v1/mydevice/{uuid}/updates/{id}/download": download,
	"POST /api/v1/mydevice/{uuid}/updates/{id}":         report,
	"PUT /api/v1/mydevice/{uuid}/installed":             installed,
	"PUT /api/v1/mydevice/{uuid}/packages":              packages,
	"PUT /api/v1/mydevice/{uuid}/system_info":           systemInfo,
}

// DeviceRoutes lists the patterns DeviceAPI serves, sorted.
func DeviceRoutes() []string { return slices.Sorted(maps.Keys(deviceRoutes)) }

// DeviceAPI serves what devices call (server.md 1.3), at its full paths.
func DeviceAPI(open Opener, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range deviceRoutes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := conversation(w, r, open, answer); err != nil {
				Refuse(w, r, log, err)
			}
		})
	}
	return Door(mux, log)
}

func conversation(w http.ResponseWriter, r *http.Request, open Opener, answer answerer) error {
	id, err := ota.ParseDeviceID(r.PathValue("uuid"))
	if err != nil {
		Abandon(w, r)
		return err
	}
	uplink, err := open(r, id)
	if err != nil {
		Abandon(w, r)
		return err
	}
	return answer(w, r, uplink)
}

func pending(w http.ResponseWriter, r *http.Request, uplink ota.Uplink) error {
	offers, err := uplink.Pending(r.Context())
	if err != nil {
		return err
	}
	list := make([]PendingUpdate, 0, len(offers))
	for _, o := range offers {
		list = append(list, FromOffer(o))
	}
	writeJSON(w, http.StatusOK, "application/json", list)
	return nil
}

func report(w http.ResponseWriter, r *http.Request, uplink ota.Uplink) error {
	id, err := ota.ParseUpdateID(r.PathValue("id"))
	if err != nil {
		Abandon(w, r)
		return err
	}
	body, err := ReadBody(w, r, maxReport)
	if err != nil {
		return err
	}
	rep, err := parseReport(id, body)
	if err != nil {
		return err
	}
	if err := uplink.Report(r.Context(), rep); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func installed(w http.ResponseWriter, r *http.Request, uplink ota.Uplink) error {
	if err := takeInstalled(w, r, uplink); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", struct{}{})
	return nil
}

// packages is the registry's door to the same list; its answer is empty.
func packages(w http.ResponseWriter, r *http.Request, uplink ota.Uplink) error {
	if err := takeInstalled(w, r, uplink); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func takeInstalled(w http.ResponseWriter, r *http.Request, uplink ota.Uplink) error {
	body, err := ReadBody(w, r, maxInstalled)
	if err != nil {
		return err
	}
	inv, err := parseInstalled(body)
	if err != nil {
		return err
	}
	return uplink.Installed(r.Context(), inv)
}

func systemInfo(w http.ResponseWriter, r *http.Request, uplink ota.Uplink) error {
	body, err := ReadBody(w, r, maxSystemInfo)
	if err != nil {
		return err
	}
	doc, err := ParseSystemInfo(body)
	if err != nil {
		return err
	}
	if err := uplink.SystemInfo(r.Context(), doc); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", struct{}{})
	return nil
}
