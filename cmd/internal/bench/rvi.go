package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/rvi"
)

const (
	rviVehicles = 50
	rviChunks   = 1024 // of the file that all are sent: more than fit into a round
)

// rviRoleEnv makes this program a server to compare with: "echo ADDR" or
// "bare ADDR".
const rviRoleEnv = "UPDRAFT_BENCH_RVI"

// vehicles measures how many chunks a second the server, the real program, sends
// to 50 vehicles over RVI, one at a time to each, as far as their acks allow:
// read from the blob, checked, encoded, and noted in the store. It is compared
// with an HTTP server that decodes each chunk message and encodes it again, and
// with one that writes a ready-made chunk whenever an ack came. Each of the
// three is a process of its own. The vehicles are the same for all: they share
// this process and the cores, decode what comes with encoding/json and write
// ready-made acks, or ready-made requests.
func vehicles(ctx context.Context, o options, dir string) error {
	s, err := newFleet(ctx, dir+"/rvi", "none", rviVehicles)
	if err != nil {
		return err
	}
	if err := s.sendAll(ctx, rviChunks*rvi.ChunkSize); err != nil {
		return err
	}
	link, err := s.startRVI(o.updraft)
	if err != nil {
		return err
	}
	defer s.stop()
	bare, stop, err := startRVIRole("bare")
	if err != nil {
		return err
	}
	defer stop()
	echo, stop, err := startRVIRole("echo")
	if err != nil {
		return err
	}
	defer stop()

	fleet := newVehicles(s.devices)
	kinds := []struct {
		name  string
		drive func(*vehicle, net.Conn) error
		addr  string
	}{{"chunks over RVI", (*vehicle).rvi, link}, {"bare TCP pair", (*vehicle).rvi, bare}, {"HTTP JSON echo", (*vehicle).http, echo}}
	rates := make([][]float64, len(kinds))
	for r := -1; r < 2*o.rounds; r++ { // round -1 warms up
		for i := range kinds {
			k := kinds[(i+r+1)%len(kinds)]
			rate, err := fleet.drive(ctx, k.addr, k.drive, o.round/2)
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			if r >= 0 {
				rates[(i+r+1)%len(kinds)] = append(rates[(i+r+1)%len(kinds)], rate)
			}
		}
	}
	fmt.Printf("\n%-18s %12s   (%d vehicles)\n", "", "chunks/s", rviVehicles)
	for i, k := range kinds {
		fmt.Printf("%-18s %12.0f\n", k.name, median(rates[i]))
	}
	fmt.Printf("RVI : bare TCP pair           %s  (aim 0.6)\n", ratios(rates[0], rates[1]))
	fmt.Printf("RVI : HTTP JSON echo          %s  (aim 2)\n", ratios(rates[0], rates[2]))
	return nil
}

// sendAll publishes a file of random bytes and sends it to all devices.
func (f *fleetDir) sendAll(ctx context.Context, size int64) error {
	return f.open(ctx, func(fl *fleet.Fleet) error {
		id := ota.PackageID{Name: "bench", Version: "1"}
		if _, err := fl.PutPackage(ctx, ota.DefaultNamespace, fleet.NewPackage{ID: id}, io.LimitReader(rand.NewChaCha8([32]byte{}), size)); err != nil {
			return err
		}
		for _, d := range f.devices {
			r := fleet.Request{Device: d, Packages: []ota.PackageID{id}, ID: ota.UpdateID(d)}
			if _, _, err := fl.Send(ctx, ota.DefaultNamespace, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// startRVI runs a server on the folder and returns where it takes plain links.
func (f *fleetDir) startRVI(program string) (link string, err error) {
	f.server = exec.Command(program, "server", "--data", f.dir, "--auth", "none", "--bind", "127.0.0.1", "--http-port", "0", "--coap-port", "off", "--rvi-link-port", "0")
	f.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := f.server.Start(); err != nil {
		return "", err
	}
	for range 100 {
		var addresses struct {
			Link string `json:"rvi_link"`
		}
		b, err := os.ReadFile(filepath.Join(f.dir, "addresses.json"))
		if err == nil && json.Unmarshal(b, &addresses) == nil {
			return addresses.Link, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "", errors.New("the server does not listen")
}

// startRVIRole starts this program as one of the servers to compare with.
func startRVIRole(name string) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File() // nobody else gets the port
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), rviRoleEnv+"="+name)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{file}, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	return l.Addr().String(), func() { _, _ = cmd.Process.Kill(), cmd.Wait() }, nil
}

// playRVIRole is what this program does as such a server, until it is killed.
func playRVIRole(name string) error {
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	if name == "echo" {
		return http.Serve(l, http.HandlerFunc(echoChunk))
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go exchange(c)
	}
}

// chunkText is a ready-made chunk message as it is on a link.
var chunkText = fmt.Sprintf(`{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{"service":"genivi.org/device/00000000-0000-4000-8000-000000000001/sota/chunk","timeout":%d,"parameters":[{"update_id":"00000000-0000-4000-8000-000000000001","index":%d,"bytes":"%s","sha256":"%s"}]}}`,
	time.Now().Add(time.Hour).Unix(), bareIndex, strings.Repeat("QUFB", 21_846), strings.Repeat("0", 64))

// bareIndex is the chunk of chunkText: its acks are as long as those that the
// real server gets half-way through a round.
const bareIndex = 40

// exchange writes a chunk for each ack.
func exchange(c net.Conn) {
	defer c.Close()
	d := json.NewDecoder(c)
	for {
		if _, err := io.WriteString(c, chunkText); err != nil {
			return
		}
		for got := ""; !strings.HasSuffix(got, "/ack"); {
			var m rviMessage
			if err := d.Decode(&m); err != nil {
				return
			}
			got = m.Data.Service
		}
	}
}

// echoChunk answers a chunk message with the same.
func echoChunk(w http.ResponseWriter, r *http.Request) {
	var m rviMessage
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(m)
}
