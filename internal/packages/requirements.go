// Package packages reads the files that say what is installed in an image, and
// tells what a change adds to them, removes and alters.
package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Package is a distribution that a requirements file names.
type Package struct {
	Name string `json:"name"` // as in the requirements file: "scikit-learn"
	Spec string `json:"spec"` // extras and version specifier as written: "==1.7.2"; "@ URL" for a direct reference
	File string `json:"file"`
	Line int    `json:"line"`
}

const (
	// maxIncludes bounds the files that one requirements file leads to.
	maxIncludes = 50
	// maxRequirements bounds the size of one requirements file, in bytes.
	maxRequirements = 4 << 20
)

// Requirements reads the requirements file at path, in the format of pip, and the
// files that it includes with -r within the same tree. It returns what the file
// asks pip to install, in order: constraints (-c), options, hashes and
// comments are left out, and so are requirements whose marker rules them out on
// CPython 3 on Linux. Requirements without a name (a local path or archive) are
// left out too: what they install is not known before the build.
func Requirements(tree fs.FS, name string) ([]Package, error) {
	r := &requirements{tree: tree, seen: map[string]bool{}}
	if err := r.file(path.Clean(name)); err != nil {
		return nil, err
	}
	return r.packages, nil
}

// Changed returns the packages of head that base does not have, or has
// with another specification. The order is that of head; each name is there
// once.
func Changed(base, head []Package) []Package {
	specs := func(list []Package) map[string]map[string]bool {
		m := map[string]map[string]bool{}
		for _, p := range list {
			n := normalize(p.Name)
			if m[n] == nil {
				m[n] = map[string]bool{}
			}
			m[n][canonicalSpec(p.Spec)] = true
		}
		return m
	}
	before, after := specs(base), specs(head)
	var changed []Package
	done := map[string]bool{}
	for _, p := range head {
		n := normalize(p.Name)
		if done[n] || sameKeys(before[n], after[n]) {
			continue
		}
		done[n] = true
		changed = append(changed, p)
	}
	return changed
}

func sameKeys(a, b map[string]bool) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return true
}

var separators = regexp.MustCompile(`[-_.]+`)

// normalize makes names equal that Python's packaging takes for equal.
func normalize(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// canonicalSpec leaves out spaces, which mean nothing in a specifier. Those of
// a direct reference only stand before the address.
func canonicalSpec(spec string) string { return strings.Join(strings.Fields(spec), "") }

// requirements reads files and those that they include.
type requirements struct {
	tree     fs.FS
	seen     map[string]bool
	packages []Package
}

func (r *requirements) file(name string) error {
	if r.seen[name] {
		return nil
	}
	if len(r.seen) == maxIncludes {
		return fmt.Errorf("read %s: more than %d requirements files include each other", name, maxIncludes)
	}
	r.seen[name] = true
	data, err := fs.ReadFile(r.tree, name)
	if err != nil {
		return fmt.Errorf("read requirements: %w", err)
	}
	if len(data) > maxRequirements {
		return fmt.Errorf("read requirements %s: larger than %d MiB", name, maxRequirements>>20)
	}
	for _, l := range logicalLines(string(data)) {
		if err := r.line(name, l.number, l.text); err != nil {
			return err
		}
	}
	return nil
}

type logicalLine struct {
	number int // of its first physical line, counted from 1
	text   string
}

// comment begins at the start of a line or after white space, as pip has it:
// a '#' within an address does not.
var comment = regexp.MustCompile(`(^|\s+)#.*$`)

// logicalLines joins continued lines and cuts comments off.
func logicalLines(text string) []logicalLine {
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	var out []logicalLine
	var current strings.Builder
	start := 0
	flush := func() {
		if s := strings.TrimSpace(comment.ReplaceAllString(current.String(), "")); s != "" {
			out = append(out, logicalLine{start, s})
		}
		current.Reset()
		start = 0
	}
	for i, line := range strings.Split(text, "\n") {
		if start == 0 {
			start = i + 1
		}
		isComment := strings.HasPrefix(strings.TrimSpace(line), "#")
		if strings.HasSuffix(line, `\`) && !isComment {
			current.WriteString(strings.TrimSuffix(line, `\`))
			continue
		}
		if isComment {
			// A comment ends a continued line.
			line = " " + line
		}
		current.WriteString(line)
		flush()
	}
	flush()
	return out
}

// line takes one logical line: an option or a requirement.
func (r *requirements) line(file string, number int, text string) error {
	if strings.HasPrefix(text, "-") {
		return r.option(file, number, text)
	}
	p, marker, ok := parseRequirement(text)
	if !ok {
		if looksLikePath(text) {
			return nil
		}
		return model.WithHint(fmt.Errorf("%s:%d: %q is not a requirement", file, number, abbreviate(text)),
			`write it as pip reads it, for example "scikit-learn==1.7.2"`)
	}
	if markerHolds(marker) == no {
		return nil
	}
	p.File, p.Line = file, number
	r.packages = append(r.packages, p)
	return nil
}

// option follows -r and reads names out of -e; all others say how, not what.
func (r *requirements) option(file string, number int, text string) error {
	name, value := splitOption(text)
	switch name {
	case "-r", "--requirement":
		if value == "" || strings.Contains(value, "://") {
			return nil // pip fetches it: nothing of it is in the tree
		}
		included := path.Join(path.Dir(file), value)
		if path.IsAbs(value) || included == ".." || strings.HasPrefix(included, "../") {
			return fmt.Errorf("%s:%d: %q is outside of the repository", file, number, value)
		}
		if err := r.file(included); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return model.WithHint(fmt.Errorf("%s:%d: include %s: %w", file, number, value, err), "commit the file, or take the line out")
			}
			return err
		}
	case "-e", "--editable":
		if _, egg, ok := strings.Cut(value, "#egg="); ok {
			if p, _, ok := parseRequirement(strings.SplitN(egg, "&", 2)[0]); ok {
				r.packages = append(r.packages, Package{Name: p.Name, Spec: "@ " + withoutUser(value), File: file, Line: number})
			}
		}
	}
	return nil
}

// splitOption separates "--name value", "--name=value" and "-rvalue".
func splitOption(text string) (name, value string) {
	name, value, _ = strings.Cut(text, " ")
	if n, v, ok := strings.Cut(name, "="); ok && strings.HasPrefix(name, "--") {
		return n, strings.TrimSpace(v + " " + value)
	}
	if !strings.HasPrefix(name, "--") && len(name) > 2 {
		return name[:2], strings.TrimSpace(strings.TrimPrefix(name[2:], "=") + " " + value)
	}
	return name, strings.TrimSpace(value)
}

var (
	requirementName = regexp.MustCompile(`^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\[\]]*\])?\s*`)
	versionClause   = regexp.MustCompile(`^(===|==|~=|!=|<=|>=|<|>)\s*[^\s,;()]+$`)
	perRequirement  = regexp.MustCompile(`\s+--[a-z].*$`)
	archive         = regexp.MustCompile(`(?i)\.(whl|zip|tar\.gz|tgz|tar\.bz2|tar\.xz|tar)$`)
)

// parseRequirement reads "name[extra]>=1; marker" or "name @ address ; marker".
func parseRequirement(text string) (p Package, marker string, ok bool) {
	text = strings.TrimSpace(perRequirement.ReplaceAllString(text, "")) // --hash and its like
	m := requirementName.FindStringSubmatch(text)
	if m == nil || archive.MatchString(text) && !strings.Contains(text, "@") {
		return Package{}, "", false
	}
	p.Name = m[1]
	extras := canonicalSpec(m[2])
	rest := text[len(m[0]):]
	if address, isDirect := strings.CutPrefix(rest, "@"); isDirect {
		// A marker of a direct reference follows a space, as ';' may be part
		// of the address.
		address, marker, _ = strings.Cut(strings.TrimSpace(address), " ;")
		if address == "" || strings.ContainsAny(address, " \t") {
			return Package{}, "", false
		}
		p.Spec = strings.TrimSpace(extras + " @ " + withoutUser(address))
		return p, strings.TrimSpace(marker), true
	}
	spec, marker, _ := strings.Cut(rest, ";")
	spec = strings.TrimSpace(spec)
	if bare, found := strings.CutPrefix(spec, "("); found {
		spec = strings.TrimSpace(strings.TrimSuffix(bare, ")"))
	}
	if spec != "" {
		for clause := range strings.SplitSeq(strings.TrimSuffix(spec, ","), ",") {
			if !versionClause.MatchString(strings.TrimSpace(clause)) {
				return Package{}, "", false
			}
		}
	}
	p.Spec = extras + spec
	return p, strings.TrimSpace(marker), true
}

// withoutUser takes credentials out of an address: a Package is shown to
// people.
func withoutUser(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	host, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, tail = rest[:i], rest[i:]
	}
	if i := strings.LastIndex(host, "@"); i >= 0 {
		host = host[i+1:]
	}
	return scheme + "://" + host + tail
}

// looksLikePath says that a line names a file, folder or address, whose
// package has no name before it is built.
func looksLikePath(text string) bool {
	first := strings.Fields(text)[0]
	return strings.ContainsAny(first, "/\\") || first == "." || archive.MatchString(first)
}

func abbreviate(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return withoutUser(s)
}
