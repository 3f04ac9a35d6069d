package packages

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/hubship/hubship/internal/plan"
)

const (
	// maxScript bounds a script, in bytes, and maxNesting how deep its
	// commands may be in each other: parsing is recursive.
	maxScript  = 128 << 10
	maxNesting = 300
	// maxSteps bounds the commands followed in one image, those with very
	// many arguments counted as several.
	maxSteps = 20_000
)

// script follows the commands of a shell script as far as they can be known
// without running them: every branch of a condition, every item of a list.
type script struct {
	b      *build
	file   string
	line   int // of what precedes the script's first line
	src    string
	vars   map[string]string
	arrays map[string][]word
	funcs  map[string]*syntax.Stmt
	args   []word // positional parameters
	calls  int
}

// word is one argument of a command.
type word struct {
	text string
	line int
	// files stands for the contents of these files of the tree.
	files []string
}

// output is what a command writes, as far as it is known: a text, or the
// contents of files.
type output struct {
	known bool
	text  string
	line  int
	files []string
}

// shellScript reads the commands of a script whose first line is the one after line.
func (b *build) shellScript(file string, line int, src string) {
	newScript(b, file, line).run(src)
}

func newScript(b *build, file string, line int) *script {
	return &script{b: b, file: file, line: line, vars: maps.Clone(b.vars), arrays: map[string][]word{}, funcs: map[string]*syntax.Stmt{}}
}

// run parses and follows a text with the variables there are.
func (s *script) run(src string) {
	if s.b.depth++; s.b.depth > maxDepth {
		s.b.depth--
		return
	}
	defer func() { s.b.depth-- }()
	file, err := parseShell(src)
	if err != nil {
		line := s.line + 1
		var parse syntax.ParseError
		if errors.As(err, &parse) {
			line, err = s.line+int(parse.Pos.Line()), errors.New(parse.Text)
		}
		s.b.report(plan.Warning, s.file, line, fmt.Errorf("the shell commands cannot be read: %w", err))
		return
	}
	before := s.src
	s.src = src
	s.stmts(file.Stmts, output{})
	s.src = before
}

var opening = regexp.MustCompile("[({`]|\\[\\[|\\b(if|while|until|for|case|select)\\b")
var closing = regexp.MustCompile(`[)}]|\]\]|\b(fi|done|esac)\b`)

func parseShell(src string) (*syntax.File, error) {
	if len(src) > maxScript {
		return nil, fmt.Errorf("longer than %d KiB", maxScript>>10)
	}
	if len(opening.FindAllStringIndex(src, -1))-len(closing.FindAllStringIndex(src, -1)) > maxNesting || deepest(src) > maxNesting {
		return nil, fmt.Errorf("nested more than %d deep", maxNesting)
	}
	return syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(src), "")
}

// deepest is how deep brackets are in each other.
func deepest(src string) int {
	depth, most := 0, 0
	for _, c := range src {
		switch c {
		case '(', '{', '[':
			depth++
			most = max(most, depth)
		case ')', '}', ']':
			depth = max(0, depth-1)
		}
	}
	return most
}

func (s *script) stmts(list []*syntax.Stmt, in output) output {
	var all output
	for _, st := range list {
		out := s.stmt(st, in)
		all.files = append(all.files, out.files...)
		if out.known {
			if !all.known {
				all.line = out.line
			}
			all.known, all.text = true, all.text+out.text+"\n"
		}
	}
	return all
}

// stmt follows one statement and returns what it writes.
func (s *script) stmt(st *syntax.Stmt, in output) output {
	if s.b.steps++; st == nil || s.b.steps > maxSteps {
		return output{}
	}
	for _, redirect := range st.Redirs {
		if from, ok := s.redirected(redirect); ok {
			in = from
		}
	}
	out := s.cmd(st.Cmd, in)
	for _, redirect := range st.Redirs {
		switch redirect.Op {
		case syntax.RdrOut, syntax.AppOut, syntax.RdrAll, syntax.AppAll:
			if redirect.N == nil || redirect.N.Value == "1" {
				return output{}
			}
		}
	}
	return out
}

// redirected returns what a redirection has a command read.
func (s *script) redirected(redirect *syntax.Redirect) (output, bool) {
	switch redirect.Op {
	case syntax.RdrIn:
		for _, w := range s.expand(redirect.Word) {
			if name, ok := s.b.found(w.text); ok {
				return output{files: []string{name}}, true
			}
		}
	case syntax.Hdoc, syntax.DashHdoc:
		if redirect.Hdoc != nil {
			text := s.joined(redirect.Hdoc)
			return output{known: true, text: text, line: s.at(redirect.Hdoc.Pos()) - 1}, true
		}
	case syntax.WordHdoc:
		return output{known: true, text: s.joined(redirect.Word), line: s.at(redirect.Word.Pos()) - 1}, true
	}
	return output{}, false
}

func (s *script) cmd(c syntax.Command, in output) output {
	switch c := c.(type) {
	case *syntax.CallExpr:
		return s.call(c, in)
	case *syntax.BinaryCmd:
		if c.Op == syntax.Pipe || c.Op == syntax.PipeAll {
			return s.stmt(c.Y, s.stmt(c.X, in))
		}
		return s.stmts([]*syntax.Stmt{c.X, c.Y}, in)
	case *syntax.Block:
		return s.stmts(c.Stmts, in)
	case *syntax.Subshell:
		vars := maps.Clone(s.vars)
		out := s.stmts(c.Stmts, in)
		s.vars = vars
		return out
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			s.stmts(c.Cond, in)
			s.stmts(c.Then, in)
		}
	case *syntax.WhileClause:
		s.stmts(c.Cond, in)
		s.stmts(c.Do, in)
	case *syntax.ForClause:
		s.loop(c, in)
	case *syntax.CaseClause:
		for _, item := range c.Items {
			s.stmts(item.Stmts, in)
		}
	case *syntax.FuncDecl:
		s.declare(c, in)
	case *syntax.DeclClause:
		for _, a := range c.Args {
			s.assign(a)
		}
	case *syntax.TimeClause:
		return s.stmt(c.Stmt, in)
	}
	return output{}
}

// declare takes a function. The parser gives "f() { …; } && g" to the body as a
// whole: what follows the braces runs at once.
func (s *script) declare(c *syntax.FuncDecl, in output) {
	body := c.Body
	var rest []*syntax.Stmt
	for body != nil {
		list, ok := body.Cmd.(*syntax.BinaryCmd)
		if !ok {
			break
		}
		body, rest = list.X, append([]*syntax.Stmt{list.Y}, rest...)
	}
	if c.Name != nil {
		s.funcs[c.Name.Value] = body
	}
	s.stmts(rest, in)
}

// loop runs a loop's body for each item, or once when they are not known.
func (s *script) loop(c *syntax.ForClause, in output) {
	iter, ok := c.Loop.(*syntax.WordIter)
	if !ok {
		s.stmts(c.Do, in)
		return
	}
	var items []word
	for _, w := range iter.Items {
		items = append(items, s.expand(w)...)
	}
	if !iter.InPos.IsValid() {
		items = s.args
	}
	for _, item := range items {
		delete(s.arrays, iter.Name.Value)
		if len(item.files) > 0 {
			// Each line of the files in its turn: the body takes them all.
			s.arrays[iter.Name.Value] = []word{item}
		} else {
			s.vars[iter.Name.Value] = item.text
		}
		s.stmts(c.Do, in)
	}
	if len(items) == 0 {
		s.stmts(c.Do, in)
	}
	delete(s.vars, iter.Name.Value)
}

func (s *script) assign(a *syntax.Assign) {
	if a.Naked || a.Name == nil || a.Index != nil {
		return
	}
	name := a.Name.Value
	if a.Array != nil {
		var items []word
		if a.Append {
			items = s.arrays[name]
		}
		for _, e := range a.Array.Elems {
			if e.Value != nil {
				items = append(items, s.expand(e.Value)...)
			}
		}
		s.arrays[name] = items
		return
	}
	words := []word{{}}
	if a.Value != nil {
		words = s.unsplit(a.Value)
	}
	delete(s.arrays, name)
	switch {
	case len(words) == 1 && len(words[0].files) > 0:
		s.arrays[name] = words
	case a.Append:
		s.vars[name] += words[0].text
	default:
		s.vars[name] = words[0].text
	}
}

// call runs a function of the script, or a program.
func (s *script) call(c *syntax.CallExpr, in output) output {
	if len(c.Args) == 0 {
		for _, a := range c.Assigns {
			s.assign(a)
		}
		return output{}
	}
	var words []word
	for _, a := range c.Args {
		words = append(words, s.expand(a)...)
	}
	s.b.steps += len(words) / 16
	if len(words) == 0 {
		return output{}
	}
	body := s.funcs[words[0].text]
	if body == nil {
		return s.command(words, in)
	}
	if s.calls++; s.calls > maxDepth {
		s.calls--
		return output{}
	}
	before := s.args
	s.args = words[1:]
	out := s.stmt(body, in)
	s.args = before
	s.calls--
	return out
}

// at is the line in the file of a place in the script.
func (s *script) at(pos syntax.Pos) int { return s.line + int(pos.Line()) }
