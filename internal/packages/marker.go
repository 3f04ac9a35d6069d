package packages

import (
	"regexp"
	"strconv"
	"strings"
)

// truth is yes, no, or unknown when a marker depends on what is not known.
type truth int

const (
	unknown truth = iota
	yes
	no
)

// oldestPython and newestPython bound the minor versions of Python 3 that a
// user image may have. A marker that is the same for all of them is decided.
const (
	oldestPython = 9
	newestPython = 99
)

// fixed are the marker variables whose value is known: images run on Linux
// with CPython, and a requirements file asks for no extra.
var fixed = map[string]string{
	"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
	"platform_python_implementation": "CPython", "implementation_name": "cpython", "extra": "",
}

var markerToken = regexp.MustCompile(`^\s*(\(|\)|===|==|~=|!=|<=|>=|<|>|"[^"]*"|'[^']*'|[A-Za-z_][A-Za-z0-9_.]*)`)

// markerHolds evaluates an environment marker. What it does not understand is
// unknown: the requirement is then taken to apply, so that verification looks.
func markerHolds(marker string) truth {
	if strings.TrimSpace(marker) == "" {
		return yes
	}
	var tokens []string
	for rest := marker; strings.TrimSpace(rest) != ""; {
		m := markerToken.FindStringSubmatch(rest)
		if m == nil {
			return unknown
		}
		tokens = append(tokens, m[1])
		rest = rest[len(m[0]):]
	}
	const maxTokens = 200 // bounds the recursion
	if len(tokens) > maxTokens {
		return unknown
	}
	p := &markerParser{tokens: tokens}
	t := p.or()
	if p.bad || len(p.tokens) > 0 {
		return unknown
	}
	return t
}

type markerParser struct {
	tokens []string
	bad    bool
}

func (p *markerParser) next() string {
	if len(p.tokens) == 0 {
		p.bad = true
		return ""
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *markerParser) accept(word string) bool {
	if len(p.tokens) > 0 && p.tokens[0] == word {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *markerParser) or() truth {
	t := p.and()
	for p.accept("or") {
		u := p.and()
		switch {
		case t == yes || u == yes:
			t = yes
		case t == no && u == no:
			t = no
		default:
			t = unknown
		}
	}
	return t
}

func (p *markerParser) and() truth {
	t := p.atom()
	for p.accept("and") {
		u := p.atom()
		switch {
		case t == no || u == no:
			t = no
		case t == yes && u == yes:
			t = yes
		default:
			t = unknown
		}
	}
	return t
}

func (p *markerParser) atom() truth {
	if p.accept("(") {
		t := p.or()
		if !p.accept(")") {
			p.bad = true
		}
		return t
	}
	left := p.next()
	op := p.next()
	if op == "not" && p.accept("in") {
		op = "not in"
	}
	right := p.next()
	if p.bad {
		return unknown
	}
	return compare(left, op, right)
}

// flipped is each operator with its sides exchanged.
var flipped = map[string]string{"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}

func compare(left, op, right string) truth {
	if isQuoted(left) && !isQuoted(right) {
		if f, ok := flipped[op]; ok {
			left, op, right = right, f, left
		}
	}
	if isQuoted(left) || !isQuoted(right) {
		return unknown
	}
	literal := right[1 : len(right)-1]
	if left == "python_version" {
		return comparePython(op, literal)
	}
	value, ok := fixed[left]
	if !ok {
		return unknown
	}
	switch op {
	case "==":
		return truthOf(value == literal)
	case "!=":
		return truthOf(value != literal)
	case "in":
		return truthOf(strings.Contains(literal, value))
	case "not in":
		return truthOf(!strings.Contains(literal, value))
	}
	return unknown
}

func isQuoted(s string) bool { return len(s) >= 2 && (s[0] == '"' || s[0] == '\'') }

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// comparePython decides a comparison of the Python version if it comes out the
// same for every version that an image may have.
func comparePython(op, literal string) truth {
	major, minor, found := strings.Cut(strings.TrimSpace(literal), ".")
	a, err := strconv.Atoi(major)
	if err != nil {
		return unknown
	}
	b := 0
	if found {
		if b, err = strconv.Atoi(minor); err != nil {
			return unknown
		}
	}
	holds := func(v int) truth {
		d := 3 - a
		if d == 0 {
			d = v - b
		}
		switch op {
		case "<":
			return truthOf(d < 0)
		case "<=":
			return truthOf(d <= 0)
		case ">":
			return truthOf(d > 0)
		case ">=":
			return truthOf(d >= 0)
		case "==":
			return truthOf(d == 0)
		case "!=":
			return truthOf(d != 0)
		}
		return unknown
	}
	first := holds(oldestPython)
	for v := oldestPython + 1; v <= newestPython; v++ {
		if holds(v) != first {
			return unknown
		}
	}
	return first
}
