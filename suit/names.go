package suit

import "fmt"

// Code is a command of a sequence (7.3).
type Code int64

// The commands, and RIOT's number of one of them.
const (
	CheckVendor        Code = 1
	CheckClass         Code = 2
	CheckImage         Code = 3
	CheckUseBefore     Code = 4
	CheckSlot          Code = 5
	CheckContent       Code = 6
	CheckDependency    Code = 7
	CheckIsDependency  Code = 8
	ProcessDependency  Code = 11
	SetComponent       Code = 12
	Abort              Code = 14
	TryEach            Code = 15
	Write              Code = 18
	SetParameters      Code = 19
	OverrideParameters Code = 20
	Fetch              Code = 21
	Copy               Code = 22
	Invoke             Code = 23
	CheckDevice        Code = 24
	CheckOtherImage    Code = 25
	CheckBattery       Code = 26
	CheckAuthorized    Code = 27
	CheckVersion       Code = 28
	Wait               Code = 29
	RIOTRunSequence    Code = 30
	Swap               Code = 31
	RunSequence        Code = 32
	Unlink             Code = 33
	OverrideMultiple   Code = 34
	CopyParameters     Code = 35
)

// privateLabels and below are numbers that anybody may use.
const privateLabels = -256

// conditions ask, and change nothing.
var conditions = map[Code]bool{
	CheckVendor: true, CheckClass: true, CheckImage: true, CheckUseBefore: true, CheckSlot: true, CheckContent: true,
	CheckDependency: true, CheckIsDependency: true, Abort: true, CheckDevice: true, CheckOtherImage: true,
	CheckBattery: true, CheckAuthorized: true, CheckVersion: true,
}

// sharedDirectives are those allowed in the shared sequence, which is run
// again and again (draft-37, 8.4.5).
var sharedDirectives = map[Code]bool{
	SetComponent: true, SetParameters: true, OverrideParameters: true, OverrideMultiple: true, CopyParameters: true,
	TryEach: true, RunSequence: true, RIOTRunSequence: true,
}

var commandNames = map[Code]string{
	CheckVendor:        "condition-vendor-identifier",
	CheckClass:         "condition-class-identifier",
	CheckImage:         "condition-image-match",
	CheckUseBefore:     "condition-use-before",
	CheckSlot:          "condition-component-slot",
	CheckContent:       "condition-check-content",
	CheckDependency:    "condition-dependency-integrity",
	CheckIsDependency:  "condition-is-dependency",
	ProcessDependency:  "directive-process-dependency",
	SetComponent:       "directive-set-component-index",
	Abort:              "condition-abort",
	TryEach:            "directive-try-each",
	Write:              "directive-write",
	SetParameters:      "directive-set-parameters",
	OverrideParameters: "directive-override-parameters",
	Fetch:              "directive-fetch",
	Copy:               "directive-copy",
	Invoke:             "directive-invoke",
	CheckDevice:        "condition-device-identifier",
	CheckOtherImage:    "condition-image-not-match",
	CheckBattery:       "condition-minimum-battery",
	CheckAuthorized:    "condition-update-authorized",
	CheckVersion:       "condition-version",
	Wait:               "directive-wait",
	RIOTRunSequence:    "directive-run-sequence",
	Swap:               "directive-swap",
	RunSequence:        "directive-run-sequence",
	Unlink:             "directive-unlink",
	OverrideMultiple:   "directive-override-multiple",
	CopyParameters:     "directive-copy-params",
}

func (c Code) String() string {
	if name, ok := commandNames[c]; ok {
		return name
	}
	return fmt.Sprintf("command %d", int64(c))
}

// ParamKey is a parameter that commands work with (7.4).
type ParamKey int64

// The parameters.
const (
	ParamVendor         ParamKey = 1
	ParamClass          ParamKey = 2
	ParamDigest         ParamKey = 3
	ParamUseBefore      ParamKey = 4
	ParamSlot           ParamKey = 5
	ParamStrictOrder    ParamKey = 12
	ParamSoftFailure    ParamKey = 13
	ParamSize           ParamKey = 14
	ParamContent        ParamKey = 18
	ParamEncryption     ParamKey = 19
	ParamURI            ParamKey = 21
	ParamSource         ParamKey = 22
	ParamInvokeArgs     ParamKey = 23
	ParamDevice         ParamKey = 24
	ParamFetchArguments ParamKey = 25
	ParamBattery        ParamKey = 26
	ParamPriority       ParamKey = 27
	ParamVersion        ParamKey = 28
	ParamWait           ParamKey = 29
	ParamMetadata       ParamKey = 30
)

var paramNames = map[ParamKey]string{
	ParamVendor:         "vendor-identifier",
	ParamClass:          "class-identifier",
	ParamDigest:         "image-digest",
	ParamUseBefore:      "use-before",
	ParamSlot:           "component-slot",
	ParamStrictOrder:    "strict-order",
	ParamSoftFailure:    "soft-failure",
	ParamSize:           "image-size",
	ParamContent:        "content",
	ParamEncryption:     "encryption-info",
	ParamURI:            "uri",
	ParamSource:         "source-component",
	ParamInvokeArgs:     "invoke-args",
	ParamDevice:         "device-identifier",
	ParamFetchArguments: "fetch-arguments",
	ParamBattery:        "minimum-battery",
	ParamPriority:       "update-priority",
	ParamVersion:        "version",
	ParamWait:           "wait-info",
	ParamMetadata:       "component-metadata",
}

func (k ParamKey) String() string {
	if name, ok := paramNames[k]; ok {
		return name
	}
	return fmt.Sprintf("parameter %d", int64(k))
}

// SectionKey is a sequence of the manifest. The dialects number some
// differently; these are the standard's numbers (7.2).
type SectionKey int64

// The sections, and Shared, which is run before each of them.
const (
	Shared                SectionKey = 3 // a part of common, which has this key
	Validate              SectionKey = 7
	Load                  SectionKey = 8
	InvokeSection         SectionKey = 9
	DependencyResolution  SectionKey = 15
	PayloadFetch          SectionKey = 16
	CandidateVerification SectionKey = 18
	Install               SectionKey = 20
	Uninstall             SectionKey = 24
)

var sectionNames = map[SectionKey]string{
	Shared:                "shared",
	Validate:              "validate",
	Load:                  "load",
	InvokeSection:         "invoke",
	DependencyResolution:  "dependency-resolution",
	PayloadFetch:          "payload-fetch",
	CandidateVerification: "candidate-verification",
	Install:               "install",
	Uninstall:             "uninstall",
}

func (k SectionKey) String() string { return sectionNames[k] }

// The numbers that RIOT gives to the two sections it reads (6.4).
const (
	riotInstall  = 9
	riotValidate = 10
)

// sectionOf finds the section that a key of a manifest stands for.
func (d Dialect) sectionOf(key int64) (SectionKey, bool) {
	if d == RIOT {
		switch key {
		case riotInstall:
			return Install, true
		case riotValidate:
			return Validate, true
		}
		return 0, false
	}
	_, ok := sectionNames[SectionKey(key)]
	return SectionKey(key), ok
}

// keyOf is the other way round.
func (d Dialect) keyOf(s SectionKey) int64 {
	if d == RIOT && s == Install {
		return riotInstall
	}
	if d == RIOT && s == Validate {
		return riotValidate
	}
	return int64(s)
}
