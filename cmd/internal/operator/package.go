package operator

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/httpapi/operator/client"
	"github.com/updraft-ota/updraft/ota"
)

func packageCommands(o *options) *cobra.Command {
	return group("package", "Publish packages and look at them",
		packageAdd(o), packageList(o), packageShow(o), packageGet(o), packageRemove(o))
}

// onePackage makes a command about one package, named by its first argument.
func onePackage(o *options, c cobra.Command, args int, run func(c *cobra.Command, api *client.Client, p client.Package, rest []string) error) *cobra.Command {
	c.Args = takes(1, args)
	c.RunE = func(c *cobra.Command, args []string) error {
		id, err := o.packageID(c.Context(), "NAME=VERSION", args[0])
		if err != nil {
			return err
		}
		api, err := o.connect()
		if err != nil {
			return err
		}
		p, err := read[client.Package](api.GetPackage(c.Context(), id.Name, id.Version, nil))
		if err != nil {
			return err
		}
		return run(c, api, p, args[1:])
	}
	return &c
}

// packageID reads NAME=VERSION, as what a flag or an argument says. It fails on
// wrong usage. Whoever gives a publish id that is no package's name is told the
// package that it became, if the server has that.
func (o *options) packageID(ctx context.Context, what, s string) (ota.PackageID, error) {
	id, err := ota.ParsePackageID(s)
	if err == nil {
		return id, nil
	}
	raw, version, _ := strings.Cut(s, "=")
	if name, bad := ota.CleanPublishID(raw); bad == nil && name != raw && o.published(ctx, name) {
		err = fmt.Errorf("%w: what is published as %s is the package %s: %s=%s", err, raw, name, name, version)
	}
	return id, usageError(what, err)
}

// published reports whether there is a package of that name, as far as the
// server answers: it is asked only to help.
func (o *options) published(ctx context.Context, name string) bool {
	api, err := o.connect()
	if err != nil {
		return false
	}
	exactly := "^" + regexp.QuoteMeta(name) + "$"
	found, err := read[[]client.Package](api.ListPackages(ctx, &client.ListPackagesParams{Regex: &exactly}))
	return err == nil && slices.ContainsFunc(found, func(p client.Package) bool { return p.Id.Name == name })
}

// usageError blames a flag or an argument.
func usageError(what string, err error) error { return usage.Errorf("%s: %w", what, err) }

func packageList(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List packages",
		Long: `List packages. Long names and texts are clipped, and columns in which nothing
stands are left out: -o json tells everything.`,
		Example: "  updraft package ls\n  updraft package ls -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			api, err := o.connect()
			if err != nil {
				return err
			}
			packages, err := read[[]client.Package](api.ListPackages(c.Context(), nil))
			if err != nil {
				return err
			}
			return o.show(c, packages, func(w io.Writer) { listPackages(w, packages) })
		},
	}
}

func listPackages(w io.Writer, packages []client.Package) {
	now := time.Now()
	rows := make([][]string, len(packages))
	for i, p := range packages {
		rows[i] = []string{p.Id.Name, p.Id.Version, wholeSize(p), signed(p), ago(p.CreatedAt, now), said(p.Vendor), said(p.Description)}
	}
	compact(w, "There are no packages yet: updraft package add publishes one.",
		[]string{"name", "version", "size", "signed", "published", "vendor", "description"}, rows)
}

// wholeSize is that of all files.
func wholeSize(p client.Package) string {
	if p.Artifacts == nil {
		return size(p.Size)
	}
	var sum int64
	for _, a := range *p.Artifacts {
		sum += a.Size
	}
	return fmt.Sprintf("%s in %d files", size(sum), len(*p.Artifacts))
}

func signed(p client.Package) string {
	if p.Signature != nil {
		return "yes"
	}
	return "no"
}

func printPackage(w io.Writer, p client.Package) {
	now := time.Now()
	whole, sum := fmt.Sprintf("%s (%d bytes)", size(p.Size), p.Size), p.Sha256
	if p.Artifacts != nil { // which are told below
		whole, sum = wholeSize(p), ""
	}
	facts(w, [][2]string{
		{"name", p.Id.Name}, {"version", p.Id.Version}, {"vendor", said(p.Vendor)}, {"description", said(p.Description)},
		{"size", whole}, {"sha256", sum}, {"signature", said(p.Signature)},
		{"published", at(p.CreatedAt, now)}, {"uuid", p.Uuid.String()},
	})
	if p.Artifacts != nil {
		var rows [][]string
		for _, a := range *p.Artifacts {
			rows = append(rows, []string{a.Name, size(a.Size), a.Sha256})
		}
		fmt.Fprintln(w)
		list(w, "", []string{"file", "size", "sha256"}, rows)
	}
	if p.Forced != nil {
		printForced(w, *p.Forced, now)
	}
}

// printForced tells what operators insisted on, and what there was against it.
func printForced(w io.Writer, forced []client.Forced, now time.Time) {
	for _, f := range forced {
		by := "an operator"
		if f.By != nil {
			by = *f.By
		}
		fmt.Fprintf(w, "\nforced to %s, %s, by %s, although:\n", clean(f.Doing), at(f.At, now), clean(by))
		for _, reason := range f.Reasons {
			fmt.Fprintf(w, "  %s\n", clean(reason))
		}
	}
}

func packageShow(o *options) *cobra.Command {
	return onePackage(o, cobra.Command{
		Use: "show NAME=VERSION", Short: "Show a package",
		Example: "  updraft package show nginx=1.22.1-9",
	}, 1, func(c *cobra.Command, _ *client.Client, p client.Package, _ []string) error {
		return o.show(c, p, func(w io.Writer) { printPackage(w, p) })
	})
}

func packageRemove(o *options) *cobra.Command {
	return onePackage(o, cobra.Command{
		Use: "rm NAME=VERSION", Short: "Remove a package that no device is still to install",
		Example: "  updraft package rm nginx=1.22.1-9",
	}, 1, func(c *cobra.Command, api *client.Client, p client.Package, _ []string) error {
		if err := done(api.RemovePackage(c.Context(), p.Id.Name, p.Id.Version, nil)); err != nil {
			return err
		}
		return o.show(c, p, func(w io.Writer) { fmt.Fprintf(w, "removed %s=%s\n", p.Id.Name, p.Id.Version) })
	})
}

// publication is what an operator says of a package to be published.
type publication struct {
	file, name, version string
	description, vendor string
	signature, keyFile  string
	replace             bool
}

func packageAdd(o *options) *cobra.Command {
	var p publication
	c := &cobra.Command{
		Use:   "add FILE --name NAME --version VERSION",
		Short: "Publish a package",
		Long: `Publish a file as a version of a package. Publishing the same again is
harmless; other bytes for a version that updates refer to are refused without
--replace.`,
		Example: `  updraft package add nginx_1.22.1-9_amd64.deb --name nginx --version 1.22.1-9
  updraft package add app.deb --name app --version 2 --sign release.key`,
		Args: takes(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			p.file = args[0]
			return o.publish(c, p)
		},
	}
	fs := c.Flags()
	fs.StringVar(&p.name, "name", "", "package `name`")
	fs.StringVar(&p.version, "version", "", "package `version`")
	fs.StringVar(&p.description, "description", "", "`text` for people")
	fs.StringVar(&p.vendor, "vendor", "", "who made it")
	fs.StringVar(&p.signature, "signature", "", "a ready signature, in `base64`")
	fs.StringVar(&p.keyFile, "sign", "", "sign with the private key in this `file`, see updraft key new")
	fs.BoolVar(&p.replace, "replace", false, "replace other bytes that updates refer to")
	need(c, "name", "version")
	return c
}

func (o *options) publish(c *cobra.Command, p publication) error {
	if p.signature != "" && p.keyFile != "" {
		return usage.Errorf("give --sign or --signature, not both")
	}
	id := ota.PackageID{Name: p.name, Version: p.version}
	if err := id.Validate(); err != nil {
		return usage.Errorf("%w", err)
	}
	api, err := o.connect()
	if err != nil {
		return err
	}
	file, length, err := openRegular(p.file)
	if err != nil {
		return err
	}
	defer file.Close()
	if p.keyFile != "" {
		if p.signature, err = signFile(c, p.keyFile, id, file, length); err != nil {
			return err
		}
	}
	if err := p.send(c, api, file, length); err != nil {
		return err
	}
	published, err := read[client.Package](api.GetPackage(c.Context(), p.name, p.version, nil))
	if err != nil {
		return err
	}
	return o.show(c, published, func(w io.Writer) { printPackage(w, published) })
}

func (p publication) send(c *cobra.Command, api *client.Client, file *os.File, length int64) error {
	bar := progress(c.ErrOrStderr(), "uploading "+filepath.Base(p.file), length)
	body, err := newUpload(p.file, io.TeeReader(file, bar), length)
	if err != nil {
		return err
	}
	params := &client.PutPackageParams{}
	for _, set := range []struct {
		to   **string
		text *string
	}{{&params.Description, &p.description}, {&params.Vendor, &p.vendor}, {&params.Signature, &p.signature}} {
		if *set.text != "" {
			*set.to = set.text
		}
	}
	if p.replace {
		params.Force = &p.replace
	}
	err = done(api.PutPackageWithBody(c.Context(), p.name, p.version, params, body.contentType, body, body.announce))
	if refused(err, "conflicting_entity") && !p.replace {
		return fmt.Errorf("%w: --replace", err)
	}
	return err
}
