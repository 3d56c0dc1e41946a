package operator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/sign"
)

// progress shows on a terminal how far a transfer is; elsewhere it is silent.
func progress(w io.Writer, what string, size int64) io.Writer {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return io.Discard
	}
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

// openRegular opens a file to be read whole. It looks first: opening a pipe
// would wait for its other end.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}

// sumFile takes the sums that a signature is about, and rewinds.
func sumFile(f *os.File, size int64, progress io.Writer) (ota.Sums, error) {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sum, progress), f)
	if err == nil && n != size {
		err = fmt.Errorf("%s changed while it was read", f.Name())
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return ota.Sums{Size: n, SHA256: digestOf(sum)}, err
}

func digestOf(h hash.Hash) ota.Digest { return ota.Digest(hex.EncodeToString(h.Sum(nil))) }

// upload is a file on its way as the part "file" of a form (server.md 1.6).
// Its length is known beforehand, so that the server can refuse it before any
// byte is sent.
type upload struct {
	io.Reader
	contentType string
	length      int64
}

func newUpload(name string, file io.Reader, size int64) (*upload, error) {
	var frame bytes.Buffer
	form := multipart.NewWriter(&frame)
	if _, err := form.CreateFormFile("file", filepath.Base(name)); err != nil {
		return nil, err
	}
	head := bytes.Clone(frame.Bytes())
	frame.Reset()
	if err := form.Close(); err != nil {
		return nil, err
	}
	return &upload{
		Reader:      io.MultiReader(bytes.NewReader(head), io.LimitReader(file, size), &frame),
		contentType: form.FormDataContentType(),
		length:      int64(len(head)) + size + int64(frame.Len()),
	}, nil
}

// save writes what r yields to a file beside path, checks it, and renames it
// into place. What was at path is replaced only then.
func save(path string, r io.Reader, want ota.Sums, progress io.Writer) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		tmp.Close()
		os.Remove(tmp.Name()) // gone already if all went well
	}()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, sum, progress), r)
	if err != nil {
		return err
	}
	if got := digestOf(sum); n != want.Size || got != want.SHA256 {
		return fmt.Errorf("what arrived is not what was published: %d bytes with SHA-256 %s instead of %d with %s", n, got, want.Size, want.SHA256)
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// announce tells the server how much is to come, and waits for its consent.
func (u *upload) announce(_ context.Context, r *http.Request) error {
	r.ContentLength = u.length
	r.Header.Set("Expect", "100-continue")
	return nil
}

// signFile signs a file under a package id with the key in another.
func signFile(c *cobra.Command, keyFile string, id ota.PackageID, file *os.File, length int64) (string, error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return "", err
	}
	key, err := sign.ParsePrivate(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", keyFile, err)
	}
	sums, err := sumFile(file, length, progress(c.ErrOrStderr(), "signing "+filepath.Base(file.Name()), length))
	if err != nil {
		return "", err
	}
	return sign.Sign(key, id, sums), nil
}
