package swm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm/image"
)

// open unpacks an image and reads its manifest.
func (m *Manager) open(ctx context.Context, r record) error {
	if err := os.MkdirAll(m.workDir(r), 0o700); err != nil {
		return err
	}
	err := image.Unpack(ctx, r.Image, m.imageDir(r), m.Limits)
	var manifest image.Manifest
	if err == nil {
		manifest, err = image.Load(m.imageDir(r))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.Update = manifest.Update
	switch {
	case r.Told != "" && r.Update != "" && r.Told != r.Update && err == nil:
		err = ota.Invalid("the image was made for update %s", r.Update)
		r.Update = r.Told
	case r.Update == "" && r.Told != "":
		r.Update = r.Told
	case r.Update == "":
		r.Update = ota.UpdateID(filepath.Base(r.Image))
	}
	r.Step = unpacked
	if err != nil {
		m.Log.Warn("the image cannot be used", "image", r.Image, "update", r.Update, "err", err)
		r.Step, r.Results = concluded, ota.Outcome(r.Update, codeOf(err), clean(err.Error(), maxReportText)).Results
	}
	return m.put(r)
}

// codeOf is the result code for what went wrong with an image.
func codeOf(err error) ota.ResultCode {
	switch ota.KindOf(err) {
	case ota.KindInvalid, ota.KindTooLarge:
		return ota.ValidationFailed
	case ota.KindNoSpace:
		return ota.DiskFull
	case ota.KindUnavailable:
		return ota.GeneralError
	}
	if errors.Is(err, syscall.ENOSPC) {
		return ota.DiskFull
	}
	return ota.InternalError
}
