package packages

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

// aptName is a package of Debian, with the architecture or the task mark, and
// the version or the release that apt takes behind it.
var aptName = regexp.MustCompile(`^([a-z0-9][a-z0-9.+-]*(?::[a-z0-9-]+)?\^?)([=/][^\s/]+)?$`)

// aptList reads apt.txt: names divided by white space or ends of lines, and
// comments.
func (r *reader) aptList(name string) error {
	if first, err := r.once(Apt, name); !first {
		return err
	}
	data, err := r.read(name)
	if err != nil {
		return fmt.Errorf("read list of packages: %w", err)
	}
	for i, line := range strings.Split(text(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		for word := range strings.FieldsSeq(line) {
			p, ok := parseApt(word)
			if !ok {
				r.report(plan.Warning, name, i+1, fmt.Errorf("%q is not the name of a Debian package", abbreviate(word)))
				continue
			}
			p.File, p.Line = name, i+1
			r.add(p)
		}
	}
	return nil
}

// parseApt reads "name", "name=version" and "name/release". A variable that is
// not known may be part of either.
func parseApt(word string) (Package, bool) {
	if name, version, ok := strings.Cut(word, "="); strings.Contains(name, "$") && !strings.HasPrefix(name, "$") {
		if ok {
			version = "=" + version
		}
		return Package{Ecosystem: Apt, Name: name, Spec: version}, true
	}
	m := aptName.FindStringSubmatch(word)
	if m == nil {
		return Package{}, false
	}
	return Package{Ecosystem: Apt, Name: m[1], Spec: m[2]}, true
}
