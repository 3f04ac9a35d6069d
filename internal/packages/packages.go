// Package packages reads the files that say what is installed in an image, and
// tells what a change adds to them, removes and alters.
package packages

import (
	"regexp"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

// The ecosystems, each with names and versions of its own.
const (
	Pip     = "pip"
	Conda   = "conda"
	Apt     = "apt"
	R       = "r"
	Runtime = "runtime" // the language itself, as runtime.txt names it
)

// Package is something that an image's files ask to install.
type Package struct {
	Ecosystem string `json:"ecosystem"` // Pip, Conda, Apt, R or Runtime
	Name      string `json:"name"`      // as written: "scikit-learn"
	// Spec is which version, as written, without credentials: "==1.7.2",
	// "[all]>=1" or "@ https://…" (pip), "=1.2=py_0" or ">=1[channel=x]"
	// (conda), "=1:2.3-1" (apt), "==1.2-9" or "@ github::owner/repo@ref" (R).
	// Empty: whatever there is.
	Spec string `json:"spec"`
	File string `json:"file"` // from the root of the repository
	Line int    `json:"line"` // from 1

	// scope is the build stage and environment that it is installed into.
	scope string
	// maybe says that a marker, not known here, decides whether it applies.
	maybe bool
}

// Pinned says whether the specification names one version, so that a build of
// today installs what a build of tomorrow does:
//
//   - pip: a clause "==1.2.3" or "===1.2.3", without "*". A direct reference,
//     when it ends in a commit (7 to 40 hexadecimal digits) or a tag that is a
//     version, is an archive whose name has a version or a commit, or carries
//     a checksum.
//   - conda: "==1.2", "=1.2=build", or "=1.2.3": one "=" also takes what only
//     goes on after it, so it pins with three numbers or more. Not with "*".
//     The address of a package file.
//   - apt: "=version", without "*".
//   - R: "==1.2-9". A reference as for pip.
//   - runtime: "=3.11", which is as exact as repo2docker takes it.
//
// A specification with a variable that is not known ("==${VERSION}") is not
// pinned.
func (p Package) Pinned() bool {
	spec := strings.TrimSpace(p.Spec)
	if spec == "" || strings.Contains(spec, "$") {
		return false
	}
	if _, address, ok := strings.Cut(spec, "@ "); ok {
		return pinnedAddress(address)
	}
	switch p.Ecosystem {
	case Conda:
		return pinnedConda(spec)
	case Apt:
		return strings.HasPrefix(spec, "=") && !strings.ContainsAny(spec, "*?")
	case R, Runtime:
		return strings.HasPrefix(spec, "=")
	}
	return slices.ContainsFunc(pipClauses(spec), func(c string) bool {
		return strings.HasPrefix(c, "==") && !strings.Contains(c, "*")
	})
}

// pipClauses are the comparisons of a specifier, without extras and spaces.
func pipClauses(spec string) []string {
	return strings.Split(canonicalSpec(withoutExtras(spec)), ",")
}

func withoutExtras(spec string) string {
	if strings.HasPrefix(spec, "[") {
		_, spec, _ = strings.Cut(spec, "]")
	}
	return strings.TrimSpace(spec)
}

var (
	exactConda   = regexp.MustCompile(`^==[^*,|<>=~!]+(=[^*,|<>]+)?$`)
	buildConda   = regexp.MustCompile(`^=[^*,|<>=~!]+=[^*,|<>=]+$`)
	fullConda    = regexp.MustCompile(`^=[0-9]+\.[0-9]+\.[0-9]+[^*,|<>=~!]*$`)
	commitID     = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	versionTag   = regexp.MustCompile(`^[A-Za-z_-]*[0-9]+(\.[0-9]+)+[A-Za-z0-9.+_-]*$`)
	checksum     = regexp.MustCompile(`[#&](md5|sha1|sha224|sha256|sha384|sha512)=[0-9a-f]+`)
	versionInURL = regexp.MustCompile(`(^|[-_/v])[0-9]+(\.[0-9]+)+`)
)

func pinnedConda(spec string) bool {
	spec, bracket, _ := strings.Cut(canonicalSpec(spec), "[")
	if m := bracketVersion.FindStringSubmatch(bracket); m != nil && spec == "" {
		spec = "=" + strings.TrimPrefix(m[1], "=")
		if !strings.HasPrefix(m[1], "=") {
			spec = "=" + spec // version='1.2' is exact
		}
	}
	return exactConda.MatchString(spec) || buildConda.MatchString(spec) || fullConda.MatchString(spec)
}

// pinnedAddress judges what follows "@ ": the address of an archive or of a
// repository, with the commit or tag at its end.
func pinnedAddress(address string) bool {
	if checksum.MatchString(address) {
		return true
	}
	address, _, _ = strings.Cut(address, "#")
	address, _, _ = strings.Cut(address, "?")
	last := address[strings.LastIndex(address, "/")+1:]
	if archive.MatchString(last) || condaFile.MatchString(last) {
		bare := archive.ReplaceAllString(last, "")
		return versionInURL.MatchString(last) || commitID.MatchString(bare)
	}
	at := strings.LastIndex(address, "@")
	if at < 0 {
		return false
	}
	ref := address[at+1:]
	return commitID.MatchString(ref) || versionTag.MatchString(ref)
}

var separators = regexp.MustCompile(`[-_.]+`)

// normalize makes names equal that Python's packaging takes for equal.
func normalize(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// key identifies what is installed, as the ecosystem compares names.
func (p Package) key() string {
	name := p.Name
	switch p.Ecosystem {
	case Conda, Apt, Runtime:
		name = strings.ToLower(name)
	case R:
	default:
		name = normalize(name)
	}
	return p.Ecosystem + " " + name
}

// canonicalSpec leaves out spaces, which mean nothing in a specifier. Those of
// a direct reference only stand before the address.
func canonicalSpec(spec string) string { return strings.Join(strings.Fields(spec), "") }

// group is all that a list says about one package, in its order.
type group struct {
	all   []Package
	specs []string // canonical, sorted, each once
}

func grouped(list []Package) map[string]*group {
	groups := map[string]*group{}
	for _, p := range list {
		g := groups[p.key()]
		if g == nil {
			g = &group{}
			groups[p.key()] = g
		}
		g.all = append(g.all, p)
		g.specs = append(g.specs, canonicalSpec(p.Spec))
	}
	for _, g := range groups {
		slices.Sort(g.specs)
		g.specs = slices.Compact(g.specs)
	}
	return groups
}

func (g *group) same(other *group) bool {
	return g != nil && other != nil && slices.Equal(g.specs, other.specs)
}

// Changed returns the packages of head that base does not have, or has
// with another specification. The order is that of head; each name is there
// once.
func Changed(base, head []Package) []Package {
	before, after := grouped(base), grouped(head)
	var changed []Package
	done := map[string]bool{}
	for _, p := range head {
		k := p.key()
		if done[k] || after[k].same(before[k]) {
			continue
		}
		done[k] = true
		changed = append(changed, p)
	}
	return changed
}

// Compare returns what head adds, removes and changes, each package of an
// ecosystem once and without its image: what is added and changed in the order
// of head, then what is removed in the order of base. A package that is listed
// with several specifications has them all, in order and with ", " between.
func Compare(base, head []Package) []plan.Package {
	before, after := grouped(base), grouped(head)
	var out []plan.Package
	done := map[string]bool{}
	for _, p := range append(slices.Clone(head), base...) {
		k := p.key()
		if done[k] || after[k].same(before[k]) {
			continue
		}
		done[k] = true
		out = append(out, difference(before[k], after[k]))
	}
	return out
}

// difference words one package; one of the sides may be nil.
func difference(before, after *group) plan.Package {
	change, shown := plan.Changed, after
	switch {
	case before == nil:
		change = plan.Added
	case after == nil:
		change, shown = plan.Removed, before
	}
	at := shown.all[0]
	if change == plan.Changed {
		// The line that differs, not the first of several.
		for _, p := range after.all {
			if !slices.Contains(before.specs, canonicalSpec(p.Spec)) {
				at = p
				break
			}
		}
	}
	d := plan.Package{
		Ecosystem: at.Ecosystem, Name: at.Name, Change: change,
		Before: before.words(), After: after.words(), File: at.File, Line: at.Line,
	}
	if after != nil {
		d.Pinned = !slices.ContainsFunc(after.all, func(p Package) bool { return !p.Pinned() })
	}
	return d
}

func (g *group) words() string {
	if g == nil {
		return ""
	}
	var words []string
	for _, p := range g.all {
		if s := strings.TrimSpace(p.Spec); !slices.Contains(words, s) {
			words = append(words, s)
		}
	}
	if len(words) == 1 {
		return words[0]
	}
	for i, w := range words {
		if w == "" {
			words[i] = "any"
		}
	}
	return strings.Join(words, ", ")
}
