package image_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm/image"
)

const whole = `{
	"updateId": "01a1ff99-5e2b-72b6-ac92-1a7abdd7ad56", "name": "winter", "description": "Everything\nnew",
	"operations": [
		{"id": "1", "operation": "install_package", "image": "debs/a.deb", "description": "A"},
		{"id": "2", "operation": "upgrade_package", "image": "b.deb", "onFailure": "continue"},
		{"id": "3", "operation": "remove_package", "package": "libc++1:amd64", "onFailure": "abort"},
		{"id": "4", "operation": "flash_module_firmware", "image": "ecu.bin", "parameters": {"module": "ecu1", "Bus_2": ""}},
		{"id": "5", "operation": "create_partition", "parameters": {}},
		{"id": "6", "operation": "delete_partition"},
		{"id": "7", "operation": "resize_partition"},
		{"id": "8", "operation": "write_partition", "image": "root.img"},
		{"id": "9", "operation": "patch_partition", "image": "root.patch"},
		{"id": "10", "operation": "install_config", "image": "a.conf", "path": "/etc/a/a.conf"}
	]}`

func TestParse(t *testing.T) {
	got, err := image.Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := image.Manifest{
		Update: "01a1ff99-5e2b-72b6-ac92-1a7abdd7ad56", Name: "winter", Description: "Everything\nnew",
		Operations: []image.Operation{
			{ID: "1", Kind: image.InstallPackage, Image: "debs/a.deb", Description: "A"},
			{ID: "2", Kind: image.UpgradePackage, Image: "b.deb", Continue: true},
			{ID: "3", Kind: image.RemovePackage, Package: "libc++1:amd64"},
			{ID: "4", Kind: image.FlashModuleFirmware, Image: "ecu.bin", Parameters: map[string]string{"module": "ecu1", "Bus_2": ""}},
			{ID: "5", Kind: image.CreatePartition, Parameters: map[string]string{}},
			{ID: "6", Kind: image.DeletePartition},
			{ID: "7", Kind: image.ResizePartition},
			{ID: "8", Kind: image.WritePartition, Image: "root.img"},
			{ID: "9", Kind: image.PatchPartition, Image: "root.patch"},
			{ID: "10", Kind: image.InstallConfig, Image: "a.conf", Path: "/etc/a/a.conf"},
		}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Each kind of operation has the failure of seed 002 that is named like it.
func TestFailures(t *testing.T) {
	for kind, want := range map[image.Kind]ota.ResultCode{
		image.InstallPackage: ota.InstallFailed, image.UpgradePackage: ota.UpgradeFailed, image.RemovePackage: ota.RemovalFailed,
		image.FlashModuleFirmware: ota.FlashFailed, image.CreatePartition: ota.CreatePartitionFailed,
		image.DeletePartition: ota.DeletePartitionFailed, image.ResizePartition: ota.ResizePartitionFailed,
		image.WritePartition: ota.WritePartitionFailed, image.PatchPartition: ota.PatchPartitionFailed, image.InstallConfig: ota.InstallFailed,
	} {
		if got := kind.Failure(); got != want {
			t.Errorf("%s fails with %s, want %s", kind, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	op := func(members string) string {
		return `{"name":"n","operations":[{"id":"1",` + members + `}]}`
	}
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf(`{"id":"%d","operation":"delete_partition"}`, i))
	}
	for _, c := range []struct{ text, says string }{
		{``, "EOF"},
		{`[]`, "object"},
		{`null`, "object"},
		{whole + `{}`, "follows"},
		{`{"name":"n"}`, "operations: it is missing"},
		{`{"name":"n","operations":[]}`, "1 to 1000"},
		{`{"name":"n","operations":null}`, "null"},
		{`{"name":"n","operations":[` + strings.Join(many, ",") + `]}`, "not 1001"},
		{`{"operations":[{"id":"1","operation":"delete_partition"}]}`, "name: it is missing"},
		{`{"Name":"n","operations":[{"id":"1","operation":"delete_partition"}]}`, "name: it is missing"},
		{`{"name":"n","name":"m","operations":[]}`, "twice"},
		{`{"name":"n","more":1,"operations":[{"id":"1","operation":"delete_partition"}]}`, `"more" is not known`},
		{`{"name":"n","updateId":"../x","operations":[{"id":"1","operation":"delete_partition"}]}`, "updateId"},
		{`{"name":"n","updateId":"..","operations":[{"id":"1","operation":"delete_partition"}]}`, "updateId"},
		{`{"name":"n` + "\xff" + `","operations":[]}`, "UTF-8"},
		{`{"name":"n","operations":[{"id":"1","operation":"delete_partition"},{"id":"1","operation":"delete_partition"}]}`, "two with the id"},
		{`{"name":"n","operations":["delete_partition"]}`, "object"},
		{op(`"operation":"reboot"`), `"reboot"`},
		{op(`"operation":1`), "operation"},
		{op(`"operation":"delete_partition","onFailure":"panic"`), "onFailure"},
		{op(`"operation":"delete_partition","package":"p"`), `"package" is not known`},
		{op(`"operation":"install_package"`), "image"},
		{op(`"operation":"install_package","image":"../a.deb"`), "no path inside"},
		{op(`"operation":"install_package","image":"/a.deb"`), "no path inside"},
		{op(`"operation":"install_package","image":"a/../../b"`), "no path inside"},
		{op(`"operation":"install_package","image":"."`), "no path inside"},
		{op(`"operation":"install_package","image":"a\u0000b"`), "no path inside"},
		{op(`"operation":"remove_package"`), "package"},
		{op(`"operation":"remove_package","package":"--purge"`), "package"},
		{op(`"operation":"remove_package","package":"a b"`), "package"},
		{op(`"operation":"install_config","image":"a"`), "path"},
		{op(`"operation":"install_config","image":"a","path":"etc/a"`), "path"},
		{op(`"operation":"install_config","image":"a","path":"/etc/../a"`), "path"},
		{op(`"operation":"install_config","image":"a","path":"/etc/"`), "path"},
		{op(`"operation":"install_config","image":"a","path":"/"`), "path"},
		{op(`"operation":"delete_partition","parameters":{"a-b":"c"}`), "parameters"},
		{op(`"operation":"delete_partition","parameters":{"a":"b","A":"c"}`), "parameters"},
		{op(`"operation":"delete_partition","parameters":{"a":1}`), "parameters"},
		{op(`"operation":"delete_partition","parameters":{"a":"b\nc"}`), "parameters"},
		{op(`"operation":"delete_partition","parameters":[]`), "parameters"},
		{`{"name":"` + strings.Repeat("n", 1<<20) + `"}`, "longer"},
		{strings.Repeat("[", 1<<19), "object"},
	} {
		_, err := image.Parse([]byte(c.text))
		if ota.KindOf(err) != ota.KindInvalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.120s: %v, want %q", c.text, err, c.says)
		}
	}
}

// An image has all that its manifest names.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := image.Load(dir); ota.KindOf(err) != ota.KindInvalid {
		t.Errorf("without a manifest: %v", err)
	}
	write(image.ManifestName, `{"name":"n","operations":[{"id":"1","operation":"install_config","image":"a","path":"/a"}]}`)
	if _, err := image.Load(dir); ota.KindOf(err) != ota.KindInvalid {
		t.Errorf("without a file: %v", err)
	}
	write("a", "")
	if _, err := image.Load(dir); err != nil {
		t.Error(err)
	}
}

// Whatever is read is what the documentation says.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"name":"n","operations":[{"id":"1","operation":"remove_package","package":"p"}]}`))
	f.Add([]byte(`{"name":"n","operations":[{"id":"1","operation":"install_config","image":"../a","path":"/a"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := image.Parse(text)
		if err != nil {
			if ota.KindOf(err) != ota.KindInvalid {
				t.Fatalf("blames us: %v", err)
			}
			return
		}
		if len(m.Operations) == 0 || m.Name == "" || strings.Contains(string(m.Update), "/") {
			t.Fatalf("%+v", m)
		}
		for _, o := range m.Operations {
			if o.Image != "" && !filepath.IsLocal(o.Image) || strings.Contains(o.Path+"/", "/../") || strings.HasPrefix(o.Package, "-") || o.Kind.Failure() == ota.OK {
				t.Fatalf("%+v", o)
			}
		}
	})
}
