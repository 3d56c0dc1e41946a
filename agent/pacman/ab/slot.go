package ab

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Slot is one of the two places for a system: "A" or "B", and "" if unknown.
type Slot string

const (
	A Slot = "A"
	B Slot = "B"
)

// Other is the slot that is not s.
func (s Slot) Other() Slot {
	if s == A {
		return B
	}
	return A
}

// parseSlot reads a slot's letter.
func parseSlot(text string) (Slot, error) {
	switch s := Slot(text); s {
	case A, B:
		return s, nil
	}
	return "", fmt.Errorf("expected slot A or B, not %q", clip(text))
}

// cmdlineKey names the slot on the kernel's command line, as the boot loader
// puts it there: updraft.slot=A.
const cmdlineKey = "updraft.slot="

// running tells which slot this system runs from: what the command ab.running
// prints or, without one, the last updraft.slot of the kernel's command line.
// The boot loader's environment is not asked: it says what was meant to start.
func (in *Installer) running(ctx context.Context) (Slot, error) {
	slot, err := in.lookRunning(ctx)
	if err != nil {
		return "", fmt.Errorf("cannot tell which slot runs: %w", err)
	}
	return slot, nil
}

func (in *Installer) lookRunning(ctx context.Context) (Slot, error) {
	if in.cfg.Running != "" {
		out, err := ask(ctx, in.cfg.Running)
		if err != nil {
			return "", err
		}
		return parseSlot(strings.TrimSpace(out))
	}
	line, err := os.ReadFile(in.files.cmdline)
	if err != nil {
		return "", err
	}
	slot, found := "", false
	for word := range strings.FieldsSeq(string(line)) {
		if value, ok := strings.CutPrefix(word, cmdlineKey); ok {
			slot, found = value, true
		}
	}
	if !found {
		return "", fmt.Errorf("the kernel's command line has no %sA or %sB: let the boot loader add it, or set ab.running", cmdlineKey, cmdlineKey)
	}
	return parseSlot(slot)
}

// bootID names this run of the kernel; it changes with each start.
func (in *Installer) bootID() (string, error) {
	id, err := os.ReadFile(in.files.bootID)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(id)), nil
}

// path is where a slot lies.
func (in *Installer) path(s Slot) string {
	if s == A {
		return in.cfg.SlotA
	}
	return in.cfg.SlotB
}
