package operator

import (
	"context"
	"errors"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// overhead is what a form may hold before its file, and again after it, in
// bytes: the heads of its parts, and parts nobody asked for.
const overhead = 64 << 10

// uploadPatience is how long an upload may stand still.
const uploadPatience = time.Minute

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
	if in.r.ContentLength > a.fleet.MaxUpload+2*overhead {
		return ota.Fail(ota.KindTooLarge, "too_large", "a package may hold at most %d bytes", a.fleet.MaxUpload)
	}
	ctl := http.NewResponseController(in.w)
	// A deadline that passed later would look as if the client had gone.
	defer func() { _ = ctl.SetReadDeadline(time.Time{}) }()
	body := &arriving{ReadCloser: in.r.Body, ctl: ctl, left: overhead}
	in.r.Body = wholeForm{io.MultiReader(body, strings.NewReader("\r\n"), cutOff{}), body}
	form, err := in.r.MultipartReader()
	if err != nil {
		return ota.Invalid("send multipart/form-data with one part named file: %v", err)
	}
	file, err := openFile(form, body)
	if err != nil {
		return err
	}
	_, err = a.fleet.PutPackage(ctx, in.ns(), fleet.NewPackage{
		ID: in.id(), Description: in.Description, Vendor: in.Vendor, Signature: in.Signature, Replace: in.Force,
	}, file)
	return err
}

// wholeForm is a body whose end is not the end of a form by itself: only the
// last boundary is, which multipart would not tell otherwise. That boundary
// needs no line end behind it, so it is given one.
type wholeForm struct {
	io.Reader
	io.Closer
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// formFile is the file of a form. It ends only where the whole form ends as
// it should: a form that is cut off behind its file may have lost a part.
type formFile struct {
	form *multipart.Reader
	body *arriving
	part *multipart.Part // the file; nil once it is read
}

// openFile finds the part named file. Other parts are passed over, as the
// original does.
func openFile(form *multipart.Reader, body *arriving) (*formFile, error) {
	part, err := nextFile(form)
	switch {
	case err == io.EOF:
		return nil, ota.Invalid("the form has no part named file")
	case err != nil:
		return nil, err
	}
	body.left = math.MaxInt64 // whoever reads the file knows its limit
	return &formFile{form, body, part}, nil
}

func (f *formFile) Read(p []byte) (int, error) {
	if f.part == nil {
		return 0, io.EOF
	}
	n, err := f.part.Read(p)
	switch {
	case err == io.EOF:
		f.part, f.body.left = nil, overhead
		return n, f.end()
	case err != nil:
		err = asInput(err)
	}
	return n, err
}

// end looks at what follows the file, to the end of the body: nothing that
// counts.
func (f *formFile) end() error {
	_, err := nextFile(f.form)
	if err == nil {
		return ota.Invalid("the form has more than one part named file")
	}
	if err != io.EOF {
		return err
	}
	if _, err := io.Copy(io.Discard, f.body); err != nil {
		return asInput(err)
	}
	return io.EOF
}

// nextFile goes to the next part named file. It fails with io.EOF where the
// form ends without one.
func nextFile(form *multipart.Reader) (*multipart.Part, error) {
	for {
		part, err := form.NextRawPart()
		switch {
		case err == io.EOF:
			return nil, err
		case err != nil:
			return nil, asInput(err)
		case part.FormName() == "file":
			return part, nil
		}
	}
}

// asInput names a form that ends early or is malformed as what it is.
func asInput(err error) error {
	if _, ok := errors.AsType[*ota.Error](err); ok {
		return err
	}
	return ota.Invalid("the upload ended early or is malformed: %v", err)
}

// arriving is a body that gives every piece its own deadline and has no more
// than so many bytes left.
type arriving struct {
	io.ReadCloser
	ctl  *http.ResponseController
	left int64
}

func (b *arriving) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ota.Invalid("the form holds more than %d bytes beside its file", overhead)
	}
	// Writers without deadlines leave the limit of time to the server.
	_ = b.ctl.SetReadDeadline(time.Now().Add(uploadPatience))
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ota.Invalid("the upload stood still for %v", uploadPatience)
	}
	return n, err
}
