package operator_test

import (
	"bytes"
	"encoding/base64"
	"mime/multipart"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator"
	"github.com/updraft-ota/updraft/httpapi/publish"
	"github.com/updraft-ota/updraft/ota"
)

const none = "99999999-9999-4999-8999-999999999999"

// TestEverythingDocumentedIsServed is a day at the fleet: each operation of
// the document is used, and every answer is as announced.
func TestEverythingDocumentedIsServed(t *testing.T) {
	w := start(t)

	// An operator registers a car and publishes a package.
	added := w.ask("POST", "/api/v1/devices", `{"deviceName":"car","deviceId":"VIN1","deviceType":"Vehicle"}`, 201)
	car := into[string](t, added)
	if got := added.Header.Get("Location"); got != "/api/v1/devices/"+car {
		t.Errorf("Location %q", got)
	}
	queue, mine := "/api/v1/device_updates/"+car, "/api/v1/mydevice/"+car
	w.ask("PUT", "/api/v1/devices/"+car, `{"deviceName":"my car","deviceId":"VIN1","deviceType":"Other"}`, 200)
	w.upload("/api/v1/packages/movie&player/1:2.0~rc1+b?description=films&vendor=acme&signature=c2ln", "hello", 204)
	w.ask("PUT", "/api/v1/packages/movie&player/1:2.0~rc1+b/info", `{"description":"more films"}`, 200)
	w.upload("/api/v1/packages/radio/1.0", "music", 204)
	pkg := into[operator.Package](t, w.ask("GET", "/api/v1/packages/movie&player/1:2.0~rc1+b", "", 200))
	wantPkg := operator.Package{
		Namespace: "default", UUID: pkg.UUID, ID: httpapi.PackageID{Name: "movie&player", Version: "1:2.0~rc1+b"},
		URI:  operator.URI{URI: "/api/v1/packages/movie&player/1:2.0~rc1+b/file"},
		Size: 5, CheckSum: "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
		SHA256:      "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
		Description: "more films", Vendor: "acme", Signature: "c2ln", CreatedAt: w.now,
	}
	if diff := cmp.Diff(wantPkg, pkg); diff != "" {
		t.Error(diff)
	}
	if got := w.ask("GET", pkg.URI.URI, "", 200); got.text != "hello" {
		t.Errorf("file %q", got.text)
	}
	if got := w.ask("GET", pkg.URI.URI, "", 206, "Range", "bytes=1-2"); got.text != "el" {
		t.Errorf("range of the file %q", got.text)
	}

	// It sends both, the second one first, and holds the queue for a while.
	sent := into[operator.Sent](t, w.ask("POST", queue, `{"name":"movie&player","version":"1:2.0~rc1+b"}`, 200))
	if sent.Status != "Pending" || sent.Blocked != nil || sent.SHA256 != pkg.SHA256 || sent.Description != "more films" {
		t.Errorf("sent %+v", sent)
	}
	w.ask("PUT", queue+"/blocked", "", 204)
	const second = "11111111-1111-4111-8111-111111111111"
	held := into[operator.Sent](t, w.ask("POST", queue, `{"name":"radio","version":"1.0","id":"`+second+`","until":"2026-11-22T12:00:00Z","requestConfirmation":true,"priority":20}`, 200))
	if held.RequestID != second || held.InstallPos != 1 || held.Blocked == nil || !held.Blocked.BlockedAt.Equal(w.now) || held.Blocked.Reason == "" {
		t.Errorf("held %+v", held)
	}
	if got := into[[]operator.Block](t, w.ask("GET", queue+"/blocked", "", 200)); len(got) != 1 || got[0].ID != car {
		t.Errorf("blocked %+v", got)
	}
	w.ask("DELETE", queue+"/blocked", "", 204)
	w.ask("PUT", queue+"/order", `{"10":"`+sent.RequestID+`","9":"`+second+`"}`, 204)
	var order []string
	for _, p := range into[[]httpapi.PendingUpdate](t, w.ask("GET", queue+"/queued", "", 200)) {
		order = append(order, p.RequestID)
	}
	if diff := cmp.Diff([]string{second, sent.RequestID}, order); diff != "" {
		t.Error(diff)
	}
	if got := into[[]string](t, w.ask("GET", "/api/v1/packages/radio/1.0/queued", "", 200)); !slices.Equal(got, []string{car}) {
		t.Errorf("queued on %v", got)
	}
	w.ask("PUT", queue+"/"+second+"/cancelupdate", "", 204)

	// The car proves itself, fetches, installs and reports.
	cred := into[operator.Credentials](t, w.ask("POST", "/api/v1/devices/"+car+"/credentials", "", 201))
	tok := into[operator.Token](t, w.ask("POST", "/token", "grant_type=client_credentials", 200,
		"Content-Type", "application/x-www-form-urlencoded",
		"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(cred.ClientID+":"+cred.ClientSecret))))
	w.auth = "Bearer " + tok.AccessToken
	w.now = w.now.Add(time.Minute)
	if got := into[[]httpapi.PendingUpdate](t, w.ask("GET", mine+"/updates", "", 200)); len(got) != 1 || got[0].Status != "Pending" {
		t.Errorf("pending %+v", got)
	}
	image := mine + "/updates/" + sent.RequestID + "/download"
	w.ask("HEAD", image, "", 200)
	if got := into[[]httpapi.PendingUpdate](t, w.ask("GET", mine+"/updates", "", 200)); got[0].Status != "Pending" {
		t.Errorf("a peek began the update: %+v", got)
	}
	if got := w.ask("GET", image, "", 200); got.text != "hello" {
		t.Errorf("image %q", got.text)
	}
	if got := into[[]httpapi.PendingUpdate](t, w.ask("GET", mine+"/updates", "", 200)); got[0].Status != "InFlight" {
		t.Errorf("a download did not begin the update: %+v", got)
	}
	w.ask("GET", image, "", 416, "Range", "bytes=5-")
	w.ask("POST", mine+"/updates/"+sent.RequestID, `[{"id":"`+sent.RequestID+`","result_code":4,"result_text":"broken\npipe"}]`, 204)
	w.ask("PUT", mine+"/installed", `[{"name":"Movie & more","version":"1"},{"name":"b","version":"2"}]`, 200)
	w.ask("PUT", mine+"/packages", `{"packages":[{"name":"Movie & more","version":"1"}],"firmware":[{"module":"ecu","firmwareId":"f","lastModified":1}]}`, 204)
	w.ask("PUT", mine+"/system_info", `{ "cpu": [1.0] }`, 200)
	about := into[operator.Device](t, w.ask("GET", mine, "", 200))

	// The operator sees what became of it.
	w.auth = "Bearer admin"
	wantDevice := operator.Device{
		Namespace: "default", UUID: car, DeviceName: "my car", DeviceID: "VIN1", DeviceType: "Other",
		LastSeen: &w.now, CreatedAt: w.now.Add(-time.Minute), ActivatedAt: &w.now, DeviceStatus: "Error",
		Blocked: &operator.Block{ID: car, BlockedAt: w.now, UpdateID: sent.RequestID, Reason: "movie&player=1:2.0~rc1+b failed: INSTALL_FAILED: broken"},
	}
	if diff := cmp.Diff(wantDevice, into[operator.Device](t, w.ask("GET", "/api/v1/devices/"+car, "", 200))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantDevice, about); diff != "" {
		t.Errorf("the car sees itself otherwise: %s", diff)
	}
	results := into[[]operator.Result](t, w.ask("GET", queue+"/results", "", 200))
	if len(results) != 1 || results[0].ResultCode != 4 || results[0].ResultText != "broken\npipe" || results[0].UpdateID != sent.RequestID {
		t.Errorf("results %+v", results)
	}
	if got := into[[]operator.Result](t, w.ask("GET", queue+"/"+second+"/results", "", 200)); len(got) != 0 {
		t.Errorf("results of the other %+v", got)
	}
	var history []string
	for _, p := range into[[]operator.Past](t, w.ask("GET", "/api/v1/history?uuid="+car, "", 200)) {
		history = append(history, p.PackageID.Name+" "+p.Status)
		if p.Success || p.Cancelled != (p.Status == "Canceled") || p.ID != len(history) {
			t.Errorf("history %+v", p)
		}
	}
	if diff := cmp.Diff([]string{"radio Canceled", "movie&player Failed"}, history); diff != "" {
		t.Error(diff)
	}
	installed := into[[]operator.InstalledPackage](t, w.ask("GET", "/api/v1/devices/"+car+"/packages?regex=e-1", "", 200))
	if len(installed) != 1 || installed[0].PackageID.Name != "Movie & more" || !installed[0].LastModified.Equal(w.now) {
		t.Errorf("installed %+v", installed)
	}
	if got := w.ask("GET", "/api/v1/devices/"+car+"/system_info", "", 200); got.text != `{ "cpu": [1.0] }` {
		t.Errorf("system info %s", got.text)
	}
	w.ask("PUT", "/api/v1/devices/"+car+"/system_info", `"`+strings.Repeat("x", 1<<20-2)+`"`, 200)
	if got := into[[]operator.Update](t, w.ask("GET", "/api/v1/updates?status=Failed,Expired&device="+car, "", 200)); len(got) != 1 || got[0].EndedAt == nil {
		t.Errorf("updates %+v", got)
	}
	w.ask("POST", queue+"/sync", "", 204)
	w.ask("GET", "/api/v1/links", "", 200)
	lookAround(t, w, car)

	// At the end everything goes, the car's token too.
	w.ask("DELETE", "/api/v1/packages/radio/1.0", "", 204)
	if got := into[[]operator.Package](t, w.ask("GET", "/api/v1/packages", "", 200)); len(got) != 1 {
		t.Errorf("packages %+v", got)
	}
	w.ask("DELETE", "/api/v1/devices/"+car, "", 200)
	w.refused("GET", mine+"/updates", "", 401, "invalid_token", "Authorization", "Bearer "+tok.AccessToken)
	if got := w.ask("GET", "/api/v1/devices", "", 200); got.text != "[]\n" {
		t.Errorf("devices %s", got.text)
	}
	node := into[operator.ConstrainedKeys](t, w.ask("POST", "/api/v1/devices/constrained",
		`{"deviceName":"node","vendor":"example.com","class":"thermostat","psk":true,"address":"[fd00::1]:5683"}`, 201))
	told := w.ask("GET", "/api/v1/devices/"+node.UUID, "", 200)
	if got := into[operator.Device](t, told); node.PSKKey == "" || node.PSKIdentity != node.UUID || got.Constrained == nil || got.Constrained.Class != "thermostat" ||
		got.Constrained.VendorID != "cfbff0d1-9375-5685-968c-48ce8b15ae17" || strings.Contains(told.text, node.PSKKey) {
		t.Errorf("%+v, %s", node, told.text)
	}
	if got := into[operator.ConstrainedKeys](t, w.ask("POST", "/api/v1/devices/"+node.UUID+"/psk", "", 201)); got.PSKKey == "" || got.PSKKey == node.PSKKey || got.EnrolToken != "" {
		t.Errorf("%+v", got)
	}
	if got := into[operator.ConstrainedKeys](t, w.ask("POST", "/api/v1/devices/"+node.UUID+"/psk?enrol=true", "", 201)); got.PSKKey != "" || got.EnrolToken == "" {
		t.Errorf("%+v", got)
	}
	other := w.device("other")
	w.refused("POST", "/api/v1/devices/"+other+"/psk", "", 400, "invalid_entity")
	w.ask("POST", "/api/v1/devices/"+other+"/system_info", `{}`, 201)
	w.refused("POST", "/api/v1/devices/"+other+"/system_info", `{}`, 409, "conflicting_entity")

	publishes(t, w)

	for path, ops := range w.doc.Paths {
		for method := range ops {
			if !w.doc.seen[method+" "+path] {
				t.Errorf("%s %s is documented, but was not seen to work", method, path)
			}
		}
	}
	for _, route := range append(httpapi.DeviceRoutes(), publish.Routes()...) {
		method, path, _ := strings.Cut(strings.Replace(route, "...}", "}", 1), " ")
		if w.doc.Paths[path][strings.ToLower(method)] == nil {
			t.Errorf("%s is served, but not documented", route)
		}
	}
}

// publishes has constrained devices told of files.
func publishes(t *testing.T, w *world) {
	t.Helper()
	var files bytes.Buffer
	m := multipart.NewWriter(&files)
	_ = m.WriteField("publish_id", "board/app")
	for _, name := range []string{"app-slot0.riot.suit.5.bin", "app-slot1.riot.suit.5.bin", "app-riot.suitv4_signed.5.bin"} {
		part, err := m.CreateFormFile(name, name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write([]byte("for " + name))
	}
	m.Close()
	const urlencoded = "application/x-www-form-urlencoded"
	w.ask("POST", "/publish", files.String(), 201, "Content-Type", m.FormDataContentType())
	w.ask("POST", "/publish", files.String()[:files.Len()-20], 400, "Content-Type", m.FormDataContentType())
	w.ask("POST", "/notify", "publish_id=board_app&urls=[::1]/sub,node", 202, "Content-Type", urlencoded)
	w.ask("POST", "/notifyv4", "publish_id=board/app&urls=[::1]&version=5", 202, "Content-Type", urlencoded)
	w.ask("POST", "/notify", "publish_id=../app&urls=[::1]", 422, "Content-Type", urlencoded)
	w.ask("GET", "/coap/url/board_app", "", 200)
	w.ask("POST", "/remove", `{"publish_id":"board/app","version":5}`, 200)
	w.ask("POST", "/remove", `{"publish_id":"board/app","version":5}`, 404)
}

// lookAround asks about all devices; car has "Movie & more" 1.
func lookAround(t *testing.T, w *world, car string) {
	t.Helper()
	const movie = `{"name":"Movie & more","version":"1"}`
	for _, tt := range []struct{ method, path, body, want string }{
		{"GET", "/device_count/Movie%20&%20more/1", "", `{"deviceCount":1,"groupIds":[]}`},
		{"GET", "/device_count/Movie%20&%20more/2", "", `{"deviceCount":0,"groupIds":[]}`},
		{"GET", "/active_device_count?start=2026-11-21T12:01:00Z&end=2026-11-21T14:01:00.1%2B02:00", "", `{"deviceCount":1}`},
		{"GET", "/active_device_count?start=2026-11-21T12:00:00Z&end=2026-11-21T12:01:00Z", "", `{"deviceCount":0}`},
		{"GET", "/device_packages", "", `{"total":1,"limit":1,"offset":0,"values":[` + movie + `]}`},
		{"GET", "/device_packages?offset=1", "", `{"total":1,"limit":50,"offset":1,"values":[]}`},
		{"POST", "/packages/affected", `[` + movie + `,{"name":"b","version":"2"},` + movie + `]`, `{"` + car + `":[` + movie + `]}`},
		{"POST", "/packages/affected", `[]`, `{}`},
		{"GET", "/package_stats/Movie%20&%20more", "", `{"total":1,"limit":1,"offset":0,"values":[{"packageVersion":"1","installedCount":1}]}`},
		{"GET", "/package_stats/Movie%20&%20more?limit=7", "", `{"total":1,"limit":7,"offset":0,"values":[{"packageVersion":"1","installedCount":1}]}`},
		{"GET", "/package_stats/b", "", `{"total":0,"limit":0,"offset":0,"values":[]}`},
		{"PUT", "/devices", `{"deviceName":"car","deviceId":"VIN1","credentials":"a key\n"}`, `"` + car + `"`},
		{"GET", "/devices/" + car + "/public_credentials", "", `{"uuid":"` + car + `","credentials":"a key\n"}`},
		{"GET", "/devices_info?regex=^my", "", `[{"namespace":"default","uuid":"` + car + `","deviceName":"my car","deviceId":"VIN1","deviceType":"Other",` +
			`"lastSeen":"2026-11-21T12:01:00Z","createdAt":"2026-11-21T12:00:00Z","activatedAt":"2026-11-21T12:01:00Z"}]`},
		{"GET", "/devices_info?regex=^your", "", `[]`},
		{"GET", "/devices_info/" + car + "?status=true", "", `{"namespace":"default","uuid":"` + car + `","deviceName":"my car","deviceId":"VIN1","deviceType":"Other",` +
			`"lastSeen":"2026-11-21T12:01:00Z","createdAt":"2026-11-21T12:00:00Z","activatedAt":"2026-11-21T12:01:00Z","status":"Error"}`},
	} {
		if got := w.ask(tt.method, "/api/v1"+tt.path, tt.body, 200).text; strings.TrimSpace(got) != tt.want {
			t.Errorf("%s %s:\n got %s\nwant %s", tt.method, tt.path, got, tt.want)
		}
	}
}

func TestTheDocumentIsForEveryone(t *testing.T) {
	w := start(t)
	w.auth = ""
	got := w.ask("GET", "/api/v1/openapi.json", "", 200)
	if !strings.HasPrefix(got.Header.Get("Content-Type"), "application/vnd.oai.openapi+json") || !strings.Contains(got.text, `"openapi": "3.1.0"`) {
		t.Errorf("%v %.100s", got.Header, got.text)
	}
}

func TestOnlyOperatorsOperate(t *testing.T) {
	w := start(t)
	car, other := w.device("car"), w.device("other")
	cred := into[operator.Credentials](t, w.ask("POST", "/api/v1/devices/"+car+"/credentials", "", 201))
	tok := into[operator.Token](t, w.ask("POST", "/token", "grant_type=client_credentials&client_id="+cred.ClientID+"&client_secret="+cred.ClientSecret, 200,
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""))
	for auth, want := range map[string]int{"": 401, "Bearer x": 401, "Bearer " + tok.AccessToken: 403} {
		w.auth = auth
		code := map[int]string{401: "not_authenticated", 403: "forbidden"}[want]
		if auth == "Bearer x" {
			code = "invalid_token"
		}
		for path, ops := range w.doc.Paths {
			path = strings.NewReplacer("{uuid}", other, "{id}", none, "{updateId}", none, "{name}", "n", "{version}", "v").Replace(path)
			for method := range ops {
				if path == "/token" || strings.HasPrefix(path, "/coap/") || method == "head" { // everyone's
					continue
				}
				w.refused(strings.ToUpper(method), path, "", want, code)
			}
		}
	}
	w.auth = "Bearer admin"
	w.refused("GET", "/api/v1/mydevice/"+car+"/updates", "", 403, "forbidden")
}

func TestNamespacesDoNotMeet(t *testing.T) {
	w := start(t)
	car := w.device("car")
	w.upload("/api/v1/packages/a/1", "x", 204)
	w.ask("PUT", "/api/v1/devices", `{"deviceName":"car","deviceId":"VIN","credentials":"theirs"}`, 200, "x-ats-namespace", "acme")
	w.ask("PUT", "/api/v1/devices/"+car, `{"deviceName":"car","credentials":"ours"}`, 200)
	for _, path := range []string{"/devices/" + car, "/devices_info/" + car, "/devices/" + car + "/public_credentials", "/devices/" + car + "/packages", "/device_updates/" + car + "/queued", "/device_updates/" + car + "/results", "/history?uuid=" + car} {
		w.refused("GET", "/api/v1"+path, "", 404, "missing_device", "x-ats-namespace", "acme")
		w.ask("GET", "/api/v1"+path, "", 200)
	}
	for _, path := range []string{"/packages", "/updates"} {
		if got := w.ask("GET", "/api/v1"+path, "", 200, "x-ats-namespace", "acme"); got.text != "[]\n" {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	if got := into[[]operator.Device](t, w.ask("GET", "/api/v1/devices", "", 200, "x-ats-namespace", "acme")); len(got) != 1 || got[0].UUID == car {
		t.Errorf("devices %+v", got)
	}
	// What one namespace has installed, another does not count (defect 9).
	if err := w.fleet.Uplink(ota.DeviceID(car)).Installed(t.Context(), ota.Inventory{Packages: []ota.Installed{{PackageID: ota.PackageID{Name: "a", Version: "1"}}}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]string{
		"/package_stats/a":  {`"total":1`, `"total":0`},
		"/device_packages":  {`"total":1`, `"total":0`},
		"/device_count/a/1": {`"deviceCount":1`, `"deviceCount":0`},
	} {
		for i, ns := range []string{"default", "acme"} {
			if got := w.ask("GET", "/api/v1"+path, "", 200, "x-ats-namespace", ns).text; !strings.Contains(got, want[i]) {
				t.Errorf("%s in %s: %s", path, ns, got)
			}
		}
	}
	if got := w.ask("POST", "/api/v1/packages/affected", `[{"name":"a","version":"1"}]`, 200, "x-ats-namespace", "acme").text; got != "{}\n" {
		t.Errorf("affected: %s", got)
	}
}

func TestADeviceOfAnotherNamespaceSeesItself(t *testing.T) {
	w := start(t)
	car := into[string](t, w.ask("POST", "/api/v1/devices", `{"deviceName":"car"}`, 201, "x-ats-namespace", "acme"))
	cred := into[operator.Credentials](t, w.ask("POST", "/api/v1/devices/"+car+"/credentials", "", 201, "x-ats-namespace", "acme"))
	tok := into[operator.Token](t, w.ask("POST", "/token", "grant_type=client_credentials&client_id="+cred.ClientID+"&client_secret="+cred.ClientSecret, 200,
		"Content-Type", "application/x-www-form-urlencoded", "Authorization", ""))
	w.auth = "Bearer " + tok.AccessToken
	if got := into[operator.Device](t, w.ask("GET", "/api/v1/mydevice/"+car, "", 200)); got.Namespace != "acme" {
		t.Errorf("%+v", got)
	}
	w.ask("GET", "/api/v1/mydevice/"+car+"/updates", "", 200)
	for _, path := range []string{"", "/updates"} {
		w.ask("GET", "/api/v1/mydevice/"+car+path, "", 200, "x-ats-namespace", "acme")
		w.refused("GET", "/api/v1/mydevice/"+car+path, "", 403, "forbidden", "x-ats-namespace", "default")
	}
}

func TestLists(t *testing.T) {
	w := start(t)
	for _, name := range []string{"delta", "alpha", "charlie", "bravo"} {
		w.device(name)
	}
	w.ask("POST", "/api/v1/devices", `{"deviceName":"echo","deviceId":"VIN5"}`, 201)
	for query, want := range map[string]string{
		"":                         "alpha bravo charlie delta echo",
		"?regex=l.*a$":             "alpha delta",
		"?regex=a&offset=1":        "bravo charlie delta",
		"?limit=2":                 "alpha bravo",
		"?limit=2&offset=4":        "echo",
		"?offset=9":                "",
		"?deviceId=VIN5":           "echo",
		"?deviceId=VIN":            "",
		"?regex=%5EALPHA%24":       "",
		"?regex=(%3Fi)%5EALPHA%24": "alpha",
	} {
		var names []string
		for _, d := range into[[]operator.Device](t, w.ask("GET", "/api/v1/devices"+query, "", 200)) {
			names = append(names, d.DeviceName)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	w.upload("/api/v1/packages/radio/1.0", "x", 204)
	w.upload("/api/v1/packages/movie/2.0", "x", 204)
	for query, want := range map[string]int{"": 2, "?regex=rad": 1, "?regex=2": 1, "?regex=%5C.0": 2, "?regex=x": 0, "?limit=1": 1} {
		if got := into[[]operator.Package](t, w.ask("GET", "/api/v1/packages"+query, "", 200)); len(got) != want {
			t.Errorf("%s: %v", query, got)
		}
	}
}
