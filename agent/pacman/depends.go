package pacman

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// clause is one element of a dependency field: alternatives of which one is
// enough.
type clause []relation

// relation names a package, possibly of an architecture and in a range of
// versions: "libc6 (>= 2.36)", "python3:any" (deb-control(5), Depends).
type relation struct {
	Name    string
	Arch    string // "" if not given; "any"; or an architecture
	Op      string // "" if any version will do
	Version string
}

var relationForm = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9+.-]*)(?::([a-z0-9-]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>|)\s*([^\s()<=>]+)\s*\))?$`)

// parseClauses reads the value of Depends, Pre-Depends or Provides. It fails
// if an element is not a relation.
func parseClauses(field string) ([]clause, error) {
	var clauses []clause
	for part := range strings.SplitSeq(field, ",") {
		if strings.TrimSpace(part) == "" {
			continue // as dpkg does with a comma at the end
		}
		var c clause
		for alternative := range strings.SplitSeq(part, "|") {
			r, err := parseRelation(strings.TrimSpace(alternative))
			if err != nil {
				return nil, err
			}
			c = append(c, r)
		}
		clauses = append(clauses, c)
	}
	return clauses, nil
}

func parseRelation(s string) (relation, error) {
	m := relationForm.FindStringSubmatch(s)
	if m == nil {
		return relation{}, fmt.Errorf("%.200q is not a relation to a package", s)
	}
	r := relation{Name: m[1], Arch: m[2], Op: m[3], Version: m[4]}
	if r.Version != "" && r.Op == "" {
		r.Op = "=" // as dpkg reads it
	}
	return r, nil
}

func (r relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != "" {
		s += " (" + r.Op + " " + r.Version + ")"
	}
	return s
}

func (c clause) String() string {
	words := make([]string, len(c))
	for i, r := range c {
		words[i] = r.String()
	}
	return strings.Join(words, " | ")
}

// candidate is something that may satisfy relations to its name: a package,
// or what one provides, which may lack a version.
type candidate struct{ version, arch, multiArch string }

// unmet lists the clauses of pkg's Pre-Depends and Depends that the usable
// packages, with pkg in place of what it replaces, do not satisfy.
func (db database) unmet(ctx context.Context, pkg control) ([]string, error) {
	candidates := db.candidates(pkg)
	var unmet []string
	for _, c := range append(append([]clause(nil), pkg.PreDepends...), pkg.Depends...) {
		ok, err := db.met(ctx, c, pkg.Arch, candidates)
		if err != nil {
			return nil, err
		}
		if !ok {
			unmet = append(unmet, c.String())
		}
	}
	return unmet, nil
}

func (db database) candidates(pkg control) map[string][]candidate {
	all := map[string][]candidate{}
	add := func(name, version, arch, multiArch string, provides []clause) {
		all[name] = append(all[name], candidate{version, arch, multiArch})
		for _, c := range provides {
			all[c[0].Name] = append(all[c[0].Name], candidate{c[0].Version, arch, multiArch})
		}
	}
	add(pkg.Name, pkg.Version, pkg.Arch, pkg.MultiArch, pkg.Provides)
	for _, e := range db.entries {
		if e.usable() && !e.replacedBy(pkg) {
			add(e.Name, e.Version, e.Arch, e.MultiArch, e.Provides)
		}
	}
	return all
}

func (db database) met(ctx context.Context, c clause, arch string, candidates map[string][]candidate) (bool, error) {
	for _, r := range c {
		for _, cand := range candidates[r.Name] {
			if !db.fits(r, arch, cand) {
				continue
			}
			if r.Op == "" {
				return true, nil
			}
			if cand.version == "" {
				continue
			}
			if ok, err := compare(ctx, cand.version, r.Op, r.Version); ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

// fits reports whether a candidate is of an architecture that a package of
// architecture arch may mean by r (the Multiarch specification).
func (db database) fits(r relation, arch string, c candidate) bool {
	switch {
	case r.Arch == "any":
		return c.multiArch == "allowed"
	case r.Arch != "":
		arch = r.Arch
	case c.multiArch == "foreign":
		return true
	}
	return db.real(arch) == db.real(c.arch)
}

// real is the architecture that "all" and "native" stand for.
func (db database) real(arch string) string {
	if arch == "all" || arch == "native" {
		return db.native
	}
	return arch
}
