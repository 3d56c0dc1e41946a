package publish

import (
	"io"
	"mime"
	"net/http"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// Limits of what comes in.
const (
	maxFields = 64 << 10 // bytes of a body without files
	maxField  = 4 << 10  // bytes of one field
	maxParts  = 256      // of a form
)

// publish takes the files of a form, in whatever order its fields come: bytes
// are stored as they arrive, and mean nothing until all of it is decided.
func (d *door) publish(w http.ResponseWriter, r *http.Request, ns ota.Namespace) (int, any, error) {
	if r.ContentLength > d.Fleet.MaxUpload+maxFields {
		return 0, nil, d.tooLarge()
	}
	form, err := httpapi.OpenForm(w, r)
	if err != nil {
		return 0, nil, malformed(err)
	}
	defer form.Close()
	in := &upload{door: d, form: form, left: d.Fleet.MaxUpload}
	if err := in.read(r); err != nil {
		return 0, nil, err
	}
	out, err := d.Fleet.Publish(r.Context(), ns, in.Publication)
	return http.StatusCreated, published(d.Fleet, out), err
}

func (d *door) tooLarge() error {
	return ota.Fail(ota.KindTooLarge, "too_large", "the files may hold at most %d bytes together", d.Fleet.MaxUpload)
}

// upload is a form as it arrives.
type upload struct {
	*door
	form *httpapi.Form
	left int64 // bytes that its files may still have
	said map[string]bool
	fleet.Publication
}

func (u *upload) read(r *http.Request) error {
	u.said = map[string]bool{}
	for range maxParts {
		part, err := u.form.Next()
		switch {
		case err == io.EOF:
			return u.whole()
		case err != nil:
			return malformed(err)
		case isFile(part):
			err = u.file(r, part)
		default:
			err = u.field(part)
		}
		if err != nil {
			return err
		}
	}
	return malformed(ota.Invalid("the form has more than %d parts", maxParts))
}

// whole looks at a form that has ended.
func (u *upload) whole() error {
	if !u.said["publish_id"] {
		return malformed(ota.Invalid("the form has no field publish_id"))
	}
	if len(u.Files) == 0 {
		return malformed(ota.Invalid("No file found in request: send files with a file name, such as -F file1=@FILE"))
	}
	return nil
}

// isFile tells a file from a field: it has a file name, be it an empty one.
func isFile(part httpapi.Part) bool {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	_, named := params["filename"]
	return err == nil && named
}

func (u *upload) file(r *http.Request, part httpapi.Part) error {
	if part.FileName() == "" {
		// What a browser sends if no file was chosen.
		if n, err := part.Read(make([]byte, 1)); n == 0 && err == io.EOF {
			return nil
		}
		return ota.Invalid("a file in field %.40q has no file name", part.FormName())
	}
	name, err := ota.StoredName(part.FormName(), part.FileName())
	if err != nil {
		return err
	}
	u.form.File()
	a, err := u.Fleet.PutFile(r.Context(), name, part, u.left)
	switch {
	case ota.KindOf(err) == ota.KindTooLarge:
		return u.tooLarge()
	case err != nil:
		return malformed(err)
	}
	u.left -= a.Size
	u.Files = append(u.Files, a)
	return nil
}

// field reads a field, and refuses at once what makes the rest pointless.
func (u *upload) field(part httpapi.Part) (err error) {
	name := part.FormName()
	text, err := io.ReadAll(io.LimitReader(part, maxField+1))
	switch {
	case err != nil:
		return malformed(err)
	case len(text) > maxField:
		return malformed(ota.Invalid("field %.40q is longer than %d bytes", name, maxField))
	case u.said[name]:
		return ota.Invalid("field %.40q is given twice", name)
	}
	u.said[name] = true
	switch name {
	case "publish_id":
		u.ID = string(text)
		_, err = ota.CleanPublishID(u.ID)
	case "version":
		u.Version = string(text)
	case "force":
		u.Force, err = yes(string(text))
	default:
		err = ota.Invalid("field %.40q is not known; a file needs a file name, such as -F %[1]s=@FILE", name)
	}
	return err
}

// yes reads a switch as forms and people write it.
func yes(s string) (bool, error) {
	switch s {
	case "1", "true", "on", "yes":
		return true, nil
	case "", "0", "false", "off", "no":
		return false, nil
	}
	return false, ota.Invalid("force: expected true or false")
}
