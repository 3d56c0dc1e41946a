package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

const someID = "7fc9a0e2-2d0f-4c1e-9a4b-0c5a8f1a9c11"

// The lines of client.md 4.2.
var commandVectors = []struct {
	json    string
	command agent.Command
}{
	{`{"variant":"Authenticate","fields":[null]}`, agent.Authenticate{}},
	{`{"variant":"Authenticate","fields":[{"client_id":"id","client_secret":"secret"}]}`, agent.Authenticate{Credentials: &agent.Credentials{ClientID: "id", ClientSecret: "secret"}}},
	{`"Shutdown"`, agent.Shutdown{}},
	{`"GetUpdateRequests"`, agent.GetUpdateRequests{}},
	{`"ListInstalledPackages"`, agent.ListInstalledPackages{}},
	{`"ListSystemInfo"`, agent.ListSystemInfo{}},
	{`{"variant":"StartDownload","fields":["` + someID + `"]}`, agent.StartDownload{Update: someID}},
	{`{"variant":"StartInstall","fields":["` + someID + `"]}`, agent.StartInstall{Update: someID}},
	{`{"variant":"SendInstalledPackages","fields":[[{"name":"gcc","version":"7.63"}]]}`, agent.SendInstalledPackages{Packages: []ota.PackageID{{Name: "gcc", Version: "7.63"}}}},
	{`{"variant":"SendInstalledSoftware","fields":[{"packages":[{"package_id":"p","name":"n","description":"d","last_modified":1476000000}],"firmwares":[{"module":"ecu1","firmware_id":"f","last_modified":1476000000}]}]}`,
		agent.SendInstalledSoftware{Software: agent.InstalledSoftware{
			Packages:  []agent.InstalledPackage{{PackageID: "p", Name: "n", Description: "d", LastModified: 1476000000}},
			Firmwares: []agent.InstalledFirmware{{Module: "ecu1", FirmwareID: "f", LastModified: 1476000000}},
		}}},
	{`"SendSystemInfo"`, agent.SendSystemInfo{}},
	{`{"variant":"SendUpdateReport","fields":[{"update_id":"u1","operation_results":[{"id":"u1","result_code":0,"result_text":""}]}]}`, reportOf("u1", ota.OK)},
}

func TestCommandVectors(t *testing.T) {
	for _, v := range commandVectors {
		b, err := EncodeCommand(v.command)
		if err != nil || string(b) != v.json {
			t.Errorf("%#v is written as %s, %v; want %s", v.command, b, err, v.json)
		}
		c, err := DecodeCommand([]byte(v.json))
		if diff := cmp.Diff(v.command, c); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", v.json, err, diff)
		}
	}
}

// The lines of client.md 4.3.
var eventVectors = []struct {
	json  string
	event agent.Event
}{
	{`{"variant":"Error","fields":["IO error: no space left"]}`, agent.Error{Text: "IO error: no space left"}},
	{`"Authenticated"`, agent.Authenticated{}},
	{`"NotAuthenticated"`, agent.NotAuthenticated{}},
	{`"AlreadyAuthenticated"`, agent.AlreadyAuthenticated{}},
	{`{"variant":"UpdatesReceived","fields":[[{"requestId":"u1","status":"Pending","packageId":{"name":"vim","version":"1.2.3"},"installPos":0,"createdAt":"2016-10-10T15:23:30Z"}]]}`,
		agent.UpdatesReceived{Updates: []ota.Offer{{Update: "u1", Status: ota.Pending, Package: ota.PackageID{Name: "vim", Version: "1.2.3"}, CreatedAt: time.Date(2016, 10, 10, 15, 23, 30, 0, time.UTC)}}}},
	{`{"variant":"UpdateAvailable","fields":[{"update_id":"u1","signature":"s","description":"d","request_confirmation":false,"size":35768}]}`,
		agent.UpdateAvailable{Update: agent.Available{Update: "u1", Signature: "s", Description: "d", Size: 35768}}},
	{`"NoUpdateRequests"`, agent.NoUpdateRequests{}},
	{`{"variant":"FoundInstalledPackages","fields":[[{"name":"vim","version":"1.2.3"}]]}`, agent.FoundInstalledPackages{Packages: []ota.PackageID{{Name: "vim", Version: "1.2.3"}}}},
	{`{"variant":"FoundSystemInfo","fields":["{\"id\":\"host\"}"]}`, agent.FoundSystemInfo{Info: `{"id":"host"}`}},
	{`{"variant":"DownloadingUpdate","fields":["u1"]}`, agent.DownloadingUpdate{Update: "u1"}},
	{`{"variant":"DownloadComplete","fields":[{"update_id":"u1","update_image":"/tmp/u1","signature":""}]}`, agent.DownloadComplete{Image: agent.Downloaded{Update: "u1", Path: "/tmp/u1"}}},
	{`{"variant":"DownloadFailed","fields":["u1","HTTP client error: Response Code: 404 Not Found"]}`, agent.DownloadFailed{Update: "u1", Reason: "HTTP client error: Response Code: 404 Not Found"}},
	{`{"variant":"InstallingUpdate","fields":["u1"]}`, agent.InstallingUpdate{Update: "u1"}},
	{`{"variant":"InstallComplete","fields":[{"update_id":"u1","operation_results":[{"id":"u1","result_code":0,"result_text":"…"}]}]}`, agent.InstallComplete{Report: ota.Outcome("u1", ota.OK, "…")}},
	{`{"variant":"InstallFailed","fields":[{"update_id":"u1","operation_results":[{"id":"u1","result_code":4,"result_text":"…"}]}]}`, agent.InstallFailed{Report: ota.Outcome("u1", ota.InstallFailed, "…")}},
	{`"UpdateReportSent"`, agent.UpdateReportSent{}},
	{`"InstalledPackagesSent"`, agent.InstalledPackagesSent{}},
	{`"InstalledSoftwareSent"`, agent.InstalledSoftwareSent{}},
	{`"SystemInfoSent"`, agent.SystemInfoSent{}},
	{`"InstalledSoftwareNeeded"`, agent.InstalledSoftwareNeeded{}},
}

func TestEventVectors(t *testing.T) {
	for _, v := range eventVectors {
		b, err := EncodeEvent(v.event)
		if err != nil || string(b) != v.json {
			t.Errorf("%#v is written as %s, %v; want %s", v.event, b, err, v.json)
		}
		e, err := DecodeEvent([]byte(v.json))
		if diff := cmp.Diff(v.event, e); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", v.json, err, diff)
		}
	}
}

func TestOtherFormsOfCommands(t *testing.T) {
	disk := reportOf("u1", ota.DiskFull)
	for input, want := range map[string]agent.Command{
		`"Authenticate"`:                                                agent.Authenticate{},
		`{"variant":"Authenticate","fields":[]}`:                        agent.Authenticate{},
		`{"variant":"Shutdown","fields":[]}`:                            agent.Shutdown{},
		" {\"fields\" : [\"u1\"],\n\"variant\":\"StartInstall\"} ":      agent.StartInstall{Update: "u1"},
		`{"variant":"StartInstall","fields":["u1"],"more":{"a":[1,2]}}`: agent.StartInstall{Update: "u1"},
		`{"variant":"SendUpdateReport","fields":[{"operation_results":[{"id":"u1","result_code":"DISK_FULL","result_text":""}],"update_id":"u1"}]}`:                disk,
		`{"variant":"SendUpdateReport","fields":[{"operation_results":[{"id":"u1","result_code":"disk_Full","result_text":""}],"update_id":"u1"}]}`:                disk,
		`{"variant":"SendUpdateReport","fields":[{"operation_results":[{"id":"u1","result_code":15,"result_text":"","ID":"other","new":null}],"update_id":"u1"}]}`: disk,
		`{"variant":"SendInstalledPackages","fields":[[]]}`: agent.SendInstalledPackages{Packages: []ota.PackageID{}},
	} {
		got, err := DecodeCommand([]byte(input))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", input, err, diff)
		}
	}
}

func TestEmptyListsAreWrittenAsLists(t *testing.T) {
	b, err := EncodeEvent(agent.FoundInstalledPackages{})
	if err != nil || string(b) != `{"variant":"FoundInstalledPackages","fields":[[]]}` {
		t.Errorf("%s, %v", b, err)
	}
	if b, err := EncodeCommand(reportOf("u1", 20)); err == nil {
		t.Errorf("an unknown result code was written as %s", b)
	}
}

func TestRefusedJSON(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for _, c := range []struct{ input, word string }{
		{``, "parse"}, {`{`, "parse"}, {`Shutdown`, "parse"}, {`"Shutdown" "Shutdown"`, "parse"}, {"\"Shutdown\xff\"", "not UTF-8"},
		{deep, "deeper"}, {`"` + strings.Repeat("a", maxInput) + `"`, "more than"},
		{`null`, "not null"}, {`1`, "decode"}, {`[]`, "decode"}, {`"Nonsense"`, "no command"}, {`"shutdown"`, "no command"}, {`{"variant":"Nonsense","fields":[]}`, "no command"},
		{`{"variant":"Shutdown"}`, `"fields" is missing`}, {`{"fields":[]}`, `"variant" is missing`}, {`{"Variant":"Shutdown","fields":[]}`, `"variant" is missing`},
		{`{"variant":"Shutdown","fields":null}`, "not null"}, {`{"variant":"Shutdown","fields":["now"]}`, "expected 0"},
		{`"StartDownload"`, "expected 1"}, {`{"variant":"StartDownload","fields":["a","b"]}`, "expected 1"}, {`{"variant":"StartDownload","fields":[["u1"]]}`, "decode"},
		{`{"variant":"StartDownload","fields":[1]}`, "decode"}, {`{"variant":"StartDownload","fields":[null]}`, "not null"},
		{`{"variant":"Authenticate","fields":[{"client_id":"id"}]}`, `"client_secret" is missing`},
		{`{"variant":"SendInstalledPackages","fields":[[{"name":"a"}]]}`, `"version" is missing`}, {`{"variant":"SendInstalledPackages","fields":[[null]]}`, "not null"},
		{`{"variant":"SendUpdateReport","fields":[{"update_id":"u","operation_results":[{"id":"u","result_code":20,"result_text":""}]}]}`, "result code"},
		{`{"variant":"SendUpdateReport","fields":[{"update_id":"u","operation_results":[{"id":"u","result_code":-1,"result_text":""}]}]}`, "result code"},
		{`{"variant":"SendUpdateReport","fields":[{"update_id":"u","operation_results":[{"id":"u","result_code":1.0,"result_text":""}]}]}`, "result code"},
		{`{"variant":"SendUpdateReport","fields":[{"update_id":"u","operation_results":[{"id":"u","result_code":"FINE","result_text":""}]}]}`, "result code"},
		{`{"variant":"SendUpdateReport","fields":[{"update_id":"u","operation_results":[{"id":"u","result_code":null,"result_text":""}]}]}`, "not null"},
		{`{"variant":"SendInstalledSoftware","fields":[{"packages":[],"firmwares":[{"module":"m","firmware_id":"f","last_modified":-1}]}]}`, "decode"},
	} {
		command, err := DecodeCommand([]byte(c.input))
		if command != nil || ota.KindOf(err) != ota.KindInvalid || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%.200s: %v, %v; want %q", c.input, command, err, c.word)
		}
	}
	for _, input := range []string{`"Nonsense"`, `"UpdatesReceived"`,
		`{"variant":"UpdatesReceived","fields":[[{"requestId":"u1","status":"Waiting","packageId":{"name":"v","version":"1"},"installPos":0,"createdAt":"2016-10-10T15:23:30Z"}]]}`,
		`{"variant":"UpdatesReceived","fields":[[{"requestId":"u1","status":"Pending","packageId":{"name":"v","version":"1"},"installPos":0,"createdAt":"yesterday"}]]}`,
		`{"variant":"DownloadFailed","fields":["u1"]}`} {
		if e, err := DecodeEvent([]byte(input)); e != nil || err == nil {
			t.Errorf("%s: %v", input, e)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	text := rapid.String()
	pkgs := rapid.SliceOf(rapid.Custom(func(t *rapid.T) ota.PackageID {
		return ota.PackageID{Name: text.Draw(t, "name"), Version: text.Draw(t, "version")}
	}))
	reports := rapid.Custom(func(t *rapid.T) ota.Report {
		return ota.Report{Update: ota.UpdateID(text.Draw(t, "id")), Results: rapid.SliceOf(rapid.Custom(func(t *rapid.T) ota.OperationResult {
			return ota.OperationResult{ID: text.Draw(t, "op"), Code: ota.ResultCode(rapid.IntRange(0, 19).Draw(t, "code")), Text: text.Draw(t, "text")}
		})).Draw(t, "results")}
	})
	rapid.Check(t, func(t *rapid.T) {
		command := rapid.SampledFrom([]agent.Command{
			agent.SendInstalledPackages{Packages: pkgs.Draw(t, "packages")},
			agent.SendUpdateReport{Report: reports.Draw(t, "report")},
			agent.StartDownload{Update: ota.UpdateID(text.Draw(t, "id"))},
		}).Draw(t, "command")
		b, err := EncodeCommand(command)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeCommand(b); err != nil || !cmp.Equal(command, back) {
			t.Fatalf("%#v became %#v, %v", command, back, err)
		}
		event := rapid.SampledFrom([]agent.Event{
			agent.FoundInstalledPackages{Packages: pkgs.Draw(t, "packages")},
			agent.InstallFailed{Report: reports.Draw(t, "report")},
			agent.DownloadFailed{Update: ota.UpdateID(text.Draw(t, "id")), Reason: text.Draw(t, "reason")},
			agent.UpdateAvailable{Update: agent.Available{Update: "u", Description: text.Draw(t, "description"), Size: rapid.Uint64().Draw(t, "size")}},
		}).Draw(t, "event")
		if b, err = EncodeEvent(event); err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeEvent(b); err != nil || !cmp.Equal(event, back) {
			t.Fatalf("%#v became %#v, %v", event, back, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, v := range commandVectors {
		f.Add([]byte(v.json))
	}
	for _, v := range eventVectors {
		f.Add([]byte(v.json))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := DecodeCommand(data); err == nil {
			b, err := EncodeCommand(c)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := DecodeCommand(b); err != nil || !cmp.Equal(c, back) {
				t.Errorf("%s became %s, %v", data, b, err)
			}
		}
		if e, err := DecodeEvent(data); err == nil {
			b, err := EncodeEvent(e)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := DecodeEvent(b); err != nil || !cmp.Equal(e, back) {
				t.Errorf("%s became %s, %v", data, b, err)
			}
		}
	})
}
