package packages

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxWord bounds what variables may make of one word, in bytes.
const maxWord = 64 << 10

// expand returns the arguments that a word of a script becomes. What is not
// known stays as it is written.
func (s *script) expand(w *syntax.Word) []word {
	if w == nil {
		return nil
	}
	e := &expansion{s: s, line: s.at(w.Pos())}
	for _, part := range w.Parts {
		e.part(part, false)
	}
	e.flush()
	return e.out
}

// unsplit expands a word that stays one, such as the value of an assignment.
func (s *script) unsplit(w *syntax.Word) []word {
	e := &expansion{s: s, line: s.at(w.Pos()), whole: true}
	for _, part := range w.Parts {
		e.part(part, false)
	}
	e.has = true
	e.flush()
	return e.out[:1]
}

func (s *script) joined(w *syntax.Word) string { return s.unsplit(w)[0].text }

type expansion struct {
	s     *script
	line  int
	whole bool // nothing is divided at white space
	cur   strings.Builder
	has   bool // a word has begun, though it may be empty
	files []string
	out   []word
}

func (e *expansion) flush() {
	if e.has || e.cur.Len() > 0 {
		e.out = append(e.out, word{text: e.cur.String(), line: e.line, files: e.files})
	}
	e.cur.Reset()
	e.has, e.files = false, nil
}

// write adds text to the word that there is.
func (e *expansion) write(text string) {
	if e.cur.Len()+len(text) <= maxWord {
		e.cur.WriteString(text)
	}
}

// split adds text that ends the word at its white space.
func (e *expansion) split(text string) {
	if e.whole || len(e.out) > maxPackages {
		e.write(text)
		return
	}
	for i, field := range strings.Fields(" " + text + " ") {
		if i > 0 || startsWithSpace(text) {
			e.flush()
		}
		e.write(field)
	}
	if text != "" && startsWithSpace(text[len(text)-1:]) {
		e.flush()
	}
}

func startsWithSpace(text string) bool { return text != "" && strings.ContainsAny(text[:1], " \t\n") }

// each adds words that stay divided, as of "$@".
func (e *expansion) each(words []word) {
	for i, w := range words {
		if i > 0 {
			if e.whole {
				e.write(" ")
			} else {
				e.flush()
			}
		}
		e.write(w.text)
		e.has, e.files = true, append(e.files, w.files...)
	}
}

func (e *expansion) part(part syntax.WordPart, quoted bool) {
	switch p := part.(type) {
	case *syntax.Lit:
		e.write(unescape(p.Value, quoted))
	case *syntax.SglQuoted:
		e.write(p.Value)
		e.has = true
	case *syntax.DblQuoted:
		e.has = !isList(p)
		for _, inner := range p.Parts {
			e.part(inner, true)
		}
	case *syntax.ParamExp:
		e.parameter(p, quoted)
	case *syntax.CmdSubst:
		e.substitution(p, quoted)
	default:
		e.write(e.source(part))
	}
}

// isList says that a quoted word is "$@" or "${list[@]}" alone, which may be
// no word at all.
func isList(q *syntax.DblQuoted) bool {
	if len(q.Parts) != 1 {
		return false
	}
	p, ok := q.Parts[0].(*syntax.ParamExp)
	return ok && p.Param != nil && (p.Param.Value == "@" || p.Index != nil)
}

// source is the script's own text.
func (e *expansion) source(n syntax.Node) string {
	from, to := int(n.Pos().Offset()), int(n.End().Offset())
	if from < 0 || to > len(e.s.src) || from > to {
		return "$?"
	}
	return e.s.src[from:to]
}

func (e *expansion) parameter(p *syntax.ParamExp, quoted bool) {
	if p.Param == nil || p.Excl || p.Length || p.Width || p.Slice != nil || p.Repl != nil || p.Names != 0 {
		e.write(e.source(p))
		return
	}
	name := p.Param.Value
	if name == "@" || name == "*" {
		e.each(e.s.args)
		return
	}
	if list, ok := e.s.arrays[name]; ok {
		e.each(list)
		return
	}
	value, known := e.s.vars[name]
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(e.s.args) {
		value, known = e.s.args[n-1].text, true
	}
	if p.Exp != nil {
		switch p.Exp.Op {
		case syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AssignUnset, syntax.AssignUnsetOrNull:
			if !known && p.Exp.Word != nil {
				value, known = e.s.joined(p.Exp.Word), true
			}
		case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		default:
			known = false
		}
	}
	switch {
	case !known:
		e.write(e.source(p))
	case quoted:
		e.write(value)
	default:
		e.split(value)
	}
}

func (e *expansion) substitution(c *syntax.CmdSubst, quoted bool) {
	out := e.s.stmts(c.Stmts, output{})
	switch text := strings.TrimRight(out.text, "\n"); {
	case len(out.files) > 0:
		e.files = append(e.files, out.files...)
		e.has = true
	case !out.known:
		e.write(e.source(c))
	case quoted:
		e.write(text)
	default:
		e.split(text)
	}
}

// unescape takes the backslashes out of a text that is not in single quotes.
func unescape(text string, quoted bool) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			next := text[i+1]
			if next == '\n' {
				i++
				continue
			}
			if !quoted || strings.IndexByte("\\\"$`", next) >= 0 {
				i++
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
