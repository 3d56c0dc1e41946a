package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// rviMessage is what both sides decode.
type rviMessage struct {
	Cmd  string `json:"cmd"`
	Data struct {
		Service    string `json:"service"`
		Timeout    int64  `json:"timeout"`
		Parameters []struct {
			Update string `json:"update_id,omitempty"`
			Index  int    `json:"index,omitempty"`
			Bytes  string `json:"bytes,omitempty"`
			SHA256 string `json:"sha256,omitempty"`
			Chunks []int  `json:"chunks,omitempty"`
		} `json:"parameters"`
	} `json:"data"`
}

// vehicleFleet is many vehicles that count chunks together.
type vehicleFleet struct {
	all    []*vehicle
	chunks atomic.Int64
}

// vehicle is one, with what it says ready made.
type vehicle struct {
	fleet            *vehicleFleet
	hello, start     []byte
	ackBegin, ackEnd []byte
	request          []byte
	list             []byte // 1,2,3,… of all vehicles
	ends             []int  // where the n-th number ends
}

func newVehicles(devices []ota.DeviceID) *vehicleFleet {
	f := &vehicleFleet{}
	var list []byte
	ends := []int{0}
	for i := 1; i <= rviChunks; i++ {
		if i > 1 {
			list = append(list, ',')
		}
		list = strconv.AppendInt(list, int64(i), 10)
		ends = append(ends, len(list))
	}
	until := time.Now().Add(time.Hour).Unix()
	message := func(service, params string) []byte {
		return fmt.Appendf(nil, `{"tid":1,"cmd":"rcv","mod":"proto_json_rpc","data":{"service":"genivi.org/backend/sota/%s","timeout":%d,"parameters":[%s]}}`, service, until, params)
	}
	for _, d := range devices {
		own := "genivi.org/device/" + string(d) + "/sota/"
		v := &vehicle{fleet: f, list: list, ends: ends}
		v.hello = fmt.Appendf(nil, `{"cmd":"au","ver":"1.1","creds":[]}{"cmd":"sa","stat":"av","svcs":["%[1]snotify","%[1]sstart","%[1]schunk","%[1]sfinish","%[1]sgetpackages","%[1]sabort"]}`, own)
		v.start = message("start", fmt.Sprintf(`{"device":%[2]q,"update_id":%[2]q,"services":{"start":"%[1]sstart","chunk":"%[1]schunk","abort":"%[1]sabort","finish":"%[1]sfinish","getpackages":"%[1]sgetpackages"}}`, own, d))
		ack := string(message("ack", fmt.Sprintf(`{"device":%[1]q,"update_id":%[1]q,"chunks":[]}`, d)))
		begin, end, _ := strings.Cut(ack, "[]")
		v.ackBegin, v.ackEnd = []byte(begin+"["), []byte("]"+end)
		v.request = fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(chunkText), chunkText)
		f.all = append(f.all, v)
	}
	return f
}

// drive has all vehicles busy with a server, and returns chunks per second over
// d, once each has got one.
func (f *vehicleFleet) drive(ctx context.Context, addr string, as func(*vehicle, net.Conn) error, d time.Duration) (float64, error) {
	var group sync.WaitGroup
	var failed atomic.Pointer[error]
	var conns []net.Conn
	var over atomic.Bool
	f.chunks.Store(0)
	end := func() {
		over.Store(true)
		for _, c := range conns {
			c.Close()
		}
		group.Wait()
	}
	defer end()
	for _, v := range f.all {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return 0, err
		}
		conns = append(conns, c)
		group.Go(func() {
			if err := as(v, c); err != nil && !over.Load() {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	for late := time.Now().Add(20 * time.Second); f.chunks.Load() < int64(4*len(f.all)); {
		if err := failed.Load(); err != nil {
			return 0, *err
		}
		if time.Now().After(late) {
			return 0, errors.New("chunks do not come")
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return 0, err
		}
	}
	before, began := f.chunks.Load(), time.Now()
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	rate := float64(f.chunks.Load()-before) / time.Since(began).Seconds()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return rate, nil
}

// rvi takes the update it is offered, as a vehicle that has nothing of it yet.
func (v *vehicle) rvi(c net.Conn) error {
	if _, err := c.Write(v.hello); err != nil {
		return err
	}
	for d := json.NewDecoder(c); ; {
		var m rviMessage
		if err := d.Decode(&m); err != nil {
			return err
		}
		var err error
		switch service := m.Data.Service[strings.LastIndexByte(m.Data.Service, '/')+1:]; service {
		case "notify", "finish":
			_, err = c.Write(v.start)
		case "start":
			err = v.acknowledge(c, 0)
		case "chunk":
			if len(m.Data.Parameters) != 1 || len(m.Data.Parameters[0].Bytes) != 87_384 {
				return errors.New("that is no chunk")
			}
			v.fleet.chunks.Add(1)
			err = v.acknowledge(c, m.Data.Parameters[0].Index)
		}
		if err != nil {
			return err
		}
	}
}

func (v *vehicle) acknowledge(c net.Conn, chunks int) error {
	text := net.Buffers{v.ackBegin, v.list[:v.ends[chunks]], v.ackEnd}
	_, err := text.WriteTo(c)
	return err
}

// http has the chunk message echoed.
func (v *vehicle) http(c net.Conn) error {
	r := bufio.NewReaderSize(c, 16<<10)
	for {
		if _, err := c.Write(v.request); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		var m rviMessage
		err = json.NewDecoder(resp.Body).Decode(&m)
		if err == nil && (len(m.Data.Parameters) != 1 || len(m.Data.Parameters[0].Bytes) != 87_384) {
			err = fmt.Errorf("the echo is %s", resp.Status)
		}
		if _, rest := io.Copy(io.Discard, resp.Body); err == nil {
			err = rest
		}
		if err != nil {
			return err
		}
		v.fleet.chunks.Add(1)
	}
}
