package operator

import (
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/ota"
)

// Page is a piece of a list: all of it unless an offset or a limit is given.
type Page struct {
	Offset int `query:"offset" minimum:"0"`
	Limit  int `query:"limit" minimum:"1" doc:"50 if only an offset is given; without both, everything"`
}

// Resolve implements huma.Resolver.
func (p *Page) Resolve(ctx huma.Context) []error {
	if p.Limit == 0 && ctx.Query("offset") != "" {
		p.Limit = 50
	}
	return nil
}

// cut returns the page of a list.
func cut[T any](p Page, list []T) []T {
	list = list[min(p.Offset, len(list)):]
	if p.Limit > 0 {
		list = list[:min(p.Limit, len(list))]
	}
	return list
}

// Paged is a piece of a list that tells where it lies in the whole.
type Paged[T any] struct {
	Total  int `json:"total" doc:"of the whole list"`
	Limit  int `json:"limit" doc:"as asked for; the total if it was not"`
	Offset int `json:"offset"`
	Values []T `json:"values"`
}

func paged[T any](p Page, total int, values []T) Paged[T] {
	if p.Limit == 0 {
		p.Limit = total
	}
	return Paged[T]{Total: total, Limit: p.Limit, Offset: p.Offset, Values: values}
}

// each translates a list. No list is null on the wire.
func each[T, U any](list []T, f func(T) U) []U {
	out := make([]U, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// compile reads a search pattern (RE2, unanchored). Empty matches everything.
// It fails with KindInvalid.
func compile(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > 1000 {
		return nil, ota.Invalid("regex is longer than 1000 bytes")
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, ota.Invalid("regex: %v", err)
	}
	return re, nil
}

// moment is a time that may be missing, in UTC.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
