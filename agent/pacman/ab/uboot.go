package ab

import (
	"context"
	"fmt"
	"strings"
)

// uboot keeps the choice in U-Boot's environment, by fw_setenv and
// fw_printenv. One variable is ours, the others are those of U-Boot's boot
// count limit (its doc/api/bootcount.rst, CONFIG_BOOTCOUNT_ENV):
//
//	updraft_slot       what bootcmd starts: A or B
//	upgrade_available  1 while updraft_slot is on trial: U-Boot counts starts
//	bootcount          starts since then; U-Boot adds one before each
//	bootlimit          1: the second start runs altbootcmd, which goes back
//
// All change in one fw_setenv. That is one write to storage, and safe against
// power cuts if the environment is redundant (two lines in the configuration).
type uboot struct{ config string }

func (u uboot) read(ctx context.Context) (choice, error) {
	out, err := run(ctx, askLimit, "", "fw_printenv", "-c", u.config)
	if err != nil {
		return choice{}, err
	}
	vars := variables(out)
	slot := Slot(vars["updraft_slot"])
	switch {
	case slot != A && slot != B:
		return choice{}, nil
	case vars["upgrade_available"] == "1":
		return choice{Keep: slot.Other(), Try: slot}, nil
	}
	return choice{Keep: slot}, nil
}

func (u uboot) write(ctx context.Context, c choice) error {
	slot, trial := c.Keep, 0
	if c.Try != "" {
		slot, trial = c.Try, 1
	}
	script := fmt.Sprintf("updraft_slot=%s\nupgrade_available=%d\nbootcount=0\nbootlimit=1\n", slot, trial)
	_, err := run(ctx, askLimit, script, "fw_setenv", "-c", u.config, "-s", "-")
	return err
}

// variables reads lines NAME=VALUE.
func variables(text string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok {
			vars[name] = value
		}
	}
	return vars
}
