package pacman

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// refusal is a reason not to start an installation.
type refusal agent.Outcome

func (r *refusal) Error() string { return r.Text }

func refuse(code ota.ResultCode, format string, args ...any) error {
	return &refusal{Code: code, Text: clean(fmt.Sprintf(format, args...))}
}

// failure is the outcome when an installation did not run to its end.
func failure(err error) agent.Outcome {
	if r, ok := errors.AsType[*refusal](err); ok {
		return agent.Outcome(*r)
	}
	code := ota.GeneralError
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = ota.DiskFull
	}
	return agent.Outcome{Code: code, Text: clean(err.Error())}
}

// installed is the outcome for a version that is installed already. If a run
// of ours was started, it was that run which installed it, and the client died
// before it could say so.
func (p past) installed() agent.Outcome {
	if p.starts > 0 {
		return agent.Outcome{Code: ota.OK, Text: p.last.Stdout}
	}
	return agent.Outcome{Code: ota.AlreadyProcessed, Text: "this version is already installed"}
}
