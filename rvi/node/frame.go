package node

import "time"

// The two values of mod in rcv (rvi.md 3.5).
const (
	moduleJSON    = "proto_json_rpc"
	moduleMsgpack = "proto_msgpack_rpc"
)

// frame is one message of the data link, its members as checked JSON, nil if
// absent (rvi.md 3.4).
type frame struct {
	cmd                           string
	ver, creds, certs, maxMessage []byte // au
	stat, svcs                    []byte // sa
	mod, data                     []byte // rcv
	piece                         string // frg, frg-get, frg-end or frg-err
	pieceArgs                     []byte
}

func readFrame(message []byte) (f frame, err error) {
	if checkJSON(message) != nil {
		return frame{}, closing("parse_error")
	}
	members(message, func(name string, v []byte) {
		switch name {
		case "cmd":
			f.cmd, _ = text(v)
		case "ver":
			f.ver = v
		case "creds":
			f.creds = v
		case "certs":
			f.certs = v
		case "max_msg_size":
			f.maxMessage = v
		case "stat":
			f.stat = v
		case "svcs":
			f.svcs = v
		case "mod":
			f.mod = v
		case "data":
			f.data = v
		case "frg", "frg-get", "frg-end", "frg-err":
			f.piece, f.pieceArgs = name, v
		}
	})
	return f, nil
}

// cargo is what a rcv brings.
type cargo struct {
	service string
	expires time.Time
	params  []byte
}

func (f frame) cargo(now time.Time) (c cargo, err error) {
	if mod, _ := text(f.mod); mod != moduleJSON && mod != moduleMsgpack {
		return cargo{}, dropping("bad_value:mod")
	}
	var service, timeout []byte
	object := members(f.data, func(name string, v []byte) {
		switch name {
		case "service":
			service = v
		case "timeout":
			timeout = v
		case "parameters":
			c.params = v
		}
	})
	if !object {
		return cargo{}, missing("data", f.data)
	}
	name, ok := text(service)
	if !ok {
		return cargo{}, missing("service", service)
	}
	if c.service, err = checkName(name); err != nil {
		return cargo{}, dropping("bad_value:service")
	}
	t, ok := integer(timeout)
	if !ok {
		return cargo{}, missing("timeout", timeout)
	}
	if c.expires, err = Expiry(t, now); err != nil {
		return cargo{}, dropping("bad_value:timeout")
	}
	if c.params == nil {
		return cargo{}, dropping("missing_field:parameters")
	}
	return c, nil
}

// missing tells an absent member from one of the wrong type.
func missing(field string, v []byte) error {
	if v == nil {
		return dropping("missing_field:" + field)
	}
	return dropping("wrong_type:" + field)
}

func appendAu(b []byte, creds []string) []byte {
	b = append(b, `{"cmd":"au","ver":"1.1","creds":`...)
	return append(appendTexts(b, creds), '}')
}

func appendSa(b []byte, available bool, names []string) []byte {
	stat := "un"
	if available {
		stat = "av"
	}
	b = append(b, `{"cmd":"sa","stat":"`+stat+`","svcs":`...)
	return append(appendTexts(b, names), '}')
}

// ping is exactly these 14 bytes, as a peer may echo as many (rvi.md Q20).
const ping = `{"cmd":"ping"}`
