package dbus

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"

	godbus "github.com/godbus/dbus/v5"

	"github.com/updraft-ota/updraft/ota"
)

const u1 = "7fc9a0e2-2d0f-4c1e-9a4b-0c5a8f1a9c11"

func TestAStrangerFindsTheWay(t *testing.T) {
	w := start(t)
	for _, c := range []struct{ ask, want string }{
		{"busctl --user --no-pager --list tree org.genivi.SotaClient", "/\n/org\n/org/genivi\n/org/genivi/SotaClient\n"},
		{"busctl --user --no-pager introspect org.genivi.SotaClient /org/genivi/SotaClient org.genivi.SotaClient", `NAME TYPE SIGNATURE RESULT/VALUE FLAGS
.initiateDownload method s - -
.sendInstalledPackages method a(ss) - -
.updateReport method saa{sv} - -
.Event signal ss - -
`},
		{"gdbus introspect --session --dest org.genivi.SotaClient --object-path /org/genivi/SotaClient", `node /org/genivi/SotaClient {
  interface org.freedesktop.DBus.Introspectable {
    methods:
      Introspect(out s xml_data);
    signals:
    properties:
  };
  interface org.freedesktop.DBus.Peer {
    methods:
      Ping();
      GetMachineId(out s machine_uuid);
    signals:
    properties:
  };
  interface org.genivi.SotaClient {
    methods:
      initiateDownload(in  s update_id);
      updateReport(in  s update_id,
                   in  aa{sv} operations_results);
      sendInstalledPackages(in  a(ss) packages);
    signals:
      Event(s name,
            s json);
    properties:
  };
};
`},
		{"gdbus introspect --session --only-properties --recurse --dest org.genivi.SotaClient --object-path /", `node / {
  node /org {
    node /org/genivi {
      node /org/genivi/SotaClient {
      };
    };
  };
};
`},
		{"busctl --user call org.genivi.SotaClient /org/genivi/SotaClient org.freedesktop.DBus.Peer Ping", ""},
	} {
		words := strings.Fields(c.ask)
		equal(t, narrow(c.want), narrow(w.bus.must(words[0], words[1:]...)))
	}
}

// narrow leaves one blank of many: widths of columns differ between versions.
func narrow(s string) string { return regexp.MustCompile(" +").ReplaceAllString(s, " ") }

func TestWrongCalls(t *testing.T) {
	w := start(t)
	c := w.bus.connect()
	type dict = map[string]godbus.Variant
	result := func(code any) []dict {
		return []dict{{"id": godbus.MakeVariant("op"), "result_code": godbus.MakeVariant(code), "result_text": godbus.MakeVariant("")}}
	}
	without := func(key string) []dict {
		list := result(int32(0))
		delete(list[0], key)
		return list
	}
	invalid, limits := "InvalidArgs: ", "LimitsExceeded: "
	const ours, object = "org.genivi.SotaClient.", "/org/genivi/SotaClient"
	for _, call := range []struct {
		path   godbus.ObjectPath
		method string
		args   []any
		want   string
	}{
		{object, ours + "initiateDownload", nil, invalid + "Missing argument: update_id (s)"},
		{object, ours + "initiateDownload", []any{"a", "b"}, invalid + "Malformed argument: 2 arguments, expected 1"},
		{object, ours + "initiateDownload", []any{int32(1)}, invalid + "Malformed argument: update_id must be of type s"},
		{object, ours + "initiateDownload", []any{godbus.MakeVariant("a")}, invalid + "Malformed argument: update_id must be of type s"},
		{object, ours + "initiateDownload", []any{""}, invalid + "Malformed argument: update_id is empty"},
		{object, ours + "initiateDownload", []any{strings.Repeat("x", 201)}, invalid + "Malformed argument: update_id is 201 bytes long, at most 200 are allowed"},
		{object, ours + "updateReport", []any{u1}, invalid + "Missing argument: operations_results (aa{sv})"},
		{object, ours + "updateReport", []any{u1, "OK"}, invalid + "Malformed argument: operations_results must be of type aa{sv}"},
		{object, ours + "updateReport", []any{u1, result(int32(0))[0]}, invalid + "Malformed argument: operations_results must be of type aa{sv}"},
		{object, ours + "updateReport", []any{u1, []map[string]string{{"id": "a"}}}, invalid + "Malformed argument: operations_results must be of type aa{sv}"},
		{object, ours + "updateReport", []any{u1, []dict{}}, invalid + "Malformed argument: operations_results is empty"},
		{object, ours + "updateReport", []any{u1, make([]dict, 1001)}, limits + "Malformed argument: 1001 results, at most 1000 are allowed"},
		{object, ours + "updateReport", []any{u1, without("id")}, invalid + "Malformed argument: operations_results[0]: id is missing"},
		{object, ours + "updateReport", []any{u1, without("result_code")}, invalid + "Malformed argument: operations_results[0]: result_code is missing"},
		{object, ours + "updateReport", []any{u1, without("result_text")}, invalid + "Malformed argument: operations_results[0]: result_text is missing"},
		{object, ours + "updateReport", []any{u1, result("OK")}, invalid + "Malformed argument: operations_results[0]: result_code must be an integer"},
		{object, ours + "updateReport", []any{u1, result(1.5)}, invalid + "Malformed argument: operations_results[0]: result_code must be an integer"},
		{object, ours + "updateReport", []any{u1, result(true)}, invalid + "Malformed argument: operations_results[0]: result_code must be an integer"},
		{object, ours + "updateReport", []any{u1, result(int32(20))}, invalid + "Malformed argument: operations_results[0]: result_code 20 is not one of 0 to 19"},
		{object, ours + "updateReport", []any{u1, result(int16(-1))}, invalid + "Malformed argument: operations_results[0]: result_code -1 is not one of 0 to 19"},
		{object, ours + "updateReport", []any{u1, result(uint64(math.MaxUint64))}, invalid + "Malformed argument: operations_results[0]: result_code 9223372036854775807 is not one of 0 to 19"},
		{object, ours + "updateReport", []any{u1, result(int64(256))}, invalid + "Malformed argument: operations_results[0]: result_code 256 is not one of 0 to 19"},
		{object, ours + "sendInstalledPackages", nil, invalid + "Missing argument: packages (a(ss))"},
		{object, ours + "sendInstalledPackages", []any{"gcc"}, invalid + "Malformed argument: packages must be of type a(ss)"},
		{object, ours + "sendInstalledPackages", []any{[]string{"gcc", "7"}}, invalid + "Malformed argument: packages must be of type a(ss)"},
		{object, ours + "sendInstalledPackages", []any{[]struct{ A, B, C string }{{"a", "b", "c"}}}, invalid + "Malformed argument: packages must be of type a(ss)"},
		{object, ours + "sendInstalledPackages", []any{[]struct {
			A string
			B int32
		}{{"a", 1}}}, invalid + "Malformed argument: packages must be of type a(ss)"},
		{object, ours + "sendInstalledPackages", []any{[]pair{{"gcc", ""}}}, invalid + "Malformed argument: packages[0]: installed package: version is empty"},
		{object, ours + "sendInstalledPackages", []any{[]pair{{"a", "1"}, {strings.Repeat("x", 1025), "1"}}}, invalid + "Malformed argument: packages[1]: installed package: name is longer than 1024 bytes"},
		{object, ours + "sendInstalledPackages", []any{make([]pair, ota.MaxInventory+1)}, limits + "Malformed argument: 50001 packages, at most 50000 are allowed"},
		{object, ours + "Shutdown", nil, "UnknownMethod: there is no method Shutdown"},
		{object, "initiateDownload", nil, invalid + "Missing argument: update_id (s)"},
		{object, "InitiateDownload", nil, "UnknownMethod: there is no method InitiateDownload"},
		{object, introspectable + ".Look", nil, "UnknownMethod: there is no method Look"},
		{object, "org.freedesktop.DBus.Properties.GetAll", []any{""}, "UnknownInterface: there is no interface org.freedesktop.DBus.Properties at " + object},
		{"/org/genivi", ours + "initiateDownload", []any{u1}, "UnknownInterface: there is no interface org.genivi.SotaClient at /org/genivi"},
		{"/org/genivi/SotaClient/x", ours + "initiateDownload", []any{u1}, "UnknownObject: there is no object /org/genivi/SotaClient/x"},
		{"/org/gen", introspectable + ".Introspect", nil, "UnknownObject: there is no object /org/gen"},
	} {
		err := c.Object("org.genivi.SotaClient", call.path).Call(call.method, 0, call.args...).Err
		if e, ok := err.(godbus.Error); !ok || strings.TrimPrefix(e.Name, "org.freedesktop.DBus.Error.")+": "+e.Error() != call.want {
			t.Errorf("%s %.100v: %#v, want %s", call.method, call.args, err, call.want)
		}
	}
	nothing(t, w.server.reports)
	nothing(t, w.server.lists)
}

type pair struct{ Name, Version string }

// A result code is what it says, in any integer type: not always OK, which is
// all that the original ever reported (client.md 5.4).
func TestResultCodesAreHonoured(t *testing.T) {
	w := start(t)
	for i, code := range []any{byte(4), int16(4), uint16(4), int32(4), uint32(4), int64(4), uint64(4)} {
		id := fmt.Sprintf("%s%d", u1[:len(u1)-1], i)
		err := w.call("updateReport", id, []map[string]any{
			{"id": id, "result_code": byte(0), "result_text": "unpacked", "seconds": 1.5},
			{"id": id, "result_code": code, "result_text": "no"},
		})
		if err != nil {
			t.Fatalf("%T: %v", code, err)
		}
		equal(t, ota.Report{Update: ota.UpdateID(id), Results: []ota.OperationResult{
			{ID: id, Code: ota.OK, Text: "unpacked"}, {ID: id, Code: ota.InstallFailed, Text: "no"},
		}}, receive(t, w.server.reports))
	}
}

func TestEveryCodeByBusctl(t *testing.T) {
	w := start(t)
	for code := range ota.GeneralError + 1 {
		id := fmt.Sprintf("%s%02d", u1[:len(u1)-2], code)
		w.bus.must("busctl", "--user", "call", "org.genivi.SotaClient", "/org/genivi/SotaClient", "org.genivi.SotaClient", "updateReport",
			"saa{sv}", id, "1", "3", "id", "s", "N/A", "result_code", "i", fmt.Sprint(uint8(code)), "result_text", "s", "as told")
		equal(t, ota.Report{Update: ota.UpdateID(id), Results: []ota.OperationResult{{ID: id, Code: code, Text: "N/A: as told"}}}, receive(t, w.server.reports))
	}
}

func TestTenThousandPackages(t *testing.T) {
	w := start(t)
	args := []string{"--user", "call", "org.genivi.SotaClient", "/org/genivi/SotaClient", "org.genivi.SotaClient", "sendInstalledPackages", "a(ss)", "10000"}
	want := ota.Inventory{}
	for i := range 10_000 {
		p := ota.PackageID{Name: fmt.Sprintf("package-%d", i), Version: fmt.Sprintf("1:%d.0-1", i)}
		args = append(args, p.Name, p.Version)
		want.Packages = append(want.Packages, ota.Installed{PackageID: p})
	}
	w.bus.must("busctl", args...)
	equal(t, want, receive(t, w.server.lists))

	// The seed's example, and the empty list of a bare device.
	if err := w.call("sendInstalledPackages", []pair{{"gcc", "7.63"}, {"Movie&MusicPlayer", "rc2-beta3"}, {"ECU9274927BF82-firmware", "gitID-2fab572"}}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, w.server.lists).Packages; len(got) != 3 || got[1].Name != "Movie&MusicPlayer" {
		t.Error(got)
	}
	if err := w.call("sendInstalledPackages", []pair{}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, w.server.lists).Packages; len(got) != 0 {
		t.Error(got)
	}
}

// What is longer than we read gets no answer, and does no harm.
func TestAMessageThatIsTooLong(t *testing.T) {
	w := start(t)
	c := w.bus.connect()
	long := c.Object("org.genivi.SotaClient", "/org/genivi/SotaClient").Go("org.genivi.SotaClient.initiateDownload", 0, nil, strings.Repeat("x", maxMessage))
	w.log.says(t, "skipped a message that is too long")
	if err := w.call("sendInstalledPackages", []pair{{"gcc", "7.63"}}); err != nil {
		t.Error(err)
	}
	receive(t, w.server.lists)
	nothing(t, long.Done)
}
