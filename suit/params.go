package suit

import (
	"slices"

	"github.com/google/uuid"

	"github.com/updraft-ota/updraft/ota"
)

// Param is a parameter with its value, whose type its key tells:
//
//	uuid.UUID or PEN   vendor; uuid.UUID class, device
//	Digest             image-digest
//	uint64             use-before, component-slot, image-size, source-component, minimum-battery
//	int64              update-priority
//	bool               strict-order, soft-failure
//	string             uri
//	Versions           version
//	[]byte             content, encryption-info, invoke-args, fetch-arguments, wait-info, component-metadata
//	Raw                any other
type Param struct {
	Key   ParamKey
	Value any
}

// Params are parameters in the order they were written.
type Params []Param

// Raw is CBOR that is passed through as it stands.
type Raw []byte

// PEN is a vendor named by its private enterprise number: the content of
// CBOR tag 112, a relative object identifier.
type PEN []byte

// Versions is a condition on a version: Comparison is 1 for >, 2 >=, 3 =,
// 4 <=, 5 <.
type Versions struct {
	Comparison uint64
	Version    []int64
}

const tagPEN = 112

// Get returns the value of a parameter, nil if it is not set.
func (ps Params) Get(key ParamKey) any {
	if i := ps.index(key); i >= 0 {
		return ps[i].Value
	}
	return nil
}

func (ps Params) index(key ParamKey) int {
	return slices.IndexFunc(ps, func(p Param) bool { return p.Key == key })
}

func readParams(it item) (Params, error) {
	pairs, err := it.pairs()
	if err != nil {
		return nil, err
	}
	if len(pairs) > maxParams {
		return nil, ota.Invalid("it sets more than %d parameters", maxParams)
	}
	params := make(Params, len(pairs))
	for i, p := range pairs {
		key, err := p.key.int()
		if err != nil {
			return nil, err
		}
		value, err := readParam(ParamKey(key), p.value)
		if err != nil {
			return nil, within(ParamKey(key).String(), err)
		}
		params[i] = Param{ParamKey(key), value}
	}
	return params, nil
}

func readParam(key ParamKey, it item) (any, error) {
	switch key {
	case ParamVendor:
		return readVendor(it)
	case ParamClass, ParamDevice:
		return readUUID(it)
	case ParamDigest:
		in, err := readWrapped(it)
		if err != nil {
			return nil, err
		}
		return readDigest(in)
	case ParamUseBefore, ParamSlot, ParamSize, ParamSource, ParamBattery:
		return it.uint()
	case ParamPriority:
		return it.int()
	case ParamStrictOrder, ParamSoftFailure:
		return it.bool()
	case ParamURI:
		return it.text()
	case ParamVersion:
		return readVersions(it)
	case ParamContent, ParamEncryption, ParamInvokeArgs, ParamFetchArguments, ParamWait, ParamMetadata:
		return it.bytes()
	}
	return Raw(it), nil
}

// readWrapped reads the item in a byte string.
func readWrapped(it item) (item, error) {
	content, err := it.bytes()
	if err != nil {
		return nil, err
	}
	return whole(content)
}

func readVendor(it item) (any, error) {
	if it.major() != majorTag {
		return readUUID(it)
	}
	number, in, err := it.tag()
	if err != nil {
		return nil, err
	}
	if number != tagPEN {
		return nil, ota.Invalid("it has tag %d, not %d", number, tagPEN)
	}
	pen, err := in.bytes()
	return PEN(pen), err
}

func readUUID(it item) (any, error) {
	b, err := it.bytes()
	if err != nil {
		return nil, err
	}
	if len(b) != len(uuid.UUID{}) {
		return nil, ota.Invalid("a UUID is 16 bytes long, this one is %d", len(b))
	}
	return uuid.UUID(b), nil
}

func readVersions(it item) (any, error) {
	in, err := readWrapped(it)
	if err != nil {
		return nil, err
	}
	parts, err := in.array()
	if err != nil {
		return nil, err
	}
	if len(parts) != 2 {
		return nil, ota.Invalid("it has %d parts, not 2", len(parts))
	}
	comparison, err := parts[0].uint()
	if err != nil {
		return nil, err
	}
	numbers, err := parts[1].ints()
	return Versions{comparison, numbers}, err
}

// appendParams writes parameters in the order given.
func appendParams(b []byte, ps Params) []byte {
	b = appendHead(b, majorMap, uint64(len(ps)))
	for _, p := range ps {
		b = appendValue(appendInt(b, int64(p.Key)), p.Value)
	}
	return b
}

func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case uuid.UUID:
		return appendBytes(b, v[:])
	case PEN:
		return appendBytes(appendHead(b, majorTag, tagPEN), v)
	case Digest:
		return appendBytes(b, appendDigest(nil, v))
	case uint64:
		return appendHead(b, majorUint, v)
	case int64:
		return appendInt(b, v)
	case bool:
		return appendBool(b, v)
	case string:
		return appendText(b, v)
	case Versions:
		in := appendHead(appendHead(nil, majorArray, 2), majorUint, v.Comparison)
		return appendBytes(b, appendInts(in, v.Version))
	case []byte:
		return appendBytes(b, v)
	case Raw:
		return append(b, v...)
	}
	panic("suit: a parameter of a type that is not in its table")
}

func appendInts(b []byte, numbers []int64) []byte {
	b = appendHead(b, majorArray, uint64(len(numbers)))
	for _, n := range numbers {
		b = appendInt(b, n)
	}
	return b
}
