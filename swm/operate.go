package swm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unicode"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm/image"
)

// job is one attempt at an operation.
type job struct {
	image.Operation
	*Manager
	rec    record
	file   string // the operation's image, "" if it has none
	dir    string // for the operation alone, and the same in every attempt
	number int    // of this attempt, from 1
}

// again reports whether an earlier attempt was cut short, so that what is
// found done may be its work.
func (j *job) again() bool { return j.number > 1 }

// outcome is how an operation ended.
type outcome struct {
	code ota.ResultCode
	text string
}

func result(code ota.ResultCode, format string, args ...any) (outcome, error) {
	return outcome{code, fmt.Sprintf(format, args...)}, nil
}

// done is the outcome if all is as the operation would make it.
func (j *job) done(what string) (outcome, error) {
	if j.again() {
		return result(ota.OK, "%s", what)
	}
	return result(ota.AlreadyProcessed, "%s already", what)
}

// operate runs an update's next operation, or concludes it.
func (m *Manager) operate(ctx context.Context, r record) error {
	manifest, err := image.Load(m.imageDir(r))
	if err != nil {
		// It was there, and right. Only the disk or another program is to blame.
		r.Step = concluded
		r.Results = append(r.Results, ota.OperationResult{ID: string(r.Update), Code: ota.InternalError, Text: clean(err.Error(), maxReportText)})
		return m.put(r)
	}
	n := len(r.Results)
	if n >= len(manifest.Operations) {
		r.Step, r.Running = concluded, nil
		return m.put(r)
	}
	if err := m.await(ctx, r.Running); err != nil {
		return err
	}
	r.Attempts, r.Running = r.Attempts+1, nil
	j := &job{Operation: manifest.Operations[n], Manager: m, dir: m.opDir(r), number: r.Attempts}
	if j.Image != "" {
		j.file = j.File(m.imageDir(r))
	}
	if j.number == 1 {
		if err := os.RemoveAll(j.dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	if err := m.put(r); err != nil {
		return err
	}
	j.rec = r
	m.Log.Info("operation begins", "update", r.Update, "operation", j.ID, "kind", j.Kind, "attempt", j.number)
	out, err := j.run(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		out = j.failure(err)
	}
	m.Log.Info("operation ended", "update", r.Update, "operation", j.ID, "code", out.code)
	limit := textLimit(len(manifest.Operations))
	r.Results = append(r.Results, ota.OperationResult{ID: j.ID, Code: out.code, Text: clean(out.text, limit)})
	r.Attempts, r.Running = 0, nil
	if !out.code.Success() && !j.Continue {
		for _, rest := range manifest.Operations[n+1:] {
			text := fmt.Sprintf("not run: operation %s failed", j.ID)
			r.Results = append(r.Results, ota.OperationResult{ID: rest.ID, Code: ota.GeneralError, Text: clean(text, limit)})
		}
	}
	return m.put(r)
}

// run does what the operation says. An error means what the kind of operation
// makes of one.
func (j *job) run(ctx context.Context) (outcome, error) {
	switch j.Kind {
	case image.InstallPackage, image.UpgradePackage:
		return j.install(ctx)
	case image.RemovePackage:
		return j.remove(ctx)
	case image.InstallConfig:
		return j.configure()
	}
	return j.plugin(ctx)
}

func (j *job) failure(err error) outcome {
	code := j.Kind.Failure()
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = ota.DiskFull
	}
	return outcome{code, err.Error()}
}

// maxReportText bounds all texts of a report together, in bytes: it has to
// pass through the client's socket as JSON, in 1 MiB.
const maxReportText = 256 << 10

// textLimit is how much of that each of n results may have.
func textLimit(n int) int { return min(16<<10, maxReportText/n) }

// clean makes of anything a text of at most n bytes, its end.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > n {
		s = strings.ToValidUTF8(s[len(s)-n:], "")
	}
	return s
}
