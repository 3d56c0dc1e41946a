package operator_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/httpapi/operator"
)

func TestBadInputIsRefused(t *testing.T) {
	w := start(t)
	car := w.device("car")
	w.upload("/api/v1/packages/a/1", "x", 204)
	updates := "/api/v1/device_updates/" + car
	long := strings.Repeat("n", 201)
	for _, tt := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/api/v1/devices", ``, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `[]`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `null`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{}`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{"deviceName":7}`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{"deviceName":"x"}}`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{"deviceName":"x","deviceType":"Boat"}`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{"deviceName":"x","uuid":"1"}`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{"deviceName":"x","colour":"red"}`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{"deviceName":"a\u0007"}`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `{"deviceName":"` + long + `"}`, 400, "invalid_entity"},
		{"POST", "/api/v1/devices", "{\"deviceName\":\"\xff\"}", 400, "invalid_entity"},
		{"POST", "/api/v1/devices", strings.Repeat("[", 100_000), 400, "invalid_entity"},
		{"POST", "/api/v1/devices", `"` + strings.Repeat("x", 2<<20) + `"`, 413, "too_large"},
		{"POST", "/api/v1/devices", `{"deviceName":"car"}`, 409, "conflicting_device"},
		{"POST", "/api/v1/devices", `{"deviceName":"x","uuid":"` + car + `"}`, 409, "conflicting_device"},
		{"PUT", "/api/v1/devices/" + none, `{"deviceName":"x"}`, 404, "missing_device"},
		{"PUT", "/api/v1/devices/" + car, `{"deviceName":"x","uuid":"` + none + `"}`, 400, "invalid_entity"},
		{"GET", "/api/v1/devices/42", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices/..%2fx", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices/../x", ``, 400, "invalid_entity"},
		{"DELETE", "/api/v1/devices/" + none, ``, 404, "missing_device"},
		{"GET", "/api/v1/devices?regex=%5B", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices?regex=a&deviceId=b", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices?limit=-1", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices?limit=0", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices?offset=-1", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices?limit=99999999999999999999", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices?regex=(%3F%3Dx)", ``, 400, "invalid_entity"}, // RE2 has no lookahead
		{"GET", "/api/v1/devices?regex=" + strings.Repeat("x", 1001), ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices?regex=((a{100}){100}){100}", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices_info?regex=%5B", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices_info?status=maybe", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices_info/" + none, ``, 404, "missing_device"},
		{"GET", "/api/v1/devices/" + car + "/packages?regex=%5B", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/devices/" + none + "/public_credentials", ``, 404, "missing_device"},
		{"GET", "/api/v1/devices/" + car + "/public_credentials", ``, 404, "missing_entity"},
		{"PUT", "/api/v1/devices", `{"deviceName":"x","credentials":"key"}`, 400, "reguest_needs_deviceid"},
		{"PUT", "/api/v1/devices", `{"deviceName":"x","deviceId":"VIN"}`, 400, "request_needs_credentials"},
		{"PUT", "/api/v1/devices", `{"deviceName":"x","deviceId":"VIN","credentials":7}`, 400, "invalid_entity"},
		{"PUT", "/api/v1/devices", `{"deviceName":"x","deviceId":"VIN","credentials":"\u0000"}`, 400, "invalid_entity"},
		{"PUT", "/api/v1/devices", `{"deviceName":"x","deviceId":"VIN","credentials":"` + strings.Repeat("k", 64<<10+1) + `"}`, 400, "invalid_entity"},
		{"PUT", "/api/v1/devices", `{"deviceName":"x","deviceId":"V I N","credentials":"key"}`, 400, "invalid_entity"},
		{"PUT", "/api/v1/devices", `{"deviceName":"car","deviceId":"VIN","credentials":"key"}`, 409, "conflicting_device"},
		{"GET", "/api/v1/device_count/a%07/1", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/package_stats/a%07", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/package_stats/a?limit=x", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/active_device_count", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/active_device_count?start=2026-01-01T00:00:00Z", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/active_device_count?start=2026-01-01T00:00:00Z&end=soon", ``, 400, "invalid_entity"},
		{"POST", "/api/v1/packages/affected", `{}`, 400, "invalid_entity"},
		{"POST", "/api/v1/packages/affected", `null`, 400, "invalid_entity"},
		{"POST", "/api/v1/packages/affected", `[{"name":"a"}]`, 400, "invalid_entity"},
		{"POST", "/api/v1/packages/affected", `[{"name":"","version":""}]`, 400, "invalid_entity"},
		{"POST", "/api/v1/packages/affected", "[" + strings.Repeat(`{"name":"a","version":"1"},`, 1000) + `{"name":"a","version":"1"}]`, 400, "invalid_entity"},
		{"GET", "/api/v1/devices?limit=ten", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/packages?regex=%5B", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/packages/a/2", ``, 404, "missing_package"},
		{"GET", "/api/v1/packages/a/2/queued", ``, 404, "missing_package"},
		{"GET", "/api/v1/packages/a/1/file?artifact=b", ``, 404, "missing_entity"},
		{"PUT", "/api/v1/packages/a/2/info", `{"description":"x"}`, 404, "missing_package"},
		{"PUT", "/api/v1/devices/" + car + "/system_info", `{`, 400, "invalid_entity"},
		{"PUT", "/api/v1/devices/" + car + "/system_info", `"` + strings.Repeat("x", 1<<20) + `"`, 413, "too_large"},
		{"PUT", "/api/v1/devices/" + car + "/system_info", "\"\xff\"", 400, "invalid_entity"},
		{"POST", updates, `{"name":"a","version":"2"}`, 404, "missing_package"},
		{"POST", updates, `{"name":"a"}`, 400, "invalid_entity"},
		{"POST", updates, `{"name":"a","version":"1","until":"tomorrow"}`, 400, "invalid_entity"},
		{"POST", updates, `{"name":"a","version":"1","until":"2020-01-01T00:00:00Z"}`, 400, "invalid_entity"},
		{"POST", updates, `{"name":"a","version":"1","priority":101}`, 400, "invalid_entity"},
		{"POST", updates, `{"name":"a","version":"1","id":"x"}`, 400, "invalid_entity"},
		{"POST", "/api/v1/device_updates/" + none, `{"name":"a","version":"1"}`, 404, "missing_device"},
		{"PUT", updates + "/order", `{"0":"` + none + `"}`, 400, "invalid_entity"},
		{"PUT", updates + "/order", `{"first":"` + none + `"}`, 400, "invalid_entity"},
		{"PUT", updates + "/order", `{"0":7}`, 400, "invalid_entity"},
		{"PUT", updates + "/" + none + "/cancelupdate", ``, 404, "missing_entity"},
		{"GET", updates + "/" + none + "/results", ``, 404, "missing_entity"},
		{"GET", "/api/v1/device_updates/" + none + "/blocked", ``, 404, "missing_device"},
		{"GET", "/api/v1/history", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/updates?status=Lost", ``, 400, "invalid_entity"},
		{"GET", "/api/v1/nothing", ``, 404, "missing_entity"},
		{"PATCH", "/api/v1/devices", ``, 405, "method_not_allowed"},
	} {
		t.Run(tt.method+" "+tt.path+" "+fmt.Sprintf("%.40s", tt.body), func(t *testing.T) {
			w.t = t
			w.refused(tt.method, tt.path, tt.body, tt.status, tt.code)
		})
	}
	w.t = t
	if got := into[[]operator.Device](t, w.ask("GET", "/api/v1/devices", "", 200)); len(got) != 1 || got[0].DeviceName != "car" || got[0].ActiveUpdates != 0 {
		t.Errorf("something got through: %+v", got)
	}
}

func TestABlockedQueueAndAnUpdateThatBegan(t *testing.T) {
	w := start(t)
	car := w.device("car")
	w.upload("/api/v1/packages/a/1", "x", 204)
	updates := "/api/v1/device_updates/" + car
	sent := into[operator.Sent](t, w.ask("POST", updates, `{"name":"a","version":"1"}`, 200))
	w.refused("POST", updates, `{"name":"a","version":"1","id":"`+sent.RequestID+`"}`, 409, "conflicting_entity")
	w.refused("DELETE", "/api/v1/packages/a/1", "", 409, "conflicting_entity")
	body, contentType := form(t, "file", "other bytes")
	w.refused("PUT", "/api/v1/packages/a/1", body, 409, "conflicting_entity", "Content-Type", contentType)
	w.upload("/api/v1/packages/a/1", "x", 204)
	w.upload("/api/v1/packages/a/1?force=true", "other bytes", 204)

	begin(t, w, car, sent.RequestID)
	w.refused("PUT", updates+"/"+sent.RequestID+"/cancelupdate", "", 409, "update_in_flight")
}

// begin downloads as the device would.
func begin(t *testing.T, w *world, car, update string) {
	t.Helper()
	cred := into[operator.Credentials](t, w.ask("POST", "/api/v1/devices/"+car+"/credentials", "", 201))
	tok := into[operator.Token](t, w.ask("POST", "/token", "grant_type=client_credentials&client_id="+cred.ClientID+"&client_secret="+cred.ClientSecret, 200,
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""))
	w.ask("GET", "/api/v1/mydevice/"+car+"/updates/"+update+"/download", "", 200, "Authorization", "Bearer "+tok.AccessToken)
}
