package suit

import (
	"math"
	"slices"
	"strings"
)

// What RIOT's manifest processor knows (6.4). Everything else makes it refuse
// the whole manifest.
var (
	riotCommands = map[Code]bool{
		CheckVendor: true, CheckClass: true, CheckImage: true, CheckSlot: true, SetComponent: true, TryEach: true,
		SetParameters: true, OverrideParameters: true, Fetch: true, RIOTRunSequence: true,
	}
	riotParams = map[ParamKey]bool{
		ParamVendor: true, ParamClass: true, ParamDigest: true, ParamSlot: true, ParamSize: true, ParamURI: true,
	}
)

// RIOT's limits, as its build sets them unless told otherwise.
const (
	riotManifest  = 640 // bytes of the envelope
	riotURI       = 127 // bytes
	riotComponent = 32  // bytes of a component's name
	riotSignature = 180 // bytes of a signature
)

// riotSchemes are those that RIOT's client knows; coaps only with DTLS.
var riotSchemes = []string{"coap://", "coaps://", "file://", "test://"}

// checkRIOT finds what RIOT would refuse (6.4).
func (v *Verdict) checkRIOT(size int) {
	e, m := v.Envelope, v.Manifest
	if size > riotManifest {
		v.fault(FoundRIOT, "the manifest is %d bytes long, RIOT takes %d", size, riotManifest)
	}
	if e.Tagged {
		v.fault(FoundRIOT, "the envelope has a CBOR tag, which RIOT does not read")
	}
	if m.Sequence > math.MaxUint32 {
		v.fault(FoundRIOT, "sequence number %d is longer than 32 bits", m.Sequence)
	}
	if len(e.Members)+len(e.Payloads) > 0 {
		v.fault(FoundRIOT, "the envelope holds more than the manifest")
	}
	for _, b := range e.Blocks {
		if len(b.raw) > riotSignature {
			v.fault(FoundRIOT, "a signature is %d bytes long, RIOT takes %d", len(b.raw), riotSignature)
		}
	}
	if n := len(m.Components); n > 1 {
		v.warn(FoundRIOT, "%d components: RIOT must be built with CONFIG_SUIT_COMPONENT_MAX=%d", n, n)
	}
	for _, c := range m.Components {
		if n := len(strings.Join(c, "/")); n > riotComponent {
			v.fault(FoundRIOT, "component %s is %d bytes long, RIOT takes %d", c, n, riotComponent)
		}
	}
	m.walk(v.checkRIOTCommand)
}

func (v *Verdict) checkRIOTCommand(c Command) {
	if !riotCommands[c.Code] {
		v.fault(FoundRIOT, "RIOT does not know %s", c.Code)
	}
	for _, p := range c.Params {
		if !riotParams[p.Key] {
			v.fault(FoundRIOT, "RIOT does not know %s", p.Key)
		}
		uri, ok := p.Value.(string)
		switch {
		case !ok:
		case len(uri) > riotURI:
			v.fault(FoundRIOT, "%s is %d bytes long, RIOT takes %d", uri, len(uri), riotURI)
		case !slices.ContainsFunc(riotSchemes, func(s string) bool { return strings.HasPrefix(uri, s) }):
			v.fault(FoundRIOT, "RIOT cannot fetch %s: it knows coap and coaps", uri)
		}
	}
}
