package suit

import "github.com/updraft-ota/updraft/ota"

func readReport(it item) (r Report, err error) {
	pairs, err := it.pairs()
	if err != nil {
		return r, err
	}
	seen := map[int64]bool{}
	for _, p := range pairs {
		key, err := p.key.int()
		if err == nil {
			seen[key] = true
			err = r.readKey(key, p.value)
		}
		if err != nil {
			return r, err
		}
	}
	if !seen[keyReference] || !seen[keyResult] {
		return r, ota.Invalid("it names no manifest, or no result")
	}
	return r, nil
}

// readKey reads a member; what other drafts add is passed over.
func (r *Report) readKey(key int64, value item) (err error) {
	switch key {
	case keyReference:
		err = r.readReference(value)
	case keyNonce:
		r.Nonce, err = value.bytes()
	case keyRecords:
		err = r.readRecords(value)
	case keyResult:
		if !value.isTrue() {
			r.Result, err = readResult(value)
		}
	case keyCapabilities:
		r.Capabilities = Raw(value)
	}
	return err
}

// readReference reads the URI, which may be missing, and the digest.
func (r *Report) readReference(value item) error {
	parts, err := value.array()
	if err != nil {
		return err
	}
	if len(parts) == 2 {
		if r.URI, err = parts[0].text(); err != nil {
			return err
		}
		parts = parts[1:]
	}
	if len(parts) != 1 {
		return ota.Invalid("its reference to the manifest has no digest")
	}
	r.Manifest, err = readDigest(parts[0])
	return err
}

func (r *Report) readRecords(value item) error {
	elements, err := value.array()
	if err != nil {
		return err
	}
	if len(elements) > maxRecords {
		return ota.Invalid("it has more than %d records", maxRecords)
	}
	for _, el := range elements {
		if el.major() == majorMap {
			c, err := readClaim(el)
			if err != nil {
				return err
			}
			r.Claims = append(r.Claims, c)
			continue
		}
		record, err := readRecord(el)
		if err != nil {
			return err
		}
		r.Records = append(r.Records, record)
	}
	return nil
}

func readClaim(it item) (c Claim, err error) {
	pairs, err := it.pairs()
	if err != nil {
		return c, err
	}
	for _, p := range pairs {
		key, err := p.key.int()
		if err != nil {
			return c, err
		}
		if key == keyClaim {
			c.Component, err = readComponent(p.value)
		} else {
			var value any
			value, err = readParam(ParamKey(key), p.value)
			c.Properties = append(c.Properties, Param{ParamKey(key), value})
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func readRecord(it item) (r Record, err error) {
	parts, err := it.array()
	if err != nil {
		return r, err
	}
	if len(parts) < 5 {
		return r, ota.Invalid("a record has %d parts, not 5", len(parts))
	}
	path, err := parts[0].array()
	for i := 0; err == nil && i < len(path); i++ {
		var n uint64
		n, err = path[i].uint()
		r.Manifest = append(r.Manifest, n)
	}
	if err != nil {
		return r, err
	}
	section, err := parts[1].int()
	if err != nil {
		return r, err
	}
	r.Section = SectionKey(section)
	if r.Offset, err = parts[2].uint(); err != nil {
		return r, err
	}
	if r.Component, err = parts[3].uint(); err != nil {
		return r, err
	}
	r.Properties, err = readParams(parts[4])
	if len(r.Properties) == 0 {
		r.Properties = nil
	}
	return r, err
}

func readResult(it item) (*Result, error) {
	pairs, err := it.pairs()
	if err != nil {
		return nil, err
	}
	r := &Result{}
	for _, p := range pairs {
		key, err := p.key.int()
		if err != nil {
			return nil, err
		}
		switch key {
		case keyResultCode:
			r.Code, err = p.value.int()
		case keyResultRecord:
			r.Record, err = readRecord(p.value)
		case keyResultReason:
			var n uint64
			n, err = p.value.uint()
			r.Reason = Reason(n)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}
