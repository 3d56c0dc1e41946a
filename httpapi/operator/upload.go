package operator

import (
	"context"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// upload is a package as it arrives. Its form is read by hand, as nothing of
// a file may be buffered.
type upload struct {
	OnePackage
	Description string `query:"description"`
	Vendor      string `query:"vendor"`
	Signature   string `query:"signature" doc:"of the file, see the sign command; another form is passed through to devices"`
	Force       bool   `query:"force" doc:"replace a package that updates refer to by other bytes"`

	r *http.Request
	w http.ResponseWriter
}

// Resolve implements huma.Resolver.
func (u *upload) Resolve(ctx huma.Context) []error {
	u.r, u.w = humago.Unwrap(ctx)
	return nil
}

var uploadForm = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
	"multipart/form-data": {Schema: &huma.Schema{
		Type:       huma.TypeObject,
		Properties: map[string]*huma.Schema{"file": binary},
		Required:   []string{"file"},
	}},
}}

// putPackage takes an upload, or refuses it without reading it to its end.
func (a *api) putPackage(ctx context.Context, in *upload) (*struct{}, error) {
	err := a.takeUpload(ctx, in)
	if err != nil {
		httpapi.Abandon(in.w, in.r)
	}
	return nil, err
}

func (a *api) takeUpload(ctx context.Context, in *upload) error {
	if in.r.ContentLength > a.fleet.MaxUpload+2*httpapi.FormOverhead {
		return ota.Fail(ota.KindTooLarge, "too_large", "a package may hold at most %d bytes", a.fleet.MaxUpload)
	}
	form, err := httpapi.OpenForm(in.w, in.r)
	if err != nil {
		return err
	}
	defer form.Close()
	file, err := openFile(form)
	if err != nil {
		return err
	}
	_, err = a.fleet.PutPackage(ctx, in.ns(), fleet.NewPackage{
		ID: in.id(), Description: in.Description, Vendor: in.Vendor, Signature: in.Signature, Replace: in.Force,
	}, file)
	return err
}

// formFile is the file of a form. It ends only where the whole form ends as
// it should: a form that is cut off behind its file may have lost a part.
type formFile struct {
	form *httpapi.Form
	part io.Reader // the file; nil once it is read
}

// openFile finds the part named file. Other parts are passed over, as the
// original does.
func openFile(form *httpapi.Form) (*formFile, error) {
	part, err := nextFile(form)
	if err == io.EOF {
		return nil, ota.Invalid("the form has no part named file")
	}
	if err != nil {
		return nil, err
	}
	form.File() // whoever reads the file knows its limit
	return &formFile{form, part}, nil
}

func (f *formFile) Read(p []byte) (int, error) {
	if f.part == nil {
		return 0, io.EOF
	}
	n, err := f.part.Read(p)
	if err == io.EOF {
		f.part = nil
		err = f.end()
	}
	return n, err
}

// end looks at what follows the file, to the end of the body: nothing that
// counts.
func (f *formFile) end() error {
	_, err := nextFile(f.form)
	if err == nil {
		err = ota.Invalid("the form has more than one part named file")
	}
	return err
}

// nextFile goes to the next part named file. It fails with io.EOF where the
// form ends without one.
func nextFile(form *httpapi.Form) (httpapi.Part, error) {
	for {
		part, err := form.Next()
		if err != nil || part.FormName() == "file" {
			return part, err
		}
	}
}
