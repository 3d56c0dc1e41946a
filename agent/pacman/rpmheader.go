package pacman

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/updraft-ota/updraft/ota"
)

// header is what rpm says of a package, be it installed or an image.
type header struct {
	Name, Epoch, Version, Release string // a package without an epoch has 0
	Arch                          string
	Source                        bool
}

// headerFormat is a line for a header: names, versions and architectures hold
// no white space.
const headerFormat = `%{NAME} %{EPOCHNUM} %{VERSION} %{RELEASE} %{ARCH} %{SOURCEPACKAGE}\n`

func parseHeader(line string) (header, error) {
	f := strings.Fields(line)
	if len(f) != 6 {
		return header{}, fmt.Errorf("%.200q does not describe a package", line)
	}
	return header{f[0], f[1], f[2], f[3], f[4], f[5] == "1"}, nil
}

// evr is the full version as people know it.
func (h header) evr() string {
	evr := h.Version + "-" + h.Release
	if h.Epoch != "0" {
		evr = h.Epoch + ":" + evr
	}
	return evr
}

// leadMagic begins every RPM package. What does not begin so rpm would take
// for a list of packages to install, from anywhere.
var leadMagic = []byte{0xed, 0xab, 0xee, 0xdb}

// readPackage reads an image's header. It refuses, with VALIDATION_FAILED,
// what is not an RPM package, and with INSTALL_FAILED a source package.
func readPackage(ctx context.Context, path string) (header, error) {
	f, err := os.Open(path)
	if err != nil {
		return header{}, err
	}
	defer f.Close()
	magic := make([]byte, len(leadMagic))
	if _, err := io.ReadFull(f, magic); err != nil || !bytes.Equal(magic, leadMagic) {
		return header{}, refuse(ota.ValidationFailed, "the image is not an RPM package")
	}
	out, err := ask(ctx, "rpm", "-qp", "--nomanifest", "--queryformat", headerFormat, path)
	if err != nil {
		return header{}, damaged(err, "RPM")
	}
	h, err := parseHeader(string(out))
	if err != nil {
		return header{}, refuse(ota.ValidationFailed, "the image: %v", err)
	}
	if h.Source {
		return header{}, refuse(ota.InstallFailed, "%s %s is a source package", h.Name, h.evr())
	}
	return h, nil
}

// flags say which system rpm works on.
func (r *rpm) flags() []string {
	if r.root == "/" {
		return nil
	}
	return append([]string{"--root=" + r.root}, r.dbpath()...)
}

// dbpath says where a root has its database, seen from inside. That of the
// running system is where rpm was built to look for it.
func (r *rpm) dbpath() []string {
	if r.root == "/" {
		return nil
	}
	return []string{"--dbpath=/var/lib/rpm"}
}

// database lists what is installed. It fails if rpm cannot be started, fails,
// or gives an answer that is no database.
func (r *rpm) database(ctx context.Context) ([]header, error) {
	out, err := ask(ctx, "rpm", append(r.flags(), "-qa", "--queryformat", headerFormat)...)
	if err != nil {
		return nil, err
	}
	var all []header
	for line := range strings.Lines(string(out)) {
		h, err := parseHeader(line)
		if err != nil {
			return nil, fmt.Errorf("rpm: %w", err)
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b header) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// instances is what there is of a package already.
type instances struct {
	newer       string // the full version of a newer one, if there is one
	same, older bool
}

// instances compares a package with those of its name that it would replace.
// Those of another architecture stand beside it.
func (r *rpm) instances(ctx context.Context, pkg header) (instances, error) {
	var found instances
	all, err := r.database(ctx)
	if err != nil {
		return found, err
	}
	for _, have := range all {
		if have.Name != pkg.Name || have.Arch != pkg.Arch && have.Arch != "noarch" && pkg.Arch != "noarch" {
			continue
		}
		order, err := have.compare(ctx, pkg)
		if err != nil {
			return found, err
		}
		switch order {
		case "1":
			found.newer = have.evr()
		case "0":
			found.same = true
		default:
			found.older = true
		}
	}
	return found, nil
}

// compare lets rpm compare two versions, since its order is the one that
// counts: "1" if h is newer, "0" if they are the same, "-1" if h is older. The
// values go by the environment: an image's must not become part of a program.
func (h header) compare(ctx context.Context, other header) (string, error) {
	const program = `%{lua:
		for _, part in ipairs({"EPOCH", "VERSION", "RELEASE"}) do
			order = rpm.vercmp(posix.getenv("A_" .. part), posix.getenv("B_" .. part))
			if order ~= 0 then break end
		end
		print(order)}`
	env := append(environment(),
		"A_EPOCH="+h.Epoch, "A_VERSION="+h.Version, "A_RELEASE="+h.Release,
		"B_EPOCH="+other.Epoch, "B_VERSION="+other.Version, "B_RELEASE="+other.Release)
	out, err := askWith(ctx, env, "rpm", "--eval", program)
	if err != nil {
		return "", fmt.Errorf("compare %s with %s: %w", h.evr(), other.evr(), err)
	}
	order := strings.TrimSpace(string(out))
	if !slices.Contains([]string{"1", "0", "-1"}, order) {
		return "", fmt.Errorf("compare %s with %s: rpm answered %.100q", h.evr(), other.evr(), order)
	}
	return order, nil
}
