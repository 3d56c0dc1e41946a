package swm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/updraft-ota/updraft/ota"
)

// plugin has the operation done by the program that is named like it. Its exit
// status is the result code; what is none is the operation's failure.
func (j *job) plugin(ctx context.Context) (outcome, error) {
	path := filepath.Join(j.Plugins, string(j.Kind))
	if err := trustworthy(path); err != nil {
		return outcome{}, err
	}
	work := filepath.Join(j.dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return outcome{}, err
	}
	env := append(environment(),
		"SWM_OPERATION="+string(j.Kind),
		"SWM_OPERATION_ID="+j.ID,
		"SWM_UPDATE_ID="+string(j.rec.Update),
		"SWM_IMAGE="+j.file,
		"SWM_WORK_DIR="+work,
		"SWM_ROOT="+j.Root,
		"SWM_ATTEMPT="+strconv.Itoa(j.number),
	)
	for key, value := range j.Parameters {
		env = append(env, "SWM_PARAM_"+strings.ToUpper(key)+"="+value)
	}
	said, err := j.start(ctx, j.PluginTimeout, env, path)
	if err != nil {
		return outcome{}, fmt.Errorf("plug-in %s: %w", path, err)
	}
	if code := said.status; code >= 0 && code <= int(ota.GeneralError) {
		return result(ota.ResultCode(code), "%s", said.text)
	}
	return result(j.Kind.Failure(), "%s\nplug-in %s: exit status %d", said.text, path, said.status)
}

// trustworthy makes sure that a plug-in can be run, and that only we or root
// can have put it there.
func trustworthy(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("there is no plug-in for this: %w", err)
	}
	owner := st.Sys().(*syscall.Stat_t).Uid
	switch {
	case !st.Mode().IsRegular() || st.Mode()&0o111 == 0:
		return fmt.Errorf("plug-in %s is not an executable file", path)
	case st.Mode()&0o022 != 0 || owner != 0 && int(owner) != os.Geteuid():
		return fmt.Errorf("plug-in %s can be changed by others: make it ours, mode 0755", path)
	}
	return nil
}
