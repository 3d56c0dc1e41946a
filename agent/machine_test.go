package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func describe(t *testing.T, m machine) (d description, text string) {
	t.Helper()
	doc, err := m.describe()
	if err != nil {
		t.Fatal(err)
	}
	if len(doc) > 64<<10 {
		t.Errorf("%d bytes", len(doc))
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	return d, string(doc)
}

func files(texts map[string]string) machine {
	tree := fstest.MapFS{}
	for name, text := range texts {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return machine{tree}
}

func TestDescriptionOfABoard(t *testing.T) {
	d, text := describe(t, files(map[string]string{
		"etc/os-release":                  "# hello\nNAME=\"Poky (Yocto)\"\nID='poky'\nVERSION_ID=5.0\nHOME_URL=\"https://x\"\nbroken\n",
		"proc/sys/kernel/hostname":        "ivi-7\n",
		"proc/device-tree/model":          "Raspberry Pi 4 Model B\x00",
		"proc/device-tree/serial-number":  "SECRET1\x00",
		"sys/class/dmi/id/product_serial": "SECRET2\n",
		"proc/cpuinfo":                    "processor\t: 0\nHardware\t: BCM2711\nSerial\t\t: SECRET3\n",
		"proc/meminfo":                    "MemTotal:        3884360 kB\nMemFree: 1 kB\n",
		"sys/class/net/eth0/operstate":    "up\n",
		"sys/class/net/eth0/mtu":          "1500\n",
		"sys/class/net/eth0/speed":        "1000\n",
		"sys/class/net/eth0/address":      "SECRET4\n",
		"sys/class/net/wlan0/operstate":   "down\n",
		"sys/class/net/wlan0/speed":       "-1\n",
		"sys/block/mmcblk0/size":          "61071360\n",
		"sys/block/mmcblk0/device/serial": "SECRET5\n",
		"sys/block/mmcblk0/removable":     "0\n",
		"sys/block/sda/size":              "100\n",
		"sys/block/sda/removable":         "1\n",
		"sys/block/sda/device/model":      "Stick   \n",
		"sys/block/loop0/size":            "100\n",
		"sys/block/sdb/size":              "0\n",
	}))
	want := description{
		OS: map[string]string{"name": "Poky (Yocto)", "id": "poky", "version_id": "5.0"}, Kernel: d.Kernel, Hostname: "ivi-7",
		Hardware: hardware{Model: "Raspberry Pi 4 Model B", CPU: "BCM2711", CPUs: d.Hardware.CPUs, Memory: 3884360 << 10},
		Network:  []nic{{"eth0", "up", 1500, 1000}, {"wlan0", "down", 0, 0}},
		Disks:    []disk{{"mmcblk0", "", 61071360 * 512, false}, {"sda", "Stick", 51200, true}},
		Root:     d.Root,
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(text, "SECRET") {
		t.Error(text)
	}
}

func TestDescriptionOfNothing(t *testing.T) {
	_, text := describe(t, files(nil))
	for _, want := range []string{`"network": []`, `"disks": []`, `"os": {}`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestDescriptionOfAMonster(t *testing.T) {
	texts := map[string]string{
		"proc/cpuinfo":             "model name: " + strings.Repeat("\xff\x01<", 50_000),
		"proc/sys/kernel/hostname": strings.Repeat("\u2028", 50_000),
	}
	var release strings.Builder
	for i := range 500 {
		fmt.Fprintf(&release, "KEY%s%d=%s\n", strings.Repeat("&", 300), i, strings.Repeat("<", 300))
		texts[fmt.Sprintf("sys/class/net/eth%d/operstate", i)] = strings.Repeat("<", 10_000)
		texts[fmt.Sprintf("sys/block/sd%d/size", i)] = "99999999999999"
		texts[fmt.Sprintf("sys/block/sd%d/device/model", i)] = strings.Repeat(">", 10_000)
	}
	texts["etc/os-release"] = release.String()
	describe(t, files(texts))
}

// The machine that runs the test says what it says elsewhere, and no address.
func TestDescriptionOfThisMachine(t *testing.T) {
	doc, err := systemInfo(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var d description
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	if d.Kernel.Release != unix.ByteSliceToString(u.Release[:]) || d.Hostname != host || d.OS["id"] == "" || d.Hardware.Memory == 0 || d.Root.Size == 0 {
		t.Errorf("%s", doc)
	}
	addresses, _ := filepath.Glob("/sys/class/net/*/address")
	for _, name := range addresses {
		text, _ := os.ReadFile(name)
		if a := strings.TrimSpace(string(text)); a != "" && a != "00:00:00:00:00:00" && strings.Contains(string(doc), a) {
			t.Errorf("%s is told", name)
		}
	}
}
