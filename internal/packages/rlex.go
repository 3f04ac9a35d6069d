package packages

import (
	"fmt"
	"strings"
)

// rKind is what a token of R code is.
type rKind int

const (
	rEnd rKind = iota
	rNewline
	rString
	rNumber
	rName
	rOperator
)

type rToken struct {
	kind rKind
	text string // of a string: what it stands for
	line int    // within the code, from 1
}

// rOperators are the operators of several characters, longest first.
var rOperators = []string{"<<-", "->>", ":::", "<-", "->", "<=", ">=", "==", "!=", "&&", "||", "|>", "::", ":="}

// rTokens divides R code. It ends with a token of the kind rEnd.
func rTokens(code string) ([]rToken, error) {
	l := &rLexer{code: code, line: 1}
	for l.at < len(l.code) {
		if err := l.next(); err != nil {
			return l.out, err
		}
	}
	l.emit(rEnd, "")
	return l.out, nil
}

type rLexer struct {
	code string
	at   int
	line int
	out  []rToken
}

func (l *rLexer) emit(kind rKind, text string) { l.out = append(l.out, rToken{kind, text, l.line}) }

func (l *rLexer) next() error {
	c := l.code[l.at]
	switch {
	case c == '\n':
		l.emit(rNewline, "\n")
		l.line++
		l.at++
	case c == '#':
		for l.at < len(l.code) && l.code[l.at] != '\n' {
			l.at++
		}
	case strings.IndexByte(" \t\r\f\v", c) >= 0:
		l.at++
	case c == '"' || c == '\'' || c == '`':
		return l.quoted(c)
	case (c == 'r' || c == 'R') && l.raw():
	case isRLetter(c) || c == '.' && !(l.at+1 < len(l.code) && isDigit(l.code[l.at+1])):
		start := l.at
		for l.at < len(l.code) && (isRLetter(l.code[l.at]) || isDigit(l.code[l.at]) || l.code[l.at] == '.' || l.code[l.at] == '_') {
			l.at++
		}
		l.emit(rName, l.code[start:l.at])
	case isDigit(c) || c == '.':
		l.number()
	case c == '%':
		end := strings.IndexAny(l.code[l.at+1:], "%\n")
		if end < 0 || l.code[l.at+1+end] == '\n' {
			return fmt.Errorf("an operator that begins with %% has no end")
		}
		l.emit(rOperator, l.code[l.at:l.at+end+2])
		l.at += end + 2
	default:
		for _, op := range rOperators {
			if strings.HasPrefix(l.code[l.at:], op) {
				l.emit(rOperator, op)
				l.at += len(op)
				return nil
			}
		}
		if strings.IndexByte("+-*/^=<>!&|~?:$@(){}[],;\\", c) < 0 {
			return fmt.Errorf("%q does not belong into R code", l.code[l.at:l.at+1])
		}
		l.emit(rOperator, l.code[l.at:l.at+1])
		l.at++
	}
	return nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isRLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func (l *rLexer) number() {
	start := l.at
	for l.at < len(l.code) {
		c := l.code[l.at]
		exponent := l.at > start && (c == '+' || c == '-') && strings.IndexByte("eE", l.code[l.at-1]) >= 0 && !strings.HasPrefix(l.code[start:], "0x")
		if !isDigit(c) && !isRLetter(c) && c != '.' && !exponent {
			break
		}
		l.at++
	}
	l.emit(rNumber, l.code[start:l.at])
}

// quoted takes a string, or a name in backquotes.
func (l *rLexer) quoted(quote byte) error {
	var b strings.Builder
	lines := 0
	for i := l.at + 1; i < len(l.code); i++ {
		switch c := l.code[i]; {
		case c == quote:
			kind := rString
			if quote == '`' {
				kind = rName
			}
			l.emit(kind, b.String())
			l.at = i + 1
			l.line += lines
			return nil
		case c == '\\' && i+1 < len(l.code):
			i++
			switch l.code[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case '\n':
				lines++
				b.WriteByte('\n')
			default:
				b.WriteByte(l.code[i])
			}
		default:
			if c == '\n' {
				lines++
			}
			b.WriteByte(c)
		}
	}
	return fmt.Errorf("a string has no end")
}

// raw takes r"(...)" and its like, if there is one.
func (l *rLexer) raw() bool {
	rest := l.code[l.at+1:]
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return false
	}
	dashes := len(rest[1:]) - len(strings.TrimLeft(rest[1:], "-"))
	if 1+dashes >= len(rest) {
		return false
	}
	i := strings.IndexByte("([{", rest[1+dashes])
	if i < 0 {
		return false
	}
	end := ")]}"[i:i+1] + strings.Repeat("-", dashes) + rest[:1]
	body := rest[2+dashes:]
	n := strings.Index(body, end)
	if n < 0 {
		return false
	}
	l.emit(rString, body[:n])
	l.line += strings.Count(body[:n], "\n")
	l.at += 1 + 2 + dashes + n + len(end)
	return true
}
