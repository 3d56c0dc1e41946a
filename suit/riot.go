package suit

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
