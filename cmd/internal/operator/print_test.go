package operator

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/pelletier/go-toml/v2"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
)

func TestTimesAreToldAsPeopleThinkOfThem(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for want, d := range map[string]time.Duration{
		"now": 0, "59 s ago": 59 * time.Second, "1 minute ago": 61 * time.Second, "59 minutes ago": 59*time.Minute + 59*time.Second,
		"3 hours ago": 3*time.Hour + time.Minute, "1 day ago": 30 * time.Hour, "in 2 hours": -2 * time.Hour,
	} {
		if got := ago(now.Add(-d), now); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := ago(time.Time{}, now); got != "never" {
		t.Errorf("the zero time: %q", got)
	}
}

func TestSizes(t *testing.T) {
	for want, n := range map[string]int64{"0 B": 0, "1023 B": 1023, "1.0 KiB": 1024, "1.5 MiB": 3 << 19, "2.0 GiB": 2 << 30, "2048.0 TiB": 2 << 50} {
		if got := size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestTablesShowNoControlCharacters(t *testing.T) {
	var b strings.Builder
	list(&b, "none", []string{"name", "x"}, [][]string{{"\x1b[31mred\nline", "1"}, {"plain", ""}})
	want := "NAME          X\n [31mred line 1\nplain\n"
	if got := b.String(); strings.ContainsAny(got, "\x1b\r") || strings.Count(got, "\n") != 3 || strings.Contains(got, " \n") {
		t.Errorf("got\n%q\nlike\n%q", got, want)
	}
}

// A list fits a terminal where it can: JSON has the rest.
func TestListsFitATerminal(t *testing.T) {
	now := time.Now()
	some := func(s string) *string { return &s }
	long := strings.Repeat("x", 200)
	vin := client.Device{DeviceName: "car-7", DeviceId: some("WVWZZZ1JZXW000001"), Uuid: uuid.New(), DeviceStatus: client.Error, ActiveUpdates: 12, LastSeen: &now,
		Blocked: &client.Block{BlockedAt: now.Add(-59 * time.Minute), Reason: "maps=2026.4 failed: INSTALL_FAILED: " + long}}
	plain := client.Device{DeviceName: "lamp", Uuid: uuid.New(), DeviceStatus: client.NotSeen}
	show := func(devices ...client.Device) string {
		var b strings.Builder
		listDevices(&b, devices)
		return b.String()
	}
	got := show(vin, plain)
	for line := range strings.Lines(got) {
		if n := utf8.RuneCountInString(line) - 1; n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(got, "59 minutes ago: ") || !strings.Contains(got, "…\n") || strings.Contains(got, vin.Uuid.String()) {
		t.Errorf("got\n%s", got)
	}
	if got, want := show(plain), "NAME   STATUS     SEEN\nlamp   not seen   never\n"; got != want { // what nobody has takes no room
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	var b strings.Builder
	listPackages(&b, []client.Package{
		{Id: client.PackageID{Name: long, Version: "1"}, CreatedAt: now},
		{Id: client.PackageID{Name: "app", Version: "1"}, CreatedAt: now, Description: some("An app")},
	})
	if got := b.String(); !strings.Contains(got, strings.Repeat("x", 39)+"…   1 ") || !strings.Contains(got, "An app") || strings.Contains(got, "VENDOR") {
		t.Errorf("got\n%s", got)
	}
}

func TestUntil(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"": {}, "24h": now.Add(24 * time.Hour), "90m": now.Add(90 * time.Minute), "7d": now.Add(7 * 24 * time.Hour),
		"2026-03-02T00:00:00+01:00": now.Add(11 * time.Hour),
	} {
		if got, err := parseUntil(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"tomorrow", "24", "-1h", "0s", "d", "-1d", "1.5d", "99999999d", "2026-02-28T00:00:00Z", "2026-03-02"} {
		if got, err := parseUntil(s, now); err == nil {
			t.Errorf("%q was taken for %v", s, got)
		}
	}
}

func TestAnAgentsFileSaysWhatItIsGiven(t *testing.T) {
	hard := "a \"quoted\" \\ back\nslash\x00 ü"
	a := agentConfig{name: "n\n[core]", server: "https://h/" + hard, uuid: "u", vin: hard, clientID: "c", secret: hard}
	var doc map[string]map[string]string
	if err := toml.Unmarshal(a.toml(), &doc); err != nil {
		t.Fatalf("%v\n%s", err, a.toml())
	}
	for key, want := range map[[2]string]string{
		{"auth", "server"}: a.server, {"auth", "client_id"}: "c", {"auth", "client_secret"}: hard,
		{"core", "server"}: a.server, {"device", "uuid"}: "u", {"device", "vin"}: hard,
	} {
		if doc[key[0]][key[1]] != want {
			t.Errorf("%s.%s = %q, want %q", key[0], key[1], doc[key[0]][key[1]], want)
		}
	}
	if doc["auth"]["credentials_file"] == "/tmp/sota_credentials.toml" {
		t.Error("the credentials file is the one all devices of a machine share")
	}

	a.clientID, a.secret = "", ""
	if strings.Contains(string(a.toml()), "[auth]") {
		t.Errorf("an [auth] although no proof is asked for:\n%s", a.toml())
	}
}

func TestLinksAreToldWithTheirTransfers(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	some := func(s string) *string { return &s }
	id := uuid.New()
	links := []client.Link{
		{Peer: "genivi.org/vin/CAR/", Device: &id, DeviceName: some("car"), Dialect: some("2015"), Secure: true, Since: now.Add(-time.Hour), Address: some("192.0.2.8:4711"),
			Transfers: []client.Transfer{
				{PackageId: client.PackageID{Name: "maps", Version: "2"}, State: "sending", Chunks: 16, ChunksReceived: 8, Resends: 1, BytesPerSecond: 3 << 19},
				{PackageId: client.PackageID{Name: "radio", Version: "1"}, State: "starting", Chunks: 3},
			}},
		{Peer: "genivi.org/vin/STRANGER/", Since: now},
	}
	var b strings.Builder
	listLinks(&b, links, now)
	want := `DEVICE      PEER                       DIALECT   LINK    SINCE        ADDRESS          PACKAGE   PROGRESS
car         genivi.org/vin/CAR/        2015      tls     1 hour ago   192.0.2.8:4711   maps=2    sending 8/16 chunks, 1.5 MiB/s, 1 sent again
                                                                                       radio=1   starting 0/3 chunks
(unknown)   genivi.org/vin/STRANGER/             plain   now
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhatElseThereIsToKnowOfAnUpdate(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	reason, tries, yes := "no answer", int64(3), true
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	for want, u := range map[string]client.Update{
		"":                                    {Status: client.UpdateStatusInFlight},
		"its user must agree":                 {Status: client.UpdateStatusPending, RequestConfirmation: &yes},
		"try 4 of 10 in 5 minutes: no answer": {Status: client.UpdateStatusPending, Tries: &tries, Reason: &reason, RetryAt: at(5 * time.Minute)},
		"try 4 of 10 soon: no answer":         {Status: client.UpdateStatusPending, Tries: &tries, Reason: &reason, RetryAt: at(-time.Second)},
		"try 4 of 10: no answer":              {Status: client.UpdateStatusInFlight, Tries: &tries, Reason: &reason},
		"sent 1 minute ago, to be reported":   {Status: client.UpdateStatusInFlight, SentAt: at(-time.Minute)},
		"no answer":                           {Status: client.UpdateStatusFailed, Reason: &reason, Tries: &tries, EndedAt: at(0), SentAt: at(0)},
	} {
		if got := remark(u, now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
