package coap

// OptionID is the number of an option. Odd ones are critical: who does not
// understand them must not act on the message (RFC 7252 5.4.1).
type OptionID uint16

// Options an update server meets (coap-suit.md 2.1).
const (
	IfMatch       OptionID = 1
	URIHost       OptionID = 3
	ETag          OptionID = 4
	IfNoneMatch   OptionID = 5
	Observe       OptionID = 6
	URIPort       OptionID = 7
	LocationPath  OptionID = 8
	URIPath       OptionID = 11
	ContentFormat OptionID = 12
	MaxAge        OptionID = 14
	URIQuery      OptionID = 15
	HopLimit      OptionID = 16
	Accept        OptionID = 17
	LocationQuery OptionID = 20
	Block2        OptionID = 23
	Block1        OptionID = 27
	Size2         OptionID = 28
	ProxyURI      OptionID = 35
	ProxyScheme   OptionID = 39
	Size1         OptionID = 60
	Echo          OptionID = 252
	NoResponse    OptionID = 258
	RequestTag    OptionID = 292
)

// Critical reports whether a message with this option must be refused by who
// does not understand it.
func (id OptionID) Critical() bool { return id&1 == 1 }

// Format is a Content-Format number (RFC 7252 12.3).
type Format uint16

// Content-Formats that are served or understood.
const (
	TextPlain   Format = 0
	LinkFormat  Format = 40
	OctetStream Format = 42
	JSON        Format = 50
	CBOR        Format = 60
)

// Option is one option of a message.
type Option struct {
	ID    OptionID
	Value []byte
}

// optionRule is what the RFCs demand of an option's value.
type optionRule struct {
	min, max   int // bytes
	repeatable bool
}

// rule returns what holds for an option this package understands in a
// request; ok is false for all others. If-Match and If-None-Match are among
// the others: a condition that nobody checks must be refused.
func (id OptionID) rule() (r optionRule, ok bool) {
	switch id {
	case URIHost:
		return optionRule{1, 255, false}, true
	case ETag:
		return optionRule{1, 8, true}, true
	case Observe, Block1, Block2:
		return optionRule{0, 3, false}, true
	case URIPort, ContentFormat, Accept:
		return optionRule{0, 2, false}, true
	case URIPath, URIQuery, LocationPath, LocationQuery:
		return optionRule{0, 255, true}, true
	case MaxAge, Size1, Size2:
		return optionRule{0, 4, false}, true
	case HopLimit:
		return optionRule{1, 1, false}, true
	case ProxyURI:
		return optionRule{1, 1034, false}, true
	case ProxyScheme:
		return optionRule{1, 255, false}, true
	case Echo:
		return optionRule{1, 40, false}, true
	case NoResponse:
		return optionRule{0, 1, false}, true
	case RequestTag:
		return optionRule{0, 8, true}, true
	}
	return optionRule{}, false
}

// understand removes from a request's options the elective ones that are
// unknown, repeated or of a wrong length, as if they had not been sent. A
// critical one like that makes it answer 4.02 (RFC 7252 5.4), an option meant
// for a proxy 5.05. The code is Empty if the request may be handled.
func understand(o Options) (Options, Code) {
	kept := o[:0]
	for i, opt := range o {
		r, known := opt.ID.rule()
		repeated := i > 0 && o[i-1].ID == opt.ID && !r.repeatable
		if known && !repeated && len(opt.Value) >= r.min && len(opt.Value) <= r.max {
			if opt.ID == ProxyURI || opt.ID == ProxyScheme {
				return nil, ProxyingNotSupported
			}
			kept = append(kept, opt)
			continue
		}
		if opt.ID.Critical() {
			return nil, BadOption
		}
	}
	return kept, Empty
}
