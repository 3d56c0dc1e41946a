package operator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/httpapi/operator"
)

// document is the published description, as a reader sees it.
type document struct {
	Paths      map[string]map[string]*operation
	Components struct{ Schemas map[string]*schema }
	seen       map[string]bool // operations that have succeeded
}

type operation struct {
	Responses map[string]struct {
		Content map[string]struct{ Schema *schema }
	}
}

// schema is as much of JSON Schema as the document uses in answers.
type schema struct {
	Ref        string `json:"$ref"`
	Type       string
	Format     string
	Enum       []any
	Properties map[string]*schema
	Required   []string
	Items      *schema
	Additional any `json:"additionalProperties"`
}

func readDocument(t *testing.T) *document {
	t.Helper()
	text, err := operator.Document()
	if err != nil {
		t.Fatal(err)
	}
	d := &document{seen: map[string]bool{}}
	if err := json.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheCommittedDocumentIsCurrent(t *testing.T) {
	want, err := operator.Document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("openapi.json")
	if err != nil || string(got) != string(want) {
		t.Errorf("openapi.json is not what the handlers are; run go generate ./httpapi/operator (%v)", err)
	}
}

var hole = regexp.MustCompile(`\\\{\w+\\\}`)

// find returns the documented operation a request is for.
func (d *document) find(r *http.Request) (string, *operation) {
	method := strings.ToLower(r.Method)
	for path, ops := range d.Paths {
		pattern := "^" + hole.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$"
		if ops[method] != nil && regexp.MustCompile(pattern).MatchString(r.URL.EscapedPath()) {
			return method + " " + path, ops[method]
		}
	}
	return "", nil
}

// check fails for an answer the document does not announce.
func (d *document) check(t *testing.T, r *http.Request, a answer) {
	t.Helper()
	name, op := d.find(r)
	switch {
	case op == nil && a.StatusCode < 400 && !strings.HasSuffix(r.URL.Path, "/openapi.json"):
		t.Errorf("%s %s answered %d, but is not documented", r.Method, r.URL.Path, a.StatusCode)
	case op != nil:
		d.seen[name] = d.seen[name] || a.StatusCode < 400
		d.checkAnswer(t, name, op, a)
	}
}

func (d *document) checkAnswer(t *testing.T, name string, op *operation, a answer) {
	t.Helper()
	resp, ok := op.Responses[fmt.Sprint(a.StatusCode)]
	if !ok && a.StatusCode >= 400 {
		resp, ok = op.Responses["default"]
	}
	if !ok {
		t.Errorf("%s: answer %d is not documented", name, a.StatusCode)
		return
	}
	if a.text == "" {
		return
	}
	media, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	content, ok := resp.Content[media]
	if !ok {
		t.Errorf("%s: answer %d as %q is not documented", name, a.StatusCode, media)
		return
	}
	if content.Schema.Format == "binary" || !strings.HasSuffix(media, "json") {
		return
	}
	var value any
	if err := json.Unmarshal([]byte(a.text), &value); err != nil {
		t.Errorf("%s: %q: %v", name, a.text, err)
		return
	}
	for _, fault := range d.faults(content.Schema, "answer", value) {
		t.Errorf("%s: %d breaks its schema: %s\n%s", name, a.StatusCode, fault, a.text)
	}
}

// faults lists where a value breaks its schema.
func (d *document) faults(s *schema, at string, v any) (out []string) {
	if s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) {
		out = append(out, fmt.Sprintf("%s: %v is none of %v", at, v, s.Enum))
	}
	switch v := v.(type) {
	case map[string]any:
		out = append(out, d.objectFaults(s, at, v)...)
	case []any:
		if s.Type != "array" && s.Type != "" {
			return append(out, at+": an array")
		}
		for i, item := range v {
			out = append(out, d.faults(s.Items, fmt.Sprintf("%s[%d]", at, i), item)...)
		}
	case string:
		if s.Type != "string" && s.Type != "" {
			return append(out, at+": a string")
		}
		if s.Format == "date-time" {
			if _, err := time.Parse(time.RFC3339Nano, v); err != nil || !strings.HasSuffix(v, "Z") {
				out = append(out, at+": "+v+" is no time in UTC")
			}
		}
	case float64:
		if s.Type != "integer" && s.Type != "" {
			out = append(out, at+": a number")
		}
	case bool:
		if s.Type != "boolean" && s.Type != "" {
			out = append(out, at+": a boolean")
		}
	default:
		out = append(out, at+": null")
	}
	return out
}

func (d *document) objectFaults(s *schema, at string, v map[string]any) (out []string) {
	if s.Type != "object" && s.Type != "" {
		return []string{at + ": an object"}
	}
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			out = append(out, at+": lacks "+name)
		}
	}
	for name, value := range v {
		if p, ok := s.Properties[name]; ok {
			out = append(out, d.faults(p, at+"."+name, value)...)
		} else if s.Additional == false {
			out = append(out, at+": has "+name)
		}
	}
	return out
}
