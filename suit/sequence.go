package suit

import (
	"github.com/updraft-ota/updraft/ota"
)

// Sequence is a list of commands, done one after another.
type Sequence []Command

// Command is one step of a sequence. Which of the members has its argument
// depends on the code; those of conditions and most directives have only a
// reporting policy.
type Command struct {
	Code   Code
	Offset int // of the command within its section, in bytes: what a report names
	Policy uint64
	Index  Index         // set-component-index
	Params Params        // set-parameters, override-parameters
	Tries  []Sequence    // try-each; an empty one may come last, and always succeeds
	Run    Sequence      // run-sequence
	Many   []IndexParams // override-multiple
	Copies []Copied      // copy-params
	Other  Raw           // argument of a command that is not known
}

// Index selects the components that the following commands are about.
type Index struct {
	All  bool
	List []uint64
}

// IndexParams sets parameters of a component.
type IndexParams struct {
	Index  uint64
	Params Params
}

// Copied takes parameters over from another component.
type Copied struct {
	From uint64
	Keys []int64
}

// The bits of a reporting policy.
const (
	recordSuccess = 1 << iota
	recordFailure
)

// readSequence reads a sequence that begins at offset base of its section.
func readSequence(content []byte, base, depth int) (Sequence, error) {
	if depth > maxNested {
		return nil, ota.Invalid("more than %d sequences are nested in each other", maxNested)
	}
	it, err := whole(content)
	if err != nil {
		return nil, err
	}
	elements, err := it.array()
	if err != nil {
		return nil, err
	}
	if len(elements)%2 != 0 {
		return nil, ota.Invalid("its last command has no argument")
	}
	_, at, _ := it.head()
	seq := make(Sequence, 0, len(elements)/2)
	for i := 0; i < len(elements); i += 2 {
		code, arg := elements[i], elements[i+1]
		n, err := code.int()
		if err != nil {
			return nil, err
		}
		c := Command{Code: Code(n), Offset: base + at}
		if err := c.readArgument(arg, base+at+len(code), depth); err != nil {
			return nil, within(c.Code.String(), err)
		}
		seq = append(seq, c)
		at += len(code) + len(arg)
	}
	return seq, nil
}

// readArgument reads what follows a code; base is its offset.
func (c *Command) readArgument(arg item, base, depth int) (err error) {
	switch c.Code {
	case SetComponent:
		c.Index, err = readIndex(arg)
	case SetParameters, OverrideParameters:
		c.Params, err = readParams(arg)
	case TryEach:
		c.Tries, err = readTries(arg, base, depth)
	case RunSequence, RIOTRunSequence:
		c.Run, err = readNested(arg, base, depth)
	case OverrideMultiple:
		c.Many, err = readMany(arg)
	case CopyParameters:
		c.Copies, err = readCopies(arg)
	default:
		if _, known := commandNames[c.Code]; !known {
			c.Other = Raw(arg)
		} else {
			c.Policy, err = arg.uint()
		}
	}
	return err
}

func readIndex(arg item) (Index, error) {
	switch arg.major() {
	case majorSimple:
		all, err := arg.bool()
		if err == nil && !all {
			err = ota.Invalid("it selects no component")
		}
		return Index{All: all}, err
	case majorArray:
		elements, err := arg.array()
		switch {
		case err == nil && len(elements) == 0: // what is asked of nobody always holds
			err = ota.Invalid("it selects no component")
		case len(elements) > maxTargets:
			err = ota.Invalid("it selects more than %d components", maxTargets)
		}
		index := Index{List: make([]uint64, len(elements))}
		for i := 0; err == nil && i < len(elements); i++ {
			index.List[i], err = elements[i].uint()
		}
		return index, err
	}
	n, err := arg.uint()
	return Index{List: []uint64{n}}, err
}

func readNested(arg item, base, depth int) (Sequence, error) {
	content, err := arg.bytes()
	if err != nil {
		return nil, err
	}
	return readSequence(content, base+len(arg)-len(content), depth+1)
}

func readTries(arg item, base, depth int) ([]Sequence, error) {
	elements, err := arg.array()
	if err != nil {
		return nil, err
	}
	_, size, _ := arg.head()
	base += size
	tries := make([]Sequence, len(elements))
	for i, el := range elements {
		if !el.null() {
			if tries[i], err = readNested(el, base, depth); err != nil {
				return nil, err
			}
		} else if i != len(elements)-1 {
			return nil, ota.Invalid("nothing may only be tried last")
		}
		base += len(el)
	}
	return tries, nil
}

func readMany(arg item) ([]IndexParams, error) {
	pairs, err := arg.pairs()
	many := make([]IndexParams, len(pairs))
	for i := 0; err == nil && i < len(pairs); i++ {
		if many[i].Index, err = pairs[i].key.uint(); err == nil {
			many[i].Params, err = readParams(pairs[i].value)
		}
	}
	return many, err
}

func readCopies(arg item) ([]Copied, error) {
	pairs, err := arg.pairs()
	if len(pairs) > maxParams {
		return nil, ota.Invalid("it copies from more than %d components", maxParams)
	}
	copies := make([]Copied, len(pairs))
	for i := 0; err == nil && i < len(pairs); i++ {
		if copies[i].From, err = pairs[i].key.uint(); err == nil {
			copies[i].Keys, err = pairs[i].value.ints()
		}
		if len(copies[i].Keys) > maxParams {
			err = ota.Invalid("it copies more than %d parameters", maxParams)
		}
	}
	return copies, err
}

// appendSequence writes a sequence; offsets are not looked at.
func appendSequence(b []byte, seq Sequence) []byte {
	b = appendHead(b, majorArray, uint64(2*len(seq)))
	for _, c := range seq {
		b = c.appendArgument(appendInt(b, int64(c.Code)))
	}
	return b
}

func (c Command) appendArgument(b []byte) []byte {
	switch c.Code {
	case SetComponent:
		return appendIndex(b, c.Index)
	case SetParameters, OverrideParameters:
		return appendParams(b, c.Params)
	case TryEach:
		b = appendHead(b, majorArray, uint64(len(c.Tries)))
		for _, try := range c.Tries {
			if try == nil {
				b = append(b, cborNull)
			} else {
				b = appendBytes(b, appendSequence(nil, try))
			}
		}
		return b
	case RunSequence, RIOTRunSequence:
		return appendBytes(b, appendSequence(nil, c.Run))
	case OverrideMultiple:
		b = appendHead(b, majorMap, uint64(len(c.Many)))
		for _, m := range c.Many {
			b = appendParams(appendHead(b, majorUint, m.Index), m.Params)
		}
		return b
	case CopyParameters:
		b = appendHead(b, majorMap, uint64(len(c.Copies)))
		for _, m := range c.Copies {
			b = appendInts(appendHead(b, majorUint, m.From), m.Keys)
		}
		return b
	}
	if c.Other != nil {
		return append(b, c.Other...)
	}
	return appendHead(b, majorUint, c.Policy)
}

func appendIndex(b []byte, index Index) []byte {
	switch {
	case index.All:
		return append(b, cborTrue)
	case len(index.List) == 1:
		return appendHead(b, majorUint, index.List[0])
	}
	b = appendHead(b, majorArray, uint64(len(index.List)))
	for _, n := range index.List {
		b = appendHead(b, majorUint, n)
	}
	return b
}
