package packages

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hubship/hubship/internal/model"
)

// dockerfile follows the instructions of a Dockerfile.
type dockerfile struct {
	b      *build
	name   string
	lines  []string
	escape rune
	global map[string]string            // of ARG before the first FROM
	stages map[string]map[string]string // the variables at each stage's end, by its name
	stage  string
}

// dockerfile reads what a Dockerfile installs, and the lists that it copies.
func (b *build) dockerfile(name string) {
	data, err := b.read(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = model.WithHint(fmt.Errorf("%s does not exist", name), "commit the build file, or fix the image's `dockerfile`")
		}
		b.list(name, 0, err)
		return
	}
	src := text(data)
	parsed, err := parser.Parse(bytes.NewReader([]byte(src)))
	if err != nil {
		line, message := 0, err
		var at *parser.LocationError
		if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
			line, message = at.Locations[0][0].Start.Line, at.Unwrap()
		}
		b.list(name, line, fmt.Errorf("not a Dockerfile: %w", message))
		return
	}
	d := &dockerfile{b: b, name: name, lines: strings.Split(src, "\n"), escape: parsed.EscapeToken, global: map[string]string{}, stages: map[string]map[string]string{}}
	for _, n := range parsed.AST.Children {
		d.instruction(n)
	}
}

func (d *dockerfile) instruction(n *parser.Node) {
	switch strings.ToLower(n.Value) {
	case "from":
		d.from(n)
	case "arg":
		for a := n.Next; a != nil; a = a.Next {
			d.argument(a.Value, n.StartLine)
		}
	case "env":
		// Name, value and separator of each.
		for a := n.Next; a != nil && a.Next != nil; {
			d.set(a.Value, d.expand(a.Next.Value, n.StartLine))
			if a = a.Next.Next; a != nil {
				a = a.Next
			}
		}
	case "workdir":
		if n.Next != nil {
			d.b.workdir = under(d.b.workdir, d.expand(n.Next.Value, n.StartLine))
		}
	case "copy", "add":
		d.copy(n)
	case "run":
		d.run(n)
	}
}

func (d *dockerfile) from(n *parser.Node) {
	if d.stage == "" {
		d.global = maps.Clone(d.b.vars)
	}
	var words []string
	for a := n.Next; a != nil; a = a.Next {
		words = append(words, a.Value)
	}
	name := strconv.Itoa(len(d.stages))
	if len(words) == 3 && strings.EqualFold(words[1], "as") {
		name = strings.ToLower(words[2])
	}
	vars := map[string]string{}
	if len(words) > 0 {
		if base, ok := d.stages[strings.ToLower(words[0])]; ok {
			vars = maps.Clone(base)
		}
	}
	d.b.vars, d.b.workdir, d.b.scope, d.stage = vars, "/", name, name
	d.stages[name] = vars
}

// argument takes one of ARG: its default, or that of the same one before the
// first stage.
func (d *dockerfile) argument(arg string, line int) {
	name, value, given := strings.Cut(arg, "=")
	if given {
		d.set(name, d.expand(value, line))
		return
	}
	if value, ok := d.global[name]; ok && d.stage != "" {
		d.set(name, value)
	}
}

func (d *dockerfile) set(name, value string) {
	const most = 1000
	if _, there := d.b.vars[name]; len(value) > maxWord || !there && len(d.b.vars) >= most {
		return
	}
	d.b.vars[name] = value
	if d.stage != "" {
		d.stages[d.stage] = d.b.vars
	}
}

// expand puts variables in, and takes quotes off, as in a shell's word.
func (d *dockerfile) expand(value string, line int) string {
	if !strings.ContainsAny(value, "$\"'\\") {
		return value
	}
	if d.b.steps++; len(value) > maxWord || d.b.steps > maxSteps {
		return value
	}
	file, err := parseShell("x=" + strings.ReplaceAll(bare(value), "\n", " "))
	if err != nil || len(file.Stmts) != 1 {
		return value
	}
	s := newScript(d.b, d.name, line-1)
	s.src = "x=" + strings.ReplaceAll(bare(value), "\n", " ")
	s.stmt(file.Stmts[0], output{})
	if expanded, ok := s.vars["x"]; ok {
		return expanded
	}
	return value
}

// bare quotes what a shell would not take for a part of the word.
func bare(value string) string {
	var b strings.Builder
	var quote rune
	skip := false
	for _, c := range value {
		switch {
		case skip:
			skip = false
		case c == '\\' && quote != '\'':
			skip = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && strings.ContainsRune(" \t&|;<>()`#", c):
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// copy takes COPY and ADD: files of the context, or texts that stand in the
// Dockerfile.
func (d *dockerfile) copy(n *parser.Node) {
	for _, flag := range n.Flags {
		if strings.HasPrefix(flag, "--from=") {
			return // of another stage or image
		}
	}
	var words []string
	for a := n.Next; a != nil; a = a.Next {
		words = append(words, d.expand(a.Value, n.StartLine))
	}
	if len(words) < 2 {
		return
	}
	to := words[len(words)-1]
	var sources []string
	for _, w := range words[:len(words)-1] {
		if !strings.HasPrefix(w, "<<") {
			sources = append(sources, w)
		}
	}
	if len(sources) > 0 {
		d.b.copyTo(sources, to)
	}
	line := d.heredocLine(n)
	for _, doc := range n.Heredocs {
		target := to
		if strings.HasSuffix(to, "/") {
			target = path.Join(to, doc.Name)
		}
		target = under(d.b.workdir, target)
		key := d.b.hold(strings.TrimPrefix(target, "/"), inline{data: []byte(heredoc(doc)), file: d.name, line: line})
		d.b.copied = append(d.b.copied, copied{from: key, to: target})
		line += strings.Count(doc.Content, "\n") + 1
	}
}

func heredoc(doc parser.Heredoc) string {
	if doc.Chomp {
		return parser.ChompHeredocContent(doc.Content)
	}
	return doc.Content
}

// heredocLine is the line before the first text that an instruction holds.
func (d *dockerfile) heredocLine(n *parser.Node) int {
	total := 0
	for _, doc := range n.Heredocs {
		total += strings.Count(doc.Content, "\n") + 1
	}
	return n.EndLine - total
}

// run follows the commands of RUN.
func (d *dockerfile) run(n *parser.Node) {
	if d.b.steps++; d.b.steps > maxSteps {
		return
	}
	defer d.b.saved()()
	for _, flag := range n.Flags {
		d.mount(flag)
	}
	s := newScript(d.b, d.name, n.StartLine-1)
	if n.Attributes["json"] {
		var words []word
		for a := n.Next; a != nil; a = a.Next {
			words = append(words, word{text: a.Value, line: n.StartLine})
		}
		s.command(words, output{})
		return
	}
	if n.Next != nil && len(n.Heredocs) == 1 && strings.HasPrefix(strings.TrimSpace(n.Next.Value), "<<") && !strings.ContainsAny(n.Next.Value, " \t|>") {
		d.runHeredoc(n)
		return
	}
	if d.escape != '\\' {
		// The lines within the instruction are then not told apart.
		if n.Next != nil {
			s.run(n.Next.Value)
		}
		return
	}
	s.run(d.commands(n))
}

// runHeredoc follows a script that stands in the Dockerfile, in the language
// that its first line names.
func (d *dockerfile) runHeredoc(n *parser.Node) {
	src, line := heredoc(n.Heredocs[0]), d.heredocLine(n)
	switch language("", src) {
	case "shell":
		d.b.shellScript(d.name, line, src)
	case "r":
		d.b.rScript(d.name, line, src)
	}
}

// mount takes a bind mount of the context for a copy.
func (d *dockerfile) mount(flag string) {
	spec, ok := strings.CutPrefix(flag, "--mount=")
	if !ok {
		return
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(spec, ",") {
		k, v, _ := strings.Cut(field, "=")
		fields[strings.ToLower(k)] = v
	}
	if kind := fields["type"]; kind != "bind" && kind != "" || fields["from"] != "" {
		return
	}
	target := fields["target"] + fields["dst"] + fields["destination"]
	source := fields["source"] + fields["src"]
	if source == "" {
		source = "."
	}
	if target != "" {
		d.b.copyTo([]string{source}, target)
	}
}

var runFlag = regexp.MustCompile(`^(?:\s|\\\n)*--\S+`)

// commands is the text of RUN with its lines where they are in the Dockerfile:
// comments within it, which BuildKit takes out, become continuations.
func (d *dockerfile) commands(n *parser.Node) string {
	if n.StartLine < 1 || n.EndLine > len(d.lines) {
		return ""
	}
	lines := append([]string(nil), d.lines[n.StartLine-1:n.EndLine]...)
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		if i > 0 && (trimmed == "" || strings.HasPrefix(trimmed, "#")) {
			lines[i] = `\`
			continue
		}
		bare := strings.TrimRight(line, " \t")
		if !strings.HasSuffix(bare, `\`) || strings.HasSuffix(bare, `\\`) {
			break // what follows are texts that the instruction holds
		}
		lines[i] = bare
	}
	src := strings.Join(lines, "\n")
	if i := strings.Index(strings.ToLower(src), "run"); i >= 0 {
		src = src[:i] + "   " + src[i+3:]
	}
	for range n.Flags {
		at := runFlag.FindStringIndex(src)
		if at == nil {
			break
		}
		// Keep the ends of lines, so that what follows stays where it is.
		blank := strings.Repeat("\\\n", strings.Count(src[:at[1]], "\n"))
		src = blank + " " + src[at[1]:]
	}
	return src
}
