package operator

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/sign"
)

func keyCommands(o *options) *cobra.Command {
	return group("key", "Make keys that sign packages", keyNew(o))
}

func keyNew(o *options) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "new --out FILE",
		Short: "Make a key pair that signs packages",
		Long: `Make an Ed25519 key pair: FILE holds the private key, for whoever publishes,
and FILE.pub the public one, for servers (--trusted-keys) and devices
(device.trusted_keys). Existing files are not overwritten.`,
		Example: `  updraft key new --out release.key
  updraft package add app.deb --name app --version 1.2 --sign release.key`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			private, public, err := sign.Generate()
			if err != nil {
				return err
			}
			if err := create(out, private, 0o600); err != nil {
				return err
			}
			if err := create(out+".pub", public, 0o644); err != nil {
				return errors.Join(err, os.Remove(out))
			}
			doc := struct {
				Private string `json:"private_key"`
				Public  string `json:"public_key"`
			}{out, out + ".pub"}
			return o.show(c, doc, func(w io.Writer) {
				fmt.Fprintf(w, "%s  signs packages: keep it secret, and away from the server\n%s  goes to servers and devices that are to trust it\n", doc.Private, doc.Public)
			})
		},
	}
	c.Flags().StringVar(&out, "out", "", "private key's `FILE`; the public one goes to FILE.pub")
	need(c, "out")
	return c
}

// create writes a file that must not be there yet, durable when it returns
// nil. The name is taken first; then the content comes, whole.
func create(path string, data []byte, mode os.FileMode) error {
	taken, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already: remove it first, or give another name", path)
	}
	if err != nil {
		return err
	}
	info, err := taken.Stat() // the mode, less what the umask takes away
	if err = errors.Join(err, taken.Close()); err == nil {
		err = replace(path, data, info.Mode().Perm())
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// replace gives a name to other content, all of it or none.
func replace(path string, data []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// rewrite replaces the content of a file made by create.
func rewrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
