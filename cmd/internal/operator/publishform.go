package operator

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
	"github.com/updraft-ota/updraft/httpapi/publish"
	"github.com/updraft-ota/updraft/ota"
)

// send uploads files and manifest as one form, so that they become one
// revision, or none.
func (p *publishing) send(c *cobra.Command, api *client.Client) (done publish.Published, err error) {
	form := &formUpload{}
	defer form.close()
	form.begin()
	form.field("publish_id", p.id)
	if p.version != "" {
		form.field("version", p.version)
	}
	if p.force {
		form.field("force", "true")
	}
	for _, path := range p.files {
		if err := form.file(filepath.Base(path), path); err != nil {
			return done, err
		}
	}
	if p.manifest != "" {
		if err := form.file(ota.ManifestName, p.manifest); err != nil {
			return done, err
		}
	}
	form.end()
	bar := progress(c.ErrOrStderr(), "uploading", form.length)
	body := io.TeeReader(io.MultiReader(form.pieces...), bar)
	return read[publish.Published](postTo(c.Context(), api, "/publish", form.writer.FormDataContentType(), body, form.length))
}

// formUpload is a form whose length is known before its files are read, so
// that the server can refuse it before any byte is sent.
type formUpload struct {
	writer *multipart.Writer
	frame  bytes.Buffer // what was written since the last file
	pieces []io.Reader
	files  []*os.File
	length int64 // bytes
}

func (f *formUpload) begin() { f.writer = multipart.NewWriter(&f.frame) }

func (f *formUpload) field(name, value string) {
	_ = f.writer.WriteField(name, value) // a buffer takes everything
}

// file opens a file to be sent under a name.
func (f *formUpload) file(name, path string) error {
	file, length, err := openRegular(path)
	if err != nil {
		return err
	}
	f.files = append(f.files, file)
	if _, err := f.writer.CreateFormFile(name, filepath.Base(path)); err != nil {
		return err
	}
	f.flush()
	f.pieces = append(f.pieces, io.LimitReader(file, length))
	f.length += length
	return nil
}

func (f *formUpload) end() {
	_ = f.writer.Close() // as in field
	f.flush()
}

func (f *formUpload) flush() {
	piece := bytes.Clone(f.frame.Bytes())
	f.frame.Reset()
	f.pieces = append(f.pieces, bytes.NewReader(piece))
	f.length += int64(len(piece))
}

func (f *formUpload) close() {
	for _, file := range f.files {
		file.Close()
	}
}

// postTo sends a body to a path that the generated client does not have. A
// length that is given is announced, and the server's consent awaited.
func postTo(ctx context.Context, api *client.Client, path, contentType string, body io.Reader, length int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(api.Server, "/")+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	if length > 0 {
		req.ContentLength = length
		req.Header.Set("Expect", "100-continue")
	}
	for _, edit := range api.RequestEditors {
		if err := edit(ctx, req); err != nil {
			return nil, err
		}
	}
	return api.Client.Do(req)
}
