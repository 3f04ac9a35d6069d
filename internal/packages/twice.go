package packages

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// twice reports packages that are listed more than once, with versions that
// differ. Lists of different stages and environments have nothing to do with
// each other, and a mention without a version agrees with any.
func (b *build) twice() {
	first := map[string]Package{}
	for _, p := range b.packages {
		if p.maybe || version(p) == "" {
			continue
		}
		k := p.scope + " " + p.key()
		before, again := first[k]
		if !again {
			first[k] = p
			continue
		}
		if version(before) != version(p) && (before.File == p.File && !exactSame(before, p) || !agree(before, p)) {
			b.report(plan.Warning, p.File, p.Line, model.WithHint(
				fmt.Errorf("%s is listed twice: %s here, %s in %s", p.Name, shown(p), shown(before), before.File),
				fmt.Sprintf("keep one of the lines: the other is %s:%d", before.File, before.Line)))
		}
	}
	b.twoInstallers(first)
}

// exactSame says that two specifications differ in notation alone.
func exactSame(a, b Package) bool {
	return strings.TrimLeft(version(a), "=") == strings.TrimLeft(version(b), "=") && a.Pinned() == b.Pinned()
}

// namesakes are packages that are one thing to conda and another to pip.
var namesakes = map[string]bool{"graphviz": true}

// twoInstallers reports what conda and pip both install, when that cannot be
// one version.
func (b *build) twoInstallers(first map[string]Package) {
	byName := map[string]Package{}
	for _, p := range first {
		if p.Ecosystem == Conda {
			byName[p.scope+" "+normalize(p.Name)] = p
		}
	}
	told := map[string]bool{}
	for _, p := range b.packages {
		if p.Ecosystem != Pip || p.maybe {
			continue
		}
		k := p.scope + " " + normalize(p.Name)
		c, both := byName[k]
		if !both || told[k] || namesakes[normalize(p.Name)] || agree(c, p) {
			continue
		}
		told[k] = true
		b.report(plan.Notice, p.File, p.Line, model.WithHint(
			fmt.Errorf("pip installs %s %s over conda's %s", p.Name, shown(p), shown(c)),
			fmt.Sprintf("list it once, with conda or with pip: the other line is %s:%d", c.File, c.Line)))
	}
}

// version is what a specification says of the version alone.
func version(p Package) string {
	spec := canonicalSpec(p.Spec)
	switch p.Ecosystem {
	case Pip:
		return canonicalSpec(withoutExtras(p.Spec))
	case Conda:
		spec, _, _ = strings.Cut(spec, "[")
	}
	return spec
}

func shown(p Package) string {
	if s := strings.TrimSpace(p.Spec); s != "" {
		return s
	}
	return "any version"
}

var oneVersion = regexp.MustCompile(`^(={1,3}|~=)?v?([0-9][0-9A-Za-z.!+-]*?)(\.\*|\*)?(=[^=]*)?$`)

// agree says that two specifications can be met by one version, or that this
// cannot be told from their texts: only versions are compared, not ranges with
// one another.
func agree(a, b Package) bool {
	x, y := oneVersion.FindStringSubmatch(version(a)), oneVersion.FindStringSubmatch(version(b))
	if x == nil || y == nil {
		return a.Ecosystem != b.Ecosystem || strings.ContainsAny(version(a)+version(b), "<>!~$|")
	}
	p, q := strings.Split(x[2], "."), strings.Split(y[2], ".")
	n := min(len(p), len(q))
	if !slices.Equal(p[:n], q[:n]) {
		return false
	}
	rest := slices.Concat(p[n:], q[n:])
	open := x[3] != "" || y[3] != "" || x[1] == "=" || y[1] == "="
	return open || !slices.ContainsFunc(rest, func(s string) bool { return strings.Trim(s, "0") != "" })
}
