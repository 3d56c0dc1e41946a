package ab

import (
	"context"
	"fmt"
)

// environment is where the boot loader reads which slot to start. It is
// changed by the boot loader's own tools, in one write that a power cut lets
// happen or not, and never holds more than a choice.
type environment interface {
	// read fails if the environment is missing or damaged.
	read(ctx context.Context) (choice, error)
	// write replaces the choice, durably.
	write(ctx context.Context, c choice) error
}

// choice is what the boot loader is to do: start Try the next time and only
// then, if it is a slot, and Keep at all other times. "" for Keep means that
// the environment does not say.
type choice struct{ Keep, Try Slot }

func (c choice) String() string {
	if c.Try != "" {
		return fmt.Sprintf("slot %s once, then slot %s", c.Try, c.Keep)
	}
	return fmt.Sprintf("slot %q", string(c.Keep))
}

// choose writes a choice and reads it back: tools that do not understand each
// other's formats may say that all is well and change nothing. A client that
// is told to stop first finishes the write.
func (in *Installer) choose(ctx context.Context, c choice) error {
	in.fault("before choosing " + c.String())
	ctx = context.WithoutCancel(ctx)
	if err := in.env.write(ctx, c); err != nil {
		return fmt.Errorf("cannot change the boot environment: %w", err)
	}
	in.fault("after choosing " + c.String())
	got, err := in.env.read(ctx)
	if err != nil {
		return fmt.Errorf("cannot read the boot environment back: %w", err)
	}
	if got != c {
		return fmt.Errorf("the boot environment did not change: it says %s, not %s", got, c)
	}
	return nil
}

// keeps reports whether the boot loader starts s, now and ever.
func (in *Installer) keeps(ctx context.Context, s Slot) (bool, error) {
	c, err := in.env.read(ctx)
	if err != nil {
		return false, fmt.Errorf("cannot read the boot environment: %w", err)
	}
	return c == choice{Keep: s}, nil
}
