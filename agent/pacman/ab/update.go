package ab

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// update is one image on its way. Its journal is on disk before the step it
// tells of is relied upon.
type update struct {
	*Installer
	journal
	img agent.Image
}

// run goes on from wherever the journal says, in whichever slot runs.
func (u *update) run(ctx context.Context) (agent.Outcome, error) {
	if err := u.load(filepath.Join(u.img.WorkDir, journalFile), &u.journal); err != nil {
		return agent.Outcome{}, err
	}
	switch u.Step {
	case ended:
		return u.Outcome, nil
	case leaving:
		return u.leave(ctx)
	case fresh:
		if err := u.prepare(ctx); err != nil {
			return agent.Outcome{}, err
		}
	}
	here, err := u.running(ctx)
	boot, bootErr := u.bootID()
	switch {
	case ctx.Err() != nil:
		return agent.Outcome{}, ctx.Err()
	case err != nil || bootErr != nil:
		return u.giveUp(ctx, "%v", firstOf(err, bootErr))
	case here == u.New:
		return u.judge(ctx)
	case u.Step == tried && boot != u.Boot:
		return u.giveUp(ctx, "slot %s was tried and did not come up, or was left before its health check had passed: slot %s runs again", u.New, u.Old)
	}
	return u.try(ctx)
}

// prepare writes the other slot. Before that the boot loader is made to start
// the running one, so that it never starts what is half written.
func (u *update) prepare(ctx context.Context) error {
	if u.img.Digest == "" {
		return refuse(ota.ValidationFailed, "the image has no digest to check it with")
	}
	here, err := u.running(ctx)
	if err != nil {
		return refuse(ota.InstallFailed, "%v", err)
	}
	if err := u.distinct(); err != nil {
		return err
	}
	if err := u.settle(ctx, here); err != nil {
		return err
	}
	known, err := u.contents()
	if err != nil {
		return err
	}
	if known[here].Digest == u.img.Digest {
		return refuse(ota.AlreadyProcessed, "slot %s runs this image", here)
	}
	if err := u.remember(here.Other(), nil); err != nil {
		return err
	}
	if err := u.fill(ctx, here.Other(), u.img); err != nil {
		return err
	}
	if err := u.remember(here.Other(), &held{Package: u.img.Package, Digest: u.img.Digest}); err != nil {
		return err
	}
	u.Old, u.New = here, here.Other()
	return u.reach(written)
}

// settle makes the boot loader start the running slot. If it would not have,
// that slot may be on a trial nobody remembers, and the other one the only
// good one: it must then prove healthy first.
func (u *update) settle(ctx context.Context, here Slot) error {
	kept, err := u.keeps(ctx, here)
	if err != nil {
		return refuse(ota.InstallFailed, "%v", err)
	}
	if kept {
		return nil
	}
	if err := u.health(ctx); err != nil {
		return u.refuseUnless(ctx, "the boot loader is not set to keep the running slot %s, and that is not healthy: %v", here, err)
	}
	if err := u.choose(ctx, choice{Keep: here}); err != nil {
		return u.refuseUnless(ctx, "%v", err)
	}
	return nil
}

// try has the new slot started once. It returns when that failed, or ctx ends.
func (u *update) try(ctx context.Context) (agent.Outcome, error) {
	if err := u.choose(ctx, choice{Keep: u.Old, Try: u.New}); err != nil {
		return u.giveUp(ctx, "%v", err)
	}
	if err := u.reach(tried); err != nil {
		return u.giveUp(ctx, "%v", err)
	}
	err := u.restart(ctx)
	if ctx.Err() != nil {
		return agent.Outcome{}, ctx.Err()
	}
	return u.giveUp(ctx, "%v", err)
}

// judge decides over the new slot, which runs.
func (u *update) judge(ctx context.Context) (agent.Outcome, error) {
	done := fmt.Sprintf("slot %s runs %s", u.New, u.img.Package)
	if kept, err := u.keeps(ctx, u.New); err == nil && kept {
		return u.end(ota.OK, done) // only a passed check did that
	}
	for {
		if u.Checks >= int(u.cfg.HealthTries) {
			return u.giveUp(ctx, "slot %s came up, but its health check did not pass", u.New)
		}
		u.Checks++ // durable before the check, which may take the client down
		u.note(tried)
		err := u.health(ctx)
		if ctx.Err() != nil {
			return agent.Outcome{}, ctx.Err()
		}
		if err == nil {
			break
		}
		u.log.Warn("the new slot is not healthy yet", "slot", u.New, "check", u.Checks, "of", u.cfg.HealthTries, "err", err)
		if u.Checks >= int(u.cfg.HealthTries) {
			return u.giveUp(ctx, "slot %s came up, but its health check did not pass: %v", u.New, err)
		}
		if err := u.pause(ctx, healthPause); err != nil {
			return agent.Outcome{}, err
		}
	}
	if err := u.choose(ctx, choice{Keep: u.New}); err != nil {
		return u.giveUp(ctx, "slot %s is healthy, but: %v", u.New, err)
	}
	return u.end(ota.OK, done)
}

// giveUp says why the update has failed, and goes back to the old slot.
func (u *update) giveUp(ctx context.Context, format string, args ...any) (agent.Outcome, error) {
	if ctx.Err() != nil {
		return agent.Outcome{}, ctx.Err()
	}
	u.Text = fmt.Sprintf(format, args...)
	u.log.Error("the update has failed", "slot", u.New, "err", u.Text)
	u.note(leaving)
	return u.leave(ctx)
}

// leave brings the old slot back. It restarts the device at most once: a boot
// loader that does not go back then will not do so by trying again.
func (u *update) leave(ctx context.Context) (agent.Outcome, error) {
	if err := u.choose(ctx, choice{Keep: u.Old}); err != nil {
		u.log.Error("the boot loader cannot be told to keep the old slot, and has to go back by itself", "slot", u.Old, "err", err)
	}
	here, err := u.running(ctx)
	boot, bootErr := u.bootID()
	switch {
	case ctx.Err() != nil:
		return agent.Outcome{}, ctx.Err()
	case err == nil && here == u.Old:
		return u.end(ota.InstallFailed, u.Text)
	case bootErr == nil && boot != u.Boot:
		return u.end(ota.InstallFailed, u.Text+"; the boot loader does not go back to slot "+string(u.Old))
	}
	err = u.restart(ctx)
	if ctx.Err() != nil {
		return agent.Outcome{}, ctx.Err()
	}
	return u.end(ota.InstallFailed, fmt.Sprintf("%s; going back to slot %s: %v", u.Text, u.Old, err))
}

// reach writes the journal. It fails if that is not durable.
func (u *update) reach(s Step) error {
	boot, err := u.bootID()
	if err != nil {
		return err
	}
	u.Step, u.Boot = s, boot
	return u.save(string(s), u.img.WorkDir, journalFile, u.journal)
}

// note writes the journal where going on matters more than remembering: what
// is lost is found out again, from the running slot and the boot environment.
func (u *update) note(s Step) {
	if err := u.reach(s); err != nil {
		u.log.Error("cannot write the journal", "step", s, "err", err)
	}
}

// end notes the outcome, so that it stays what it was until it is reported.
func (u *update) end(code ota.ResultCode, text string) (agent.Outcome, error) {
	u.Outcome = agent.Outcome{Code: code, Text: text}
	u.note(ended)
	return u.Outcome, nil
}

// refuseUnless is INSTALL_FAILED, unless it is ctx that ended.
func (u *update) refuseUnless(ctx context.Context, format string, args ...any) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return refuse(ota.InstallFailed, format, args...)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// How long to wait, and how often to ask for a restart.
const (
	healthPause  = 10 * time.Second // between two health checks
	restartPause = 10 * time.Second // after a reboot command that failed
	restartLimit = 10 * time.Minute // from a reboot command to the end of ctx
	restartTries = 3
)
