package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// machine describes a device by what its kernel and its distribution say, in
// files: no program is run. What would tell one device from another of its
// kind, such as serial numbers and hardware addresses, is left out; only the
// host name is there, as in the original's script.
type machine struct{ root fs.FS }

// description is the built-in system information.
type description struct {
	OS       map[string]string `json:"os"` // of os-release
	Kernel   kernel            `json:"kernel"`
	Hostname string            `json:"hostname,omitempty"`
	Hardware hardware          `json:"hardware"`
	Network  []nic             `json:"network"`
	Disks    []disk            `json:"disks"`
	Root     *space            `json:"root,omitempty"` // the root file system
}

type kernel struct {
	Name    string `json:"name"`
	Release string `json:"release"`
	Version string `json:"version"`
	Machine string `json:"machine"`
}

type hardware struct {
	Vendor  string `json:"vendor,omitempty"`
	Product string `json:"product,omitempty"`
	Board   string `json:"board,omitempty"`
	BIOS    string `json:"bios,omitempty"`
	Model   string `json:"model,omitempty"` // of the device tree
	CPU     string `json:"cpu,omitempty"`
	CPUs    int    `json:"cpus"`
	Memory  int64  `json:"memory,omitempty"` // bytes
}

type nic struct {
	Name  string `json:"name"`
	State string `json:"state,omitempty"` // such as "up"
	MTU   int64  `json:"mtu,omitempty"`
	Speed int64  `json:"speed,omitempty"` // Mbit/s
}

type disk struct {
	Name      string `json:"name"`
	Model     string `json:"model,omitempty"`
	Size      int64  `json:"size"` // bytes
	Removable bool   `json:"removable,omitempty"`
}

type space struct {
	Size int64 `json:"size"` // bytes
	Free int64 `json:"free"`
}

// Bounds that keep the description below 64 KiB on any machine.
const (
	maxFacts = 32  // interfaces, disks, fields of os-release
	maxFact  = 200 // bytes of one text
)

// describe writes the description as JSON. What a machine does not tell is
// left out.
func (m machine) describe() ([]byte, error) {
	d := description{
		OS: m.release(), Kernel: uname(), Hostname: m.text("proc/sys/kernel/hostname"),
		Hardware: m.hardware(), Network: m.network(), Disks: m.disks(),
	}
	var st unix.Statfs_t
	if unix.Statfs("/", &st) == nil {
		d.Root = &space{int64(st.Blocks) * int64(st.Frsize), int64(st.Bavail) * int64(st.Frsize)}
	}
	var doc bytes.Buffer
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(d)
	return doc.Bytes(), err
}

// release reads os-release(5).
func (m machine) release() map[string]string {
	fields := map[string]string{}
	data := m.read("etc/os-release")
	if data == "" {
		data = m.read("usr/lib/os-release")
	}
	for line := range strings.Lines(data) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || key == "" || key[0] == '#' || strings.HasSuffix(key, "_URL") || len(fields) == maxFacts {
			continue
		}
		if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		fields[fact(strings.ToLower(key))] = fact(value)
	}
	return fields
}

func uname() kernel {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return kernel{}
	}
	s := func(b []byte) string { return fact(unix.ByteSliceToString(b)) }
	return kernel{s(u.Sysname[:]), s(u.Release[:]), s(u.Version[:]), s(u.Machine[:])}
}

func (m machine) hardware() hardware {
	const dmi = "sys/class/dmi/id/"
	return hardware{
		Vendor: m.text(dmi + "sys_vendor"), Product: m.text(dmi + "product_name"),
		Board: m.text(dmi + "board_name"), BIOS: m.text(dmi + "bios_version"),
		Model: m.text("proc/device-tree/model"), CPU: m.cpu(), CPUs: runtime.NumCPU(),
		Memory: m.memory(),
	}
}

// cpu is the first processor's name; the field is another on each architecture.
func (m machine) cpu() string {
	for line := range strings.Lines(m.read("proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name", "cpu model", "Hardware", "Processor", "uarch":
			return fact(value)
		}
	}
	return ""
}

func (m machine) memory() int64 {
	for line := range strings.Lines(m.read("proc/meminfo")) {
		if value, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}

func (m machine) network() []nic {
	list := []nic{}
	for _, name := range m.names("sys/class/net") {
		at := path.Join("sys/class/net", name)
		list = append(list, nic{fact(name), m.text(at + "/operstate"), max(m.number(at+"/mtu"), 0), max(m.number(at+"/speed"), 0)})
	}
	return list
}

// disks lists block devices with something in them, without those that only
// stand for memory or for parts of others.
func (m machine) disks() []disk {
	list := []disk{}
	for _, name := range m.names("sys/block") {
		at := path.Join("sys/block", name)
		sectors := m.number(at + "/size")
		virtual := slices.ContainsFunc([]string{"loop", "ram", "zram", "dm-", "nbd"}, func(p string) bool { return strings.HasPrefix(name, p) })
		if sectors <= 0 || virtual {
			continue
		}
		list = append(list, disk{fact(name), m.text(at + "/device/model"), sectors * 512, m.number(at+"/removable") == 1})
	}
	return list
}

// names lists a directory, as far as a description goes.
func (m machine) names(dir string) []string {
	entries, _ := fs.ReadDir(m.root, dir)
	var names []string
	for _, e := range entries[:min(len(entries), maxFacts)] {
		names = append(names, e.Name())
	}
	return names
}

// read returns the beginning of a file, "" if there is none.
func (m machine) read(name string) string {
	f, err := m.root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(data)
}

func (m machine) text(name string) string { return fact(m.read(name)) }

func (m machine) number(name string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(m.read(name)), 10, 64)
	return n
}

// fact makes any text one that may be told: short, printable, without the zero
// bytes of the device tree.
func fact(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.TrimSpace(clipHead(s, maxFact))
}
