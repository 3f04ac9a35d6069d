package packages

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

const (
	// maxYAMLNodes bounds what is looked at in an environment file, links to
	// anchors counted each time.
	maxYAMLNodes = 20_000
	condaHint    = `write it as conda reads it, for example "numpy=1.26.4"`
)

// environment reads a conda environment file: its dependencies and the
// requirements in its pip list.
func (r *reader) environment(name string) error {
	if first, err := r.once(Conda, name); !first {
		return err
	}
	data, err := r.read(name)
	if err != nil {
		return fmt.Errorf("read environment: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		line, message := yamlError(err)
		return r.refuse(name, line, errors.New(message))
	}
	e := &environmentFile{r: r, name: name, left: maxYAMLNodes}
	if len(doc.Content) == 0 {
		return nil // an empty file installs nothing
	}
	return e.top(e.follow(doc.Content[0]))
}

var yamlLine = regexp.MustCompile(`^yaml: line ([0-9]+): `)

// yamlError separates the line from what is wrong there.
func yamlError(err error) (int, string) {
	message := "not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		fmt.Sscanf(m[1], "%d", &line) //nolint:errcheck // the expression admits digits alone
		message = "not YAML: " + err.Error()[len(m[0]):]
	}
	return line, message
}

type environmentFile struct {
	r    *reader
	name string
	left int // nodes that may still be looked at
}

// follow returns what an alias stands for, or nil when there is too much.
func (e *environmentFile) follow(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode && e.left > 0 {
		e.left--
		n = n.Alias
	}
	if e.left--; e.left <= 0 {
		return nil
	}
	return n
}

func (e *environmentFile) refuse(n *yaml.Node, format string, args ...any) error {
	line := 0
	if n != nil {
		line = n.Line
	}
	return e.r.refuse(e.name, line, model.WithHint(fmt.Errorf(format, args...), condaHint))
}

func (e *environmentFile) top(n *yaml.Node) error {
	if n == nil || n.Kind != yaml.MappingNode {
		return e.refuse(n, "an environment is a mapping with `dependencies`")
	}
	var found *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "dependencies" {
			continue
		}
		if found != nil {
			return e.refuse(n.Content[i], "`dependencies` is there twice")
		}
		found = n.Content[i]
		if err := e.dependencies(e.follow(n.Content[i+1])); err != nil {
			return err
		}
	}
	return nil
}

func (e *environmentFile) dependencies(n *yaml.Node) error {
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return e.refuse(n, "`dependencies` is a list")
	}
	for _, item := range n.Content {
		d := e.follow(item)
		if d == nil {
			return e.refuse(item, "the environment is too large: more than %d entries", maxYAMLNodes)
		}
		if err := e.dependency(d); err != nil {
			return err
		}
	}
	return nil
}

// dependency takes one entry of the list: a package, or packages of pip.
func (e *environmentFile) dependency(n *yaml.Node) error {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return e.refuse(n, "an entry of `dependencies` is empty")
		}
		match, extras := cutExtras(n.Value)
		if extras != "" {
			e.r.report(plan.Warning, e.name, n.Line, model.WithHint(fmt.Errorf("conda has no extras: %s of %q adds nothing", extras, abbreviate(n.Value)),
				"list the packages that the extras stand for, or install it with pip"))
		}
		p, ok := parseMatch(match)
		if !ok {
			return e.refuse(n, "%q is not a conda package", abbreviate(n.Value))
		}
		p.File, p.Line = e.name, n.Line
		e.r.add(p)
		return nil
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key := n.Content[i]; key.Value != "pip" {
				e.r.report(plan.Warning, e.name, key.Line, fmt.Errorf("packages of %q are not read", abbreviate(key.Value)))
				continue
			}
			if err := e.pip(e.follow(n.Content[i+1])); err != nil {
				return err
			}
		}
		return nil
	}
	return e.refuse(n, "an entry of `dependencies` is a package, or `pip` with a list")
}

// pip takes the list that conda hands to pip as a requirements file.
func (e *environmentFile) pip(n *yaml.Node) error {
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return e.refuse(n, "`pip` is a list of requirements")
	}
	for _, item := range n.Content {
		d := e.follow(item)
		if d == nil {
			return e.refuse(item, "the environment is too large: more than %d entries", maxYAMLNodes)
		}
		if d.Kind != yaml.ScalarNode {
			return e.refuse(d, "an entry of `pip` is a requirement")
		}
		for _, l := range logicalLines(d.Value) {
			if err := e.r.requirement(e.name, d.Line, l.text); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	// condaName follows an optional channel: "conda-forge/linux-64::".
	condaName      = regexp.MustCompile(`^(?:([A-Za-z0-9_./:-]*)::)?\s*([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\*?|\*)\s*`)
	condaClause    = regexp.MustCompile(`^(==|!=|>=|<=|~=|=|>|<)?\s*[A-Za-z0-9_.*+!$^{}:-]+$`)
	condaBuild     = regexp.MustCompile(`^[A-Za-z0-9_.*+-]+$`)
	condaFile      = regexp.MustCompile(`(?i)\.(conda|tar\.bz2)$`)
	bracketVersion = regexp.MustCompile(`version=['"]?([^'",\]]+)`)
)

// extrasOfPip are pip's way to ask for more than a package: "name[extra,other]". For
// conda, what stands in brackets are settings, each with a value.
var extrasOfPip = regexp.MustCompile(`^([^\[\]]+)(\[[A-Za-z0-9_., -]*\])([^\[\]]*)$`)

// cutExtras takes pip's extras out of a match, which conda passes over.
func cutExtras(match string) (bare, found string) {
	if m := extrasOfPip.FindStringSubmatch(match); m != nil {
		return m[1] + m[3], m[2]
	}
	return match, ""
}

// parseMatch reads what names a package to conda: "channel::name=1.2=build",
// "name >=1,<2", "name 1.2 build", "name[version='>=1']" or the address of a
// package file.
func parseMatch(match string) (Package, bool) {
	match = strings.TrimSpace(match)
	if p, ok := condaAddress(match); ok {
		return p, true
	}
	match, bracket, hasBracket := strings.Cut(match, "[")
	if hasBracket && !strings.HasSuffix(bracket, "]") {
		return Package{}, false
	}
	m := condaName.FindStringSubmatch(match)
	if m == nil {
		return Package{}, false
	}
	rest := strings.TrimSpace(match[len(m[0]):])
	if !validMatch(rest, strings.HasSuffix(m[0], " ") || rest != match[len(m[0]):]) {
		return Package{}, false
	}
	p := Package{Ecosystem: Conda, Name: m[2], Spec: rest}
	if hasBracket {
		if !strings.Contains(bracket, "=") {
			return Package{}, false // extras are pip's
		}
		p.Spec += "[" + bracket
	}
	if m[1] != "" {
		p.Spec = inChannel(p.Spec, m[1])
	}
	return p, true
}

// inChannel adds the channel as conda's other notation has it.
func inChannel(spec, channel string) string {
	channel = withoutUser(channel)
	if bare, ok := strings.CutSuffix(spec, "]"); ok {
		return bare + ",channel=" + channel + "]"
	}
	return spec + "[channel=" + channel + "]"
}

// validMatch checks version and build. Without a space before it, a version
// needs an operator.
func validMatch(rest string, spaced bool) bool {
	if rest == "" {
		return true
	}
	if !spaced && !strings.ContainsAny(rest[:1], "=<>!~") {
		return false
	}
	version, build, hasBuild := splitBuild(rest)
	if hasBuild && !condaBuild.MatchString(build) {
		return false
	}
	for clause := range strings.FieldsFuncSeq(version, func(c rune) bool { return c == ',' || c == '|' }) {
		if !condaClause.MatchString(strings.Trim(clause, " ()")) {
			return false
		}
	}
	return strings.Trim(version, ",| ") != ""
}

// splitBuild separates "=1.2=build" and "1.2 build".
func splitBuild(rest string) (version, build string, ok bool) {
	from := len(rest) - len(strings.TrimLeft(rest, "=<>!~ "))
	if i := strings.Index(rest[from:], "="); i > 0 && !strings.ContainsAny(rest, ",|") && !strings.ContainsAny(rest[from+i-1:from+i], "<>!~") {
		return rest[:from+i], rest[from+i+1:], true
	}
	if fields := strings.Fields(rest[from:]); len(fields) == 2 && !strings.ContainsAny(rest, ",|") {
		return rest[:from] + fields[0], fields[1], true
	}
	return rest, "", false
}

// condaAddress reads the address of a package file, whose name says what is
// in it: "…/linux-64/numpy-1.26.4-py312_0.conda".
func condaAddress(match string) (Package, bool) {
	bare, _, _ := strings.Cut(match, "#")
	if !strings.Contains(bare, "://") || !condaFile.MatchString(bare) {
		return Package{}, false
	}
	parts := strings.Split(path.Base(bare), "-")
	if len(parts) < 3 {
		return Package{}, false
	}
	name := strings.Join(parts[:len(parts)-2], "-")
	if condaName.FindString(name) != name || name == "" {
		return Package{}, false
	}
	return Package{Ecosystem: Conda, Name: name, Spec: "@ " + withoutUser(match)}, true
}
