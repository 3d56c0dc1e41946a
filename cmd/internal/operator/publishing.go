package operator

import (
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/httpapi/operator/client"
	"github.com/updraft-ota/updraft/httpapi/publish"
)

// publishing is what was asked for on the command line.
type publishing struct {
	*options
	url, id, version string
	files            []string
	manifest         string
	notify, notifyV4 []string
	force            bool
}

// seedServer is where publish looks for a server unless told otherwise.
const seedServer = "http://localhost:8080"

func publishCommand(o *options) *cobra.Command {
	p := &publishing{options: o}
	c := &cobra.Command{
		Use:   "publish --publish-id ID [--publish FILE...] [--manifest FILE] [--notify DEVICE...]",
		Short: "Publish files for constrained devices, and tell devices of them",
		Long: `Publish files for constrained devices under a publish id, and tell devices
where the manifest is: first files and manifest are sent, all at once, then the
devices are told. A list takes all values up to the next option.

A device is an address with a port and a path if need be, and no scheme:
[fd00::1]:5683/url. Devices fetch coap://SERVER/ID/NAME, where NAME is the file's
name, or manifest.

The files are a new revision of ID (r1, r2, ...), unless --version-tag or RIOT's
file names tell the version.`,
		Example: `  updraft publish --publish-id app --publish file1 file2
  updraft publish --publish-id app --manifest manifest.bin
  updraft publish --publish-id app --notify [fd00::1]/url [fd00::2]/url2
  updraft publish --publish-id app --publish file1 file2 --manifest manifest.bin --notify [fd00::1]/url`,
		DisableFlagParsing: true, // see spread
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.StringVar(&p.id, "publish-id", "", "`ID` that names the set of files")
	fs.StringArrayVar(&p.files, "publish", nil, "send these `FILE`s")
	files := *fs.Lookup("publish") // one list under both names
	files.Name, files.Usage = "files", "send these `FILE`s, the same as --publish"
	fs.AddFlag(&files)
	fs.StringVar(&p.manifest, "manifest", "", "send this `FILE` as the manifest")
	fs.StringArrayVar(&p.notify, "notify", nil, "tell these `DEVICE`s")
	fs.StringArrayVar(&p.notifyV4, "notifyv4", nil, "tell these `DEVICE`s of RIOT's manifest, at their path suit/trigger")
	fs.StringVar(&p.version, "version-tag", "", "`version` of the files, or of the manifest to tell of")
	fs.BoolVar(&p.force, "force", false, "insist on a manifest that the server refuses")
	fs.StringVar(&p.url, "ota-host-url", "", "`URL` of the server (or UPDRAFT_SERVER; default "+seedServer+")")
	o.userFlags(fs)
	fs.BoolP("help", "h", false, "help for publish")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := p.parse(c, args); err != nil || c.Flag("help").Changed {
			if err == nil {
				return c.Help()
			}
			return err
		}
		return p.run(c)
	}
	return c
}

// parse reads the command line as the original client does.
func (p *publishing) parse(c *cobra.Command, args []string) error {
	fs := c.Flags()
	args, err := spread(fs, args, "publish", "files", "notify", "notifyv4")
	if err != nil {
		return err
	}
	if err := fs.Parse(args); err != nil {
		return usage.Errorf("%w: see %s --help", err, c.CommandPath())
	}
	switch {
	case c.Flag("help").Changed:
		return nil
	case fs.NArg() > 0:
		return usage.Errorf("what is %q for? See %s --help", fs.Arg(0), c.CommandPath())
	case p.id == "":
		return usage.Errorf("--publish-id is needed")
	case len(p.files) == 0 && p.manifest == "" && len(p.notify) == 0 && len(p.notifyV4) == 0:
		return usage.Errorf("nothing to do: give --publish, --manifest, --notify or --notifyv4; see %s --help", c.CommandPath())
	}
	if p.url != "" {
		p.server = p.url
	} else if p.server == defaultServer {
		p.server = seedServer
	}
	return nil
}

// outcome is what -o json prints.
type outcome struct {
	Published *publish.Published `json:"published,omitempty"`
	Notified  []publish.Notified `json:"notified,omitempty"`
}

// run does all that was asked for, up to the first failure, and prints what
// came of it.
func (p *publishing) run(c *cobra.Command) error {
	api, err := p.connect()
	if err != nil {
		return err
	}
	var out outcome
	err = p.all(c, api, &out)
	if out.Published == nil && len(out.Notified) == 0 {
		return err
	}
	if shown := p.show(c, out, func(w io.Writer) { printOutcome(w, out) }); err == nil {
		err = shown
	}
	if err == nil {
		err = out.failed()
	}
	return err
}

func (p *publishing) all(c *cobra.Command, api *client.Client, out *outcome) error {
	if len(p.files) > 0 || p.manifest != "" {
		done, err := p.send(c, api)
		if err != nil {
			return err
		}
		out.Published = &done
	}
	for _, n := range []struct {
		path    string
		devices []string
	}{{"/notify", p.notify}, {"/notifyv4", p.notifyV4}} {
		if len(n.devices) == 0 {
			continue
		}
		done, err := p.tell(c, api, n.path, n.devices)
		if err != nil {
			return err
		}
		out.Notified = append(out.Notified, done)
	}
	return nil
}

func (p *publishing) tell(c *cobra.Command, api *client.Client, path string, devices []string) (publish.Notified, error) {
	form := url.Values{"publish_id": {p.id}, "urls": {strings.Join(devices, ",")}}
	if p.version != "" {
		form.Set("version", p.version)
	}
	if p.force {
		form.Set("force", "true")
	}
	const kind = "application/x-www-form-urlencoded"
	return read[publish.Notified](postTo(c.Context(), api, path, kind, strings.NewReader(form.Encode()), 0))
}

// failed tells whether a device did not take what it was told.
func (o outcome) failed() error {
	failed, all := 0, 0
	for _, n := range o.Notified {
		for _, d := range n.Devices {
			all++
			if !d.OK {
				failed++
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d devices did not take it", failed, all)
	}
	return nil
}

func printOutcome(w io.Writer, o outcome) {
	if p := o.Published; p != nil {
		was := ""
		if !p.Changed {
			was = ", as it was"
		}
		fmt.Fprintf(w, "published %s=%s%s\n", clean(p.ID), clean(p.Version), was)
		rows := make([][]string, len(p.Files))
		for i, f := range p.Files {
			rows[i] = []string{f.Name, size(f.Size), f.URL} // the digests would take it past the edge
		}
		list(w, "", []string{"file", "size", "url"}, rows)
		printManifests(w, p.Manifests)
	}
	for _, n := range o.Notified {
		rows := make([][]string, len(n.Devices))
		for i, d := range n.Devices {
			rows[i] = []string{d.Device, "told", d.URL}
			if !d.OK {
				rows[i][1], rows[i][2] = "failed", brief(d.Error)
			}
		}
		fmt.Fprintf(w, "told devices of %s=%s (%s)\n", clean(n.ID), clean(n.Version), n.Scheme)
		list(w, "", []string{"device", "result", "url"}, rows)
	}
}

func printManifests(w io.Writer, manifests []publish.Manifest) {
	for _, m := range manifests {
		fmt.Fprintf(w, "%s: %s\n", clean(m.Name), m.Status)
		for _, f := range m.Findings {
			fmt.Fprintf(w, "  %s: %s\n", f.Severity, clean(f.Text))
		}
	}
}
