package server

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
)

// Addresses are where a server listens, each as host:port; "" is not open. A
// wildcard is written as 127.0.0.1, so that each can be dialled as it stands.
type Addresses struct {
	HTTP     string `json:"http,omitempty"`
	HTTPS    string `json:"https,omitempty"`
	RVIEdge  string `json:"rvi_edge,omitempty"`
	RVILink  string `json:"rvi_link,omitempty"`
	RVITLS   string `json:"rvi_tls,omitempty"`
	CoAP     string `json:"coap,omitempty"`
	CoAPS    string `json:"coaps,omitempty"`
	CoAPTCP  string `json:"coap_tcp,omitempty"`
	CoAPSTCP string `json:"coaps_tcp,omitempty"`
}

// addressesFile tells in the data folder where the server listens. It is
// there exactly while the server serves, but for crashes.
const addressesFile = "addresses.json"

func (a Addresses) publish(dir string) error {
	doc, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, addressesFile), append(doc, '\n'), 0o644)
}

func withdrawAddresses(dir string) error {
	err := os.Remove(filepath.Join(dir, addressesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// dialable writes a socket's address.
func dialable(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	host := at.Addr().String()
	if at.Addr().IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(int(at.Port())))
}
