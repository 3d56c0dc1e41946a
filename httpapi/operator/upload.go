package operator

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/ota"
)

// overhead is what a form may hold beside its file, in bytes.
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

func (a *api) putPackage(ctx context.Context, in *upload) (*struct{}, error) {
	most := a.fleet.MaxUpload + overhead
	if in.r.ContentLength > most {
		return nil, tooLarge(a.fleet.MaxUpload)
	}
	ctl := http.NewResponseController(in.w)
	// A deadline that passed later would look as if the client had gone.
	defer func() { _ = ctl.SetReadDeadline(time.Time{}) }()
	in.r.Body = &arriving{ReadCloser: http.MaxBytesReader(in.w, in.r.Body, most), ctl: ctl, max: a.fleet.MaxUpload}
	form, err := in.r.MultipartReader()
	if err != nil {
		return nil, ota.Invalid("send multipart/form-data with one part named file: %v", err)
	}
	file, err := filePart(form)
	if err != nil {
		return nil, err
	}
	_, err = a.fleet.PutPackage(ctx, in.ns(), fleet.NewPackage{
		ID: in.id(), Description: in.Description, Vendor: in.Vendor, Signature: in.Signature, Replace: in.Force,
	}, file)
	return nil, err
}

// filePart finds the part named file; others before it are ignored, as the
// original does.
func filePart(form *multipart.Reader) (io.Reader, error) {
	for {
		part, err := form.NextRawPart()
		switch {
		case err == io.EOF:
			return nil, ota.Invalid("the form has no part named file")
		case err != nil:
			return nil, asInput(err)
		case part.FormName() == "file":
			return inputErrors{part}, nil
		}
	}
}

// inputErrors names a form that ends early or is malformed as what it is.
type inputErrors struct{ io.Reader }

func (r inputErrors) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = asInput(err)
	}
	return n, err
}

func asInput(err error) error {
	if _, ok := errors.AsType[*ota.Error](err); ok {
		return err
	}
	return ota.Invalid("the upload ended early or is malformed: %v", err)
}

// arriving gives every piece of a body its own deadline.
type arriving struct {
	io.ReadCloser
	ctl *http.ResponseController
	max int64
}

func (b *arriving) Read(p []byte) (int, error) {
	// Writers without deadlines leave the limit of time to the server.
	_ = b.ctl.SetReadDeadline(time.Now().Add(uploadPatience))
	n, err := b.ReadCloser.Read(p)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		err = tooLarge(b.max)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ota.Invalid("the upload stood still for %v", uploadPatience)
	}
	return n, err
}

func tooLarge(max int64) error {
	return ota.Fail(ota.KindTooLarge, "too_large", "a package may hold at most %d bytes", max)
}
