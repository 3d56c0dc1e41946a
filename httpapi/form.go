package httpapi

import (
	"errors"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// FormOverhead is what a form may hold before its first file, between files,
// and behind the last one, in bytes: the heads of its parts, fields, and parts
// nobody asked for.
const FormOverhead = 64 << 10

// formPatience is how long an upload may stand still.
const formPatience = time.Minute

// Form is a multipart/form-data body that is read as it arrives: nothing of
// its files is buffered. What is wrong with it is KindInvalid.
type Form struct {
	parts *multipart.Reader
	body  *arriving
	file  bool // the current part is one
}

// Part is a part of a form; its errors are KindInvalid.
type Part struct{ *multipart.Part }

// OpenForm begins to read a request's form. Close it.
func OpenForm(w http.ResponseWriter, r *http.Request) (*Form, error) {
	body := &arriving{ReadCloser: r.Body, ctl: http.NewResponseController(w), left: FormOverhead}
	r.Body = wholeForm{io.MultiReader(body, strings.NewReader("\r\n"), cutOff{}), body}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, ota.Invalid("send multipart/form-data: %v", err)
	}
	return &Form{parts: parts, body: body}, nil
}

// Close ends the reading, wherever it is.
func (f *Form) Close() {
	// A deadline that passed later would look as if the client had gone.
	_ = f.body.ctl.SetReadDeadline(time.Time{})
}

// Next goes to the next part. It fails with io.EOF where the whole form ends
// as it should: one that is cut off may have lost a part.
func (f *Form) Next() (Part, error) {
	if f.file {
		f.file, f.body.left = false, FormOverhead
	}
	part, err := f.parts.NextRawPart()
	if err == io.EOF {
		if _, err := io.Copy(io.Discard, f.body); err != nil { // what follows counts for nothing
			return Part{}, badForm(err)
		}
		return Part{}, io.EOF
	}
	if err != nil {
		return Part{}, badForm(err)
	}
	return Part{part}, nil
}

// File says that the current part is a file, whose length is limited by
// whoever reads it.
func (f *Form) File() { f.file, f.body.left = true, math.MaxInt64 }

func (p Part) Read(b []byte) (int, error) {
	n, err := p.Part.Read(b)
	if err != nil && err != io.EOF {
		err = badForm(err)
	}
	return n, err
}

// badForm names a form that ends early or is malformed as what it is.
func badForm(err error) error {
	if _, ok := errors.AsType[*ota.Error](err); ok {
		return err
	}
	return ota.Invalid("the upload ended early or is malformed: %v", err)
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

// arriving is a body that gives every piece its own deadline and has no more
// than so many bytes left.
type arriving struct {
	io.ReadCloser
	ctl  *http.ResponseController
	left int64
}

func (b *arriving) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ota.Invalid("the form holds more than %d bytes beside its files", FormOverhead)
	}
	// Writers without deadlines leave the limit of time to the server.
	_ = b.ctl.SetReadDeadline(time.Now().Add(formPatience))
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ota.Invalid("the upload stood still for %v", formPatience)
	}
	return n, err
}
