package server

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
)

// coapRoot is what the URLs begin with by which devices find files here:
// scheme, name or address, and port. It is "" while there is no port to name:
// CoAP is off, or a free port is to be used and not bound yet. Where plain CoAP
// gives files to nobody, it is that of coaps.
func (s *server) coapRoot() string {
	if s.WithCoAPServer && s.CoAPS.Open() && (!s.CoAPPublic || !s.CoAP.Open()) {
		port := settings.Port(s.coapsBound.Load())
		if port == 0 {
			port = s.CoAPS
		}
		if port == 0 {
			return ""
		}
		return s.coapURL("coaps", uint16(port))
	}
	host, port := s.CoAPHost, settings.Port(s.coapBound.Load())
	if port == 0 {
		port = s.CoAP // of another server, perhaps
	}
	if name, given, err := net.SplitHostPort(host); err == nil {
		return "coap://" + net.JoinHostPort(name, given)
	}
	if !port.Open() || port == 0 {
		return ""
	}
	if host = strings.Trim(host, "[]"); host == "" {
		host = s.ownAddress().String()
	}
	return "coap://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// coapURL is what URLs of another scheme begin with, on another port.
func (s *server) coapURL(scheme string, port uint16) string {
	host := s.CoAPHost
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host = strings.Trim(host, "[]"); host == "" {
		host = s.ownAddress().String()
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// ownAddress is where others find this machine: the address it listens at, or
// else the first that is not only the machine's own.
func (s *server) ownAddress() netip.Addr {
	if addr, err := s.address(); err == nil && addr.IsValid() && !addr.IsUnspecified() {
		return addr
	}
	found, _ := net.InterfaceAddrs() // without any, it is alone
	for _, a := range found {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return p.Addr()
		}
	}
	return netip.IPv6Loopback()
}
