package dbus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	godbus "github.com/godbus/dbus/v5"
)

// maxMessage bounds what is read from the bus, in bytes; the bus itself would
// let 128 MiB pass. It holds 50 000 packages with names of 80 bytes.
const maxMessage = 8 << 20

// wire is the connection to the bus. It keeps what is too long from the
// library, which would take all of it into memory, and does not wait for ever
// for a bus that takes nothing. File descriptors cannot come over it.
type wire struct {
	net.Conn
	in       *bufio.Reader
	patience time.Duration // for one write
	log      *slog.Logger
	framed   bool   // the handshake is over
	left     uint64 // bytes of the current message
}

func newWire(c net.Conn, patience time.Duration, log *slog.Logger) *wire {
	return &wire{Conn: c, in: bufio.NewReader(c), patience: patience, log: log}
}

// Read gives the handshake as it comes, and then messages that are not too long.
func (w *wire) Read(p []byte) (int, error) {
	if !w.framed {
		return w.in.Read(p)
	}
	for w.left == 0 {
		if err := w.next(); err != nil {
			return 0, err
		}
	}
	n, err := w.in.Read(p[:min(uint64(len(p)), w.left)])
	w.left -= uint64(n)
	return n, err
}

// next looks at the head of a message and skips the message if it is too long.
func (w *wire) next() error {
	const head = 16
	b, err := w.in.Peek(head)
	if err != nil {
		return err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'B' {
		order = binary.BigEndian
	}
	body, fields := uint64(order.Uint32(b[4:])), uint64(order.Uint32(b[12:]))
	size := head + (fields+7)/8*8 + body
	if size <= maxMessage {
		w.left = size
		return nil
	}
	w.log.Warn("skipped a message that is too long", "bytes", size, "at_most", maxMessage)
	_, err = w.in.Discard(int(size))
	return err
}

func (w *wire) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(w.patience)); err != nil {
		return 0, err
	}
	n, err := w.Conn.Write(p)
	if err != nil {
		w.Close() // half a message is there, nothing can follow it
	}
	if !w.framed && bytes.Equal(p, []byte("BEGIN\r\n")) {
		w.framed = true // the library reads no more until it has written this
	}
	return n, err
}

const systemBus = "unix:path=/run/dbus/system_bus_socket"

// address finds the bus where the D-Bus specification puts it. No bus is ever
// started.
func address(bus string, getenv func(string) string) (string, error) {
	if bus == "system" {
		if a := getenv("DBUS_SYSTEM_BUS_ADDRESS"); a != "" {
			return a, nil
		}
		return systemBus, nil
	}
	if a := getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" && a != "autolaunch:" {
		return a, nil
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		return "unix:path=" + godbus.EscapeBusAddressValue(dir+"/bus"), nil
	}
	return "", errors.New("the session bus is nowhere: DBUS_SESSION_BUS_ADDRESS is not set")
}

// dial connects to the first of the addresses that answers.
func dial(ctx context.Context, addresses string) (net.Conn, error) {
	var errs []error
	for a := range strings.SplitSeq(addresses, ";") {
		path, err := socket(a)
		if err == nil {
			var c net.Conn
			if c, err = new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
				return c, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// socket reads the address of a Unix socket, which is where every bus of a
// device listens. Names of abstract ones begin with "@".
func socket(address string) (string, error) {
	if params, ok := strings.CutPrefix(address, "unix:"); ok {
		for p := range strings.SplitSeq(params, ",") {
			key, value, _ := strings.Cut(p, "=")
			path, err := godbus.UnescapeBusAddressValue(value)
			switch {
			case err != nil || path == "":
			case key == "path":
				return path, nil
			case key == "abstract":
				return "@" + path, nil
			}
		}
	}
	return "", fmt.Errorf("bus address %.200q: expected unix:path=PATH", address)
}
