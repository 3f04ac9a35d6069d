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

// Requirements reads the requirements file at path, in the format of pip, and the
// files that it includes with -r within the same tree. It returns what the file
// asks pip to install, in order: constraints (-c), options, hashes and
// comments are left out, and so are requirements whose marker rules them out on
// CPython 3 on Linux. Requirements without a name (a local path or archive) are
// left out too: what they install is not known before the build.
func Requirements(tree fs.FS, name string) ([]Package, error) {
	r := newReader(tree)
	r.strict = true
	if err := r.requirements(path.Clean(name)); err != nil {
		return nil, err
	}
	return r.packages, nil
}

// requirements reads a requirements file, and those that it includes.
func (r *reader) requirements(name string) error {
	if first, err := r.once(Pip, name); !first {
		return err
	}
	data, err := r.read(name)
	if err != nil {
		return fmt.Errorf("read requirements: %w", err)
	}
	for _, l := range logicalLines(string(data)) {
		if err := r.requirement(name, l.number, l.text); err != nil {
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
func logicalLines(data string) []logicalLine {
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
	for i, line := range strings.Split(text([]byte(data)), "\n") {
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

// requirement takes one logical line: an option or a requirement.
func (r *reader) requirement(file string, number int, line string) error {
	if strings.HasPrefix(line, "-") {
		return r.requirementOption(file, number, line)
	}
	p, marker, ok := parseRequirement(line)
	if !ok {
		if looksLikePath(line) {
			if p, ok := unnamedRequirement(line); ok && !r.strict {
				p.File, p.Line = file, number
				r.add(p)
			}
			return nil
		}
		return r.refuse(file, number, model.WithHint(fmt.Errorf("%q is not a requirement", abbreviate(line)),
			`write it as pip reads it, for example "scikit-learn==1.7.2"`))
	}
	holds := markerHolds(marker)
	if holds == no {
		return nil
	}
	p.File, p.Line, p.maybe = file, number, holds == unknown
	r.add(p)
	return nil
}

// requirementOption follows -r and reads names out of -e; all others say how,
// not what.
func (r *reader) requirementOption(file string, number int, line string) error {
	name, value := splitOption(line)
	switch name {
	case "-r", "--requirement":
		return r.include(file, number, value)
	case "-e", "--editable":
		value = strings.Trim(value, `"'`)
		p := Package{Ecosystem: Pip, Spec: "@ " + withoutUser(value), File: file, Line: number}
		if _, egg, ok := strings.Cut(value, "#egg="); ok {
			named, _, _ := parseRequirement(strings.SplitN(egg, "&", 2)[0])
			p.Name = named.Name
		} else if named, ok := unnamedRequirement(value); ok && !r.strict {
			p.Name = named.Name
		}
		if p.Name != "" {
			r.add(p)
		}
	}
	return nil
}

// include reads the requirements file that a line of another file names.
func (r *reader) include(file string, number int, value string) error {
	value = strings.Trim(value, `"'`)
	if value == "" || strings.Contains(value, "://") {
		return nil // pip fetches it: nothing of it is in the tree
	}
	included, ok := r.beside(file, value)
	if !ok {
		return r.refuse(file, number, fmt.Errorf("%q %w", value, errOutside))
	}
	err := r.requirements(included)
	if errors.Is(err, fs.ErrNotExist) {
		err = model.WithHint(fmt.Errorf("include %s: %w", value, err), "commit the file, or take the line out")
		return r.refuse(file, number, err)
	}
	if err != nil && !r.strict {
		return r.refuse(file, number, err)
	}
	return err
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
	p.Ecosystem, p.Name = Pip, m[1]
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

var wheelName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._]*)-[0-9][^-]*(-.*)?\.(?:whl|tar\.gz|zip)$`)

// unnamedRequirement reads the address of a repository or of an archive that
// stands without a name. Its own name is taken for that of the package, which
// is not certain before the build, but is good to show.
func unnamedRequirement(line string) (Package, bool) {
	address, _, _ := strings.Cut(line, " ")
	bare, fragment, _ := strings.Cut(address, "#")
	bare, _, _ = strings.Cut(bare, "?")
	if !strings.Contains(bare, "://") {
		return Package{}, false
	}
	name := path.Base(bare)
	if strings.Contains(bare, "+") && !archive.MatchString(bare) {
		name, _, _ = strings.Cut(name, "@")
		name = strings.TrimSuffix(name, ".git")
	} else if m := wheelName.FindStringSubmatch(name); m != nil {
		name = m[1]
	} else {
		name = owner(bare)
	}
	for part := range strings.SplitSeq(fragment, "&") {
		if egg, ok := strings.CutPrefix(part, "egg="); ok {
			name, _, _ = strings.Cut(egg, "[")
		}
	}
	if m := requirementName.FindString(name); m != name || name == "" {
		return Package{}, false
	}
	return Package{Ecosystem: Pip, Name: name, Spec: "@ " + withoutUser(address)}, true
}

// owner is the repository of an archive that a forge makes:
// ".../owner/repo/archive/ref.zip".
func owner(address string) string {
	before, _, ok := strings.Cut(address, "/archive/")
	if !ok {
		return ""
	}
	return path.Base(before)
}

// looksLikePath says that a line names a file, folder or address, whose
// package has no name before it is built.
func looksLikePath(text string) bool {
	first := strings.Fields(text)[0]
	return strings.ContainsAny(first, "/\\") || strings.HasPrefix(first, ".") || archive.MatchString(first)
}

func abbreviate(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return withoutUser(s)
}
