package web_test

import (
	"crypto/sha256"
	"encoding/hex"
	"html"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/web"
)

func TestThePagesOfAFleet(t *testing.T) {
	w := start(t)
	w.holds(w.page("/"), "Nothing is published yet.", "updraft publish --publish-id my-app", "No devices yet.", "updraft device add")
	w.put("raw/id", "file1", "one", "file2", "two", "manifest", "m")
	p := w.put("raw/id", "file1", "new")
	d := w.device("kitchen")
	u := w.send(d, p)
	w.holds(w.page("/"), "raw_id", "r2", "2 versions", "3 files, 7 B", "kitchen", "not seen", "raw_id=r2", "Pending")
	w.holds(w.page("/app?name=raw_id"), "coap://[fd00::1]:5683/raw_id/file1", "newest", "not SUIT, unchecked",
		"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", // printf one | sha256sum
		"1 update to this version", "kitchen", "Pending")
	w.holds(w.page("/device?id="+string(d.ID)), "kitchen", string(d.ID), "raw_id=r2", "Pending")
	w.holds(w.page("/manifest?name=raw_id&version=r1&file=manifest"), "not SUIT, unchecked", "It is not a SUIT manifest")

	report := ota.Report{Update: u.ID, Results: []ota.OperationResult{{Code: ota.InstallFailed, Text: "no room <in the flash>"}}}
	if err := w.fleet.Uplink(d.ID).Report(w.ctx, report); err != nil {
		t.Fatal(err)
	}
	w.holds(w.page("/device?id="+string(d.ID)), "INSTALL_FAILED", "no room &lt;in the flash&gt;", "Blocked since")
}

// What a device tells that proved nothing is marked wherever it is shown.
func TestConstrainedDevices(t *testing.T) {
	w := start(t)
	p := w.put("app", "manifest", "m")
	d := w.constrained("node", true)
	u := w.send(d, p)
	w.holds(w.page("/"), "thermostat of example.com", "unauthenticated")
	w.holds(w.page("/device?id="+string(d.ID)), "thermostat", "none: what it tells is unauthenticated", "[fd00::9]:5683", "not told",
		"cfbff0d1-9375-5685-968c-48ce8b15ae17", "115b22b1-e161-5af3-926f-7b269633932c")
	report := ota.Report{Update: u.ID, Unproven: true, Results: []ota.OperationResult{{Code: ota.FlashFailed, Text: "slot 1"}}}
	if err := w.fleet.Uplink(d.ID).Report(w.ctx, report); err != nil {
		t.Fatal(err)
	}
	const tag = `<span class="tag busy">unauthenticated report</span>`
	w.holds(w.page("/device?id="+string(d.ID)), tag, "FLASH_FAILED", ">slot 1<")
	w.holds(w.page("/app?name=app"), tag)
	w.holds(w.page("/device?id="+string(w.constrained("careful", false).ID)), "its key or certificate, over coaps")
}

// Who is blocked is shown as that, since when and why, also in the list.
func TestBlockedDevices(t *testing.T) {
	w := start(t)
	d := w.device("kitchen")
	w.reports(w.send(d, w.put("app", "f", "x")), ota.FlashFailed, "slot 1")
	by := w.device("cellar")
	if err := w.fleet.Block(w.ctx, ns, by.ID); err != nil {
		t.Fatal(err)
	}
	fine := w.device("attic")
	w.holds(w.page("/"), "Blocked 2", "/?blocked=1#devices", ">attic<")
	if text := w.page("/?blocked=1"); strings.Contains(text, string(fine.ID)) || !strings.Contains(text, string(by.ID)) {
		t.Errorf("blocked are:\n%s", text)
	}
	w.holds(w.page("/"), "blocked</span>", "app=r1 failed: FLASH_FAILED: slot 1", "blocked by an operator")
	w.holds(w.page("/device?id="+string(d.ID)), "Blocked since", "app=r1 failed: FLASH_FAILED: slot 1", "updraft device unblock "+string(d.ID))
	w.holds(w.page("/device?id="+string(by.ID)), "Blocked since", "blocked by an operator")
}

// What an operator insisted on is marked where it is shown.
func TestWhatWasForcedIsMarked(t *testing.T) {
	w := start(t)
	text, err := os.ReadFile("../suit/testdata/vectors/draft-37/example0.unsigned.suit")
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.fleet.PutFile(w.ctx, "manifest", strings.NewReader(string(text)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	ctx := ota.WithActor(w.ctx, "<operator> at 192.0.2.7")
	if _, err := w.fleet.Publish(ctx, ns, fleet.Publication{ID: "app", Files: []ota.Artifact{a}, Force: true}); err != nil {
		t.Fatal(err)
	}
	const tag = `<span class="tag bad">forced</span>`
	w.holds(w.page("/"), tag)
	w.holds(w.page("/app?name=app"), tag, "Forced to publish", " by &lt;operator&gt; at 192.0.2.7:", "the manifest is not signed")
}

func TestAManifestIsReadable(t *testing.T) {
	w := start(t)
	text, err := os.ReadFile("../suit/testdata/vectors/draft-37/example1.signed.suit")
	if err != nil {
		t.Fatal(err)
	}
	w.put("app", "manifest", string(text))
	w.holds(w.page("/app?name=app"), "SUIT, signature unchecked", "Read manifest")
	w.holds(w.page("/manifest?name=app&version=r1&file=manifest"), "Sequence number", "condition-vendor-identifier", "directive-override-parameters",
		"fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe") // RFC 9124's example of a vendor
}

// Names and texts of strangers are text, wherever they are shown.
func TestHostileNames(t *testing.T) {
	w := start(t)
	const evil = `"><img/src=x/onerror=alert(1)>'&amp;{{7*7}}`
	p := w.put(strings.ReplaceAll(evil, "/", "-"), `<script>alert(1)<\script>`, "x", "manifest", "m")
	d := w.device(evil)
	w.send(d, p)
	report := ota.Report{Update: w.send(d, w.put("other", "f", "x")).ID, Results: []ota.OperationResult{{Code: ota.GeneralError, Text: evil}}}
	if err := w.fleet.Uplink(d.ID).Report(w.ctx, report); err != nil {
		t.Fatal(err)
	}
	app := "/app?" + url.Values{"name": {p.ID.Name}}.Encode()
	_, told := w.ask("POST", "/app/notify", fields("publish_id", p.ID.Name, "urls", evil), 400)
	_, piece := w.ask("POST", "/app/notify", fields("publish_id", p.ID.Name, "urls", evil), 400, "HX-Request", "true")
	_, gone := w.ask("GET", "/app?"+url.Values{"name": {evil}}.Encode(), nil, 404)
	_, wrong := w.ask("GET", "/manifest?"+url.Values{"name": {evil}, "version": {evil}, "file": {evil}}.Encode(), nil, 400)
	for name, text := range map[string]string{
		"the overview": w.page("/"), "a search": w.page("/?" + url.Values{"q": {evil}}.Encode()), "an application": w.page(app),
		"a device": w.page("/device?id=" + string(d.ID)), "what was told": told, "a piece": piece, "what is gone": gone, "a refusal": wrong,
	} {
		if strings.Contains(text, "<img/") || strings.Contains(text, "<script>") || strings.Contains(text, "'&amp;{{") {
			t.Errorf("%s holds it as it is:\n%s", name, text)
		}
		for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
			if u, err := url.Parse(html.UnescapeString(m[1])); err != nil || u.Scheme != "" || u.Host != "" {
				t.Errorf("%s leads to %q", name, m[1])
			}
		}
	}
}

// Whatever is served says what a browser may do with it.
func TestPolicy(t *testing.T) {
	w := start(t)
	text := w.page("/")
	for _, path := range []string{"/", "/app?name=none", "/assets/none", "/device", "/live?since=x"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", w.srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		csp := resp.Header.Get("Content-Security-Policy")
		for _, s := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, s) {
				t.Errorf("%s: the policy lacks %s: %s", path, s, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
	if regexp.MustCompile(`(?i)<style|<script>|<script [^>]*>[^<]| style=| on[a-z]+=|https?://[^1]`).MatchString(strings.ReplaceAll(text, "--ota-host-url http://127", "")) {
		t.Errorf("something is inline, or from elsewhere:\n%s", text)
	}
}

func TestAssetsAreKeptForEver(t *testing.T) {
	w := start(t)
	urls := regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllStringSubmatch(w.page("/"), -1)
	if len(urls) < 5 {
		t.Fatalf("the page has %v", urls)
	}
	for _, m := range urls {
		resp, text := w.ask("GET", m[1], nil, 200)
		if c := resp.Header.Get("Cache-Control"); !strings.Contains(c, "immutable") {
			t.Errorf("%s: %s", m[1], c)
		}
		sum := sha256.Sum256([]byte(text))
		if !strings.Contains(m[1], hex.EncodeToString(sum[:8])) {
			t.Errorf("%s has the sum %x", m[1], sum)
		}
	}
	w.ask("GET", "/assets/htmx.min.js", nil, 404)
	w.ask("GET", "/assets/vendor/SHA256SUMS", nil, 404)
}

// What comes from elsewhere is what was looked at when it came.
func TestVendoredFilesAreAsTheyCame(t *testing.T) {
	for _, dir := range []string{"assets/vendor/", "testdata/axe/"} {
		known := sums(t, dir+"SHA256SUMS")
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(dir + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(text)
			if got := hex.EncodeToString(sum[:]); got != known[e.Name()] && e.Name() != "SHA256SUMS" {
				t.Errorf("%s%s has the sum %s, want %q", dir, e.Name(), got, known[e.Name()])
			}
			delete(known, e.Name())
		}
		if len(known) > 0 {
			t.Errorf("%s lacks %v", dir, known)
		}
	}
}

// sums reads a list as sha256sum writes it.
func sums(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok && !strings.HasPrefix(line, "#") {
			known[name] = sum
		}
	}
	return known
}

func TestLoggingIn(t *testing.T) {
	w := guarded(t)
	w.put("app", "f", "x")
	resp, _ := w.ask("GET", "/app?name=app", nil, 303)
	to := resp.Header.Get("Location")
	if to != "/login?to=%2Fapp%3Fname%3Dapp" {
		t.Errorf("it leads to %s", to)
	}
	w.holds(w.page(to), `value="/app?name=app"`, "Operators’ token")
	_, told := w.ask("GET", "/app?name=app", nil, 401, "HX-Request", "true")
	w.holds(told, "Your session has ended.", `href="/login"`)
	w.ask("GET", "/live", nil, 401)
	w.ask("POST", "/app/remove", fields("name", "app", "version", "r1"), 303)
	w.ask("POST", "/publish", fields(), 401)

	_, text := w.ask("POST", "/login", fields("token", "guess", "to", "/app?name=app"), 401)
	w.holds(text, "that is not the operators&#39; token", `aria-invalid="true"`)
	if strings.Contains(text, "guess") {
		t.Error("the page tells what was typed")
	}
	resp, _ = w.ask("POST", "/login", fields("token", "secret", "to", "/app?name=app"), 303)
	if resp.Header.Get("Location") != "/app?name=app" || strings.Contains(resp.Header.Get("Set-Cookie"), "secret") {
		t.Errorf("%v", resp.Header)
	}
	w.holds(w.page("/app?name=app"), "r1", "Log out")
	w.ask("POST", "/publish", fields(), 400) // let in, and refused for what it is
	w.ask("GET", "/login", nil, 303)

	w.ask("POST", "/logout", fields(), 303)
	w.ask("GET", "/", nil, 303)
	for range 30 {
		resp, _ := w.http.PostForm(w.srv.URL+"/login", fields("token", "x"))
		resp.Body.Close()
	}
	w.ask("POST", "/login", fields("token", "x"), 429)
}

// After the login nobody is led elsewhere.
func TestLoginLeadsToOurPagesOnly(t *testing.T) {
	w := guarded(t)
	for to, want := range map[string]string{
		"": "/", "/device?id=1": "/device?id=1", "https://evil.example/": "/", "//evil.example/app": "/", `/\evil.example`: "/",
		"/api/v1/devices": "/", "javascript:alert(1)": "/", "/app\r\nX: y": "/", "app": "/",
	} {
		resp, _ := w.ask("POST", "/login", fields("token", "secret", "to", to), 303)
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

// Another site's page cannot make a browser change anything, or log it in.
func TestOtherSitesAreRefused(t *testing.T) {
	w := start(t)
	w.put("app", "f", "x")
	g := guarded(t)
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		w.ask("POST", "/app/remove", fields("name", "app", "version", "r1"), 403, h...)
		w.ask("POST", "/app/notify", fields("publish_id", "app", "urls", "h"), 403, h...)
		g.ask("POST", "/login", fields("token", "secret"), 403, h...)
		g.ask("POST", "/logout", fields(), 403, h...)
	}
	w.ask("POST", "/app/remove", fields("name", "app", "version", "r1"), 303, "Sec-Fetch-Site", "same-origin")
}

func TestTellingDevices(t *testing.T) {
	w := start(t)
	w.put("app", "manifest", "m")
	_, text := w.ask("POST", "/app/notify", fields("publish_id", "app", "urls", "[fd00::2]/url, dead/x", "version", "latest"), 200)
	w.holds(text, "1 of 2 devices did not take app=r1.", "the device does not answer", "<title>app – Updraft</title>", "[fd00::2]/url, dead/x")
	_, text = w.ask("POST", "/app/notify", fields("publish_id", "app", "urls", "host/url\r\n"), 200, "HX-Request", "true")
	w.holds(text, "1 device was notified of app=r1.", "coap://[fd00::1]:5683/app/manifest")
	if strings.Contains(text, "<title>") {
		t.Error("a script gets a whole page")
	}
	for form, says := range map[string]string{
		"urls=coap://h/x": "leave the scheme out", "urls=": "name 1 to 256 devices", "urls=h&version=r9": "r9", "urls=h&scheme=x": "scheme", "urls=h&scheme=slot": "not available",
	} {
		q, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		q.Set("publish_id", "app")
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.srv.URL+"/app/notify", strings.NewReader(q.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := w.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text := read(t, resp)
		w.holds(text, "Nobody was notified.", says)
		if resp.StatusCode/100 != 4 {
			t.Errorf("%s: %s", form, resp.Status)
		}
	}
	w.ask("POST", "/app/notify", nil, 400)
	w.ask("POST", "/app/notify", fields("urls", strings.Repeat("h,", 40<<10)), 413)
}

func TestDeleting(t *testing.T) {
	w := start(t)
	w.put("app", "f", "x")
	p := w.put("app", "f", "y")
	u := w.send(w.device("busy"), p)
	_, text := w.ask("POST", "/app/remove", fields("name", "app", "version", "r2"), 409)
	w.holds(text, "app=r2 was not deleted:", "cancel those updates first", `id="version-r2"`)
	if err := w.fleet.Cancel(w.ctx, ns, u.Device, u.ID); err != nil {
		t.Fatal(err)
	}
	resp, _ := w.ask("POST", "/app/remove", fields("name", "app", "version", "r2"), 303)
	if got := resp.Header.Get("Location"); got != "/app?name=app" {
		t.Errorf("it leads to %s", got)
	}
	resp, _ = w.ask("POST", "/app/remove", fields("name", "app", "version", "r1"), 303)
	if got := resp.Header.Get("Location"); got != "/" {
		t.Errorf("it leads to %s", got)
	}
	w.ask("POST", "/app/remove", fields("name", "app", "version", "r1"), 404)
	_, text = w.ask("GET", "/app?name=app", nil, 404)
	w.holds(text, "Nothing is published as “app”")
	w.ask("GET", "/app/remove", nil, 303) // by reloading what a form led to
	w.ask("PUT", "/app/remove", nil, 405)
}

func TestLongListsAreCutAndSearched(t *testing.T) {
	w := start(t)
	for i := range 103 {
		w.put("app-"+strconv.Itoa(i), "f", "x")
	}
	for i := range 60 {
		w.device("device-" + strconv.Itoa(100+i))
	}
	text := w.page("/")
	w.holds(text, "3 applications are not shown", "app-102<", "1–25 of 60", "device-124<")
	if strings.Contains(text, "app-0<") || strings.Contains(text, "device-125<") {
		t.Error("the lists are not cut")
	}
	w.holds(w.page("/?q=APP-0"), "app-0<")
	w.holds(w.page("/?q=nothing"), "No publish id holds “nothing”")
	w.holds(w.page("/?from=50"), "device-150<", "51–60 of 60")
	for _, from := range []string{"-1", "x", "99999999999999999999"} {
		w.page("/?from=" + from)
	}
}

func TestServes(t *testing.T) {
	for path, want := range map[string]bool{"/": true, "/app": true, "/assets/x": true, "/api/v1/devices": false, "/publish": false, "/appx": false} {
		if web.Serves(path) != want {
			t.Errorf("%s: %t", path, !want)
		}
	}
}

// Lists that are too long for a page go on on the next one, and tell how many
// there are of all.
func TestManyUpdates(t *testing.T) {
	w := start(t)
	p := w.put("app", "f", "x")
	var d ota.Device
	for i := range 1055 {
		d = w.device("d" + strconv.Itoa(i))
		u := w.send(d, p)
		if i < 55 {
			w.reports(u, ota.FlashFailed, "")
		}
	}
	w.holds(w.page("/app?name=app"), "1\u202f055 updates to this version", "Pending 1\u202f000", "Failed 55", ">d1054<", "/updates?name=app&amp;version=r1")
	w.holds(w.page("/updates?name=app&version=r1"), ">d1054<", "1–50 of 1\u202f055", ">d1005<")
	w.holds(w.page("/updates?name=app&version=r1&from=1050"), ">d4<", ">d0<", "1\u202f051–1\u202f055 of 1\u202f055", "from=1000")
	failed := w.page("/updates?name=app&version=r1&status=Failed&from=50")
	w.holds(failed, ">d0<", "51–55 of 55", "FLASH_FAILED", "status=Failed&amp;version=r1#updates")
	if strings.Contains(failed, ">d1054<") {
		t.Error("others are listed among those that failed")
	}
	w.holds(w.page("/updates?name=app&version=r1&from=5000"), "nothing here; there are 1\u202f055")
	w.holds(w.page("/updates?name=app&version=r1&status=x"), "of 1\u202f055")
	w.ask("GET", "/updates?name=app&version=r9", nil, 404)

	for i := range 60 {
		w.send(d, w.put("other", "f", strconv.Itoa(i)))
	}
	w.holds(w.page("/device?id="+string(d.ID)), "other=r60", "1–50 of 61", "from=50")
	w.holds(w.page("/device?id="+string(d.ID)+"&from=50"), "app=r1", "51–61 of 61")
	w.holds(w.page("/?from=50"), "58 more updates to do") // beside three that are shown
	for i := range 3 {
		w.page("/app?name=other&from=" + strconv.Itoa(20*i))
	}
	w.holds(w.page("/app?name=other&from=40"), `id="version-r20"`, `id="version-r1"`, "41–60 of 60")
	w.holds(w.page("/app?name=other&from=100"), "nothing here; there are 60")
}

// Devices are found by what names one alone.
func TestFindingADevice(t *testing.T) {
	w := start(t)
	d := w.device("kitchen")
	at := "/device?id=" + string(d.ID)
	for _, wanted := range []string{"kitchen", " kitchen ", string(d.ID)} {
		resp, _ := w.ask("GET", "/devices?"+fields("find", wanted).Encode(), nil, 303)
		if got := resp.Header.Get("Location"); got != at {
			t.Errorf("%q leads to %s", wanted, got)
		}
	}
	for _, wanted := range []string{"", "kitch", "<b>"} {
		_, text := w.ask("GET", "/devices?"+fields("find", wanted).Encode(), nil, 404)
		w.holds(text, "No device is “"+html.EscapeString(wanted)+"”")
	}
}

// How far a device is shows beside its update.
func TestWhatIsUnderWay(t *testing.T) {
	w := start(t)
	d := w.device("kitchen")
	u := w.send(d, w.put("app", "f", "x"))
	w.links = func() []ota.Link {
		return []ota.Link{{Device: d.ID, Transfers: []ota.Transfer{{Update: u.ID, Package: u.Package, State: "fetching", Size: 4096, Held: 1024}}}}
	}
	for _, path := range []string{"/device?id=" + string(d.ID), "/updates?name=app&version=r1"} {
		w.holds(w.page(path), `max="4096" value="1024"`, "1.0 KiB of 4.0 KiB", "fetching", "every 2s")
	}
	w.reports(u, ota.OK, "")
	if text := w.page("/updates?name=app&version=r1"); strings.Contains(text, "fetching") || strings.Contains(text, "every 2s") {
		t.Errorf("what has ended is under way:\n%s", text)
	}
}

// A form with files that no script sends leads to a page that tells what became
// of it.
func TestPublishingWithoutScripts(t *testing.T) {
	w := start(t)
	upload := func(id string, status int) string {
		t.Helper()
		var form strings.Builder
		parts := multipart.NewWriter(&form)
		_ = parts.WriteField("publish_id", id)
		file, err := parts.CreateFormFile("files", "slot<0>.bin")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.Write([]byte("zero"))
		parts.Close()
		r, err := http.NewRequestWithContext(t.Context(), "POST", w.srv.URL+"/app/publish", strings.NewReader(form.String()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", parts.FormDataContentType())
		resp, err := w.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text := read(t, resp)
		if resp.StatusCode != status || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s, %v: %s", resp.Status, resp.Header, text)
		}
		return text
	}
	w.holds(upload("app", 201), "published", "slot&lt;0&gt;.bin, 4 B", "Go to app", "<title>Publish files")
	w.holds(upload("a b", 422), "Nothing was published.", "Back to the applications")
	w.ask("POST", "/app/publish", fields("publish_id", "x"), 400)
	w.ask("POST", "/app/publish", fields("publish_id", "x"), 403, "Origin", "https://evil.example")
}

// The list of applications is looked up anew when a package changed, and only
// then.
func TestTheListFollowsPackages(t *testing.T) {
	w := start(t)
	p := w.put("one", "f", "x")
	for i := range 150 { // more events than are read at a time
		w.device("d" + strconv.Itoa(i))
	}
	w.holds(w.page("/"), "one<")
	d := w.device("kitchen")
	w.send(d, p)
	w.holds(w.page("/"), "one<", "d0<")
	w.put("two", "f", "x")
	w.put("one", "f", "y")
	w.holds(w.page("/"), "two<", "2 versions")
	if err := w.fleet.RemovePackage(w.ctx, ns, ota.PackageID{Name: "two", Version: "r1"}); err != nil {
		t.Fatal(err)
	}
	if text := w.page("/"); strings.Contains(text, "two<") {
		t.Errorf("what was deleted is shown:\n%s", text)
	}
}
