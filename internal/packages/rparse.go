package packages

import (
	"fmt"
)

// rNodeKind is what a node of R code is.
type rNodeKind int

const (
	rUnknown  rNodeKind = iota
	rText               // a string
	rNum                // a number
	rRef                // a name, with "package::" where that is written
	rCall               // kids[0] with args
	rIndex              // kids[0] with args; text is "[" or "[["
	rOp                 // text with one or two kids
	rFunction           // args are the parameters, kids[0] the body
	rBlock              // kids in turn
	rIf                 // kids: condition, then, and perhaps else
	rFor                // text is the variable; kids: values, body
)

type rNode struct {
	kind rNodeKind
	text string
	line int
	file string
	kids []*rNode
	args []rArg
}

// rArg is an argument or parameter; value may be nil.
type rArg struct {
	name  string
	value *rNode
}

// maxRDepth bounds how deep expressions may be in each other.
const maxRDepth = 200

type rParser struct {
	tokens []rToken
	at     int
	depth  int
	// inside counts the brackets in which ends of lines mean nothing.
	inside int
}

type rError struct {
	line    int
	message string
}

func (e *rError) Error() string { return e.message }

// parseR reads R code. What cannot be read is skipped to the end of its line;
// the first such place is the error.
func parseR(code string) ([]*rNode, error) {
	tokens, err := rTokens(code)
	if err != nil {
		line := 1
		if len(tokens) > 0 {
			line = tokens[len(tokens)-1].line
		}
		tokens = append(tokens, rToken{kind: rEnd, line: line})
		err = &rError{line, err.Error()}
	}
	p := &rParser{tokens: tokens}
	var out []*rNode
	for {
		p.skip()
		if p.peek().kind == rEnd {
			return out, err
		}
		from := p.at
		p.depth, p.inside = 0, 0
		n, bad := p.expression(0)
		if bad == nil && !p.ended() {
			bad = p.unexpected()
		}
		if bad == nil {
			out = append(out, n)
			continue
		}
		if err == nil {
			err = bad
		}
		p.at = max(p.at, from+1)
		for p.at < len(p.tokens)-1 && p.tokens[p.at].kind != rNewline {
			p.at++
		}
	}
}

func (p *rParser) peek() rToken {
	if p.at >= len(p.tokens) {
		return rToken{kind: rEnd}
	}
	return p.tokens[p.at]
}

func (p *rParser) take() rToken {
	t := p.peek()
	if p.at < len(p.tokens) {
		p.at++
	}
	return t
}

// skip passes ends of lines and semicolons.
func (p *rParser) skip() {
	for p.peek().kind == rNewline || p.is(";") {
		p.at++
	}
}

// lines passes ends of lines.
func (p *rParser) newlines() {
	for p.peek().kind == rNewline {
		p.at++
	}
}

func (p *rParser) is(op string) bool { t := p.peek(); return t.kind == rOperator && t.text == op }

func (p *rParser) accept(op string) bool {
	if p.is(op) {
		p.at++
		return true
	}
	return false
}

func (p *rParser) ended() bool {
	t := p.peek()
	return t.kind == rEnd || t.kind == rNewline || p.is(";") || p.is("}")
}

func (p *rParser) unexpected() error {
	t := p.peek()
	what := fmt.Sprintf("%q is not expected here", abbreviate(t.text))
	if t.kind == rEnd {
		what = "the code ends within an expression"
	} else if t.kind == rNewline {
		what = "the line ends within an expression"
	}
	return &rError{t.line, what}
}

func (p *rParser) expect(op string) error {
	if p.inside > 0 {
		p.newlines()
	}
	if !p.accept(op) {
		return p.unexpected()
	}
	return nil
}

// binary are the operators between two operands: how tight they bind, and
// whether from the right.
var rBinary = map[string]struct {
	power int
	right bool
}{
	"?": {1, false}, "=": {4, true}, ":=": {5, true}, "<-": {5, true}, "<<-": {5, true}, "->": {6, false}, "->>": {6, false},
	"~": {7, false}, "||": {8, false}, "|": {8, false}, "&&": {9, false}, "&": {9, false},
	"==": {11, false}, "!=": {11, false}, "<": {11, false}, ">": {11, false}, "<=": {11, false}, ">=": {11, false},
	"+": {12, false}, "-": {12, false}, "*": {13, false}, "/": {13, false}, "|>": {14, false}, ":": {15, false},
	"^": {17, true}, "$": {19, false}, "@": {19, false},
}

func (p *rParser) expression(least int) (*rNode, error) {
	if p.depth++; p.depth > maxRDepth {
		return nil, &rError{p.peek().line, "expressions are too deep in each other"}
	}
	defer func() { p.depth-- }()
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	for {
		if p.inside > 0 {
			p.newlines()
		}
		t := p.peek()
		if t.kind != rOperator {
			return left, nil
		}
		if t.text == "(" || t.text == "[" {
			if left, err = p.applied(left); err != nil {
				return nil, err
			}
			continue
		}
		op, ok := rBinary[t.text]
		if t.text[0] == '%' {
			op.power, ok = 14, true
		}
		if !ok || op.power < least {
			return left, nil
		}
		p.at++
		p.newlines()
		next := op.power + 1
		if op.right {
			next = op.power
		}
		right, err := p.expression(next)
		if err != nil {
			return nil, err
		}
		left = &rNode{kind: rOp, text: t.text, line: t.line, kids: []*rNode{left, right}}
	}
}

func (p *rParser) operand() (*rNode, error) {
	if p.inside > 0 {
		p.newlines()
	}
	t := p.take()
	switch t.kind {
	case rString:
		return &rNode{kind: rText, text: t.text, line: t.line}, nil
	case rNumber:
		return &rNode{kind: rNum, text: t.text, line: t.line}, nil
	case rName:
		return p.named(t)
	case rOperator:
		switch t.text {
		case "-", "+", "!", "~", "?":
			power := map[string]int{"-": 16, "+": 16, "!": 10, "~": 7, "?": 1}[t.text]
			operand, err := p.expression(power)
			if err != nil {
				return nil, err
			}
			return &rNode{kind: rOp, text: t.text, line: t.line, kids: []*rNode{operand}}, nil
		case "(":
			p.inside++
			n, err := p.expression(0)
			if err == nil {
				err = p.expect(")")
			}
			p.inside--
			return n, err
		case "{":
			return p.block(t.line)
		case "\\":
			return p.function(t.line)
		}
	}
	p.at--
	return nil, p.unexpected()
}

func (p *rParser) named(t rToken) (*rNode, error) {
	switch t.text {
	case "function":
		return p.function(t.line)
	case "if":
		return p.conditional(t.line)
	case "for":
		return p.loop(t.line)
	case "while":
		cond, err := p.parenthesized()
		if err != nil {
			return nil, err
		}
		p.newlines()
		body, err := p.expression(0)
		return &rNode{kind: rBlock, line: t.line, kids: []*rNode{cond, body}}, err
	case "repeat":
		p.newlines()
		return p.expression(0)
	}
	name := t.text
	for p.is("::") || p.is(":::") {
		p.at++
		next := p.take()
		if next.kind != rName && next.kind != rString {
			p.at--
			return nil, p.unexpected()
		}
		name += "::" + next.text
	}
	return &rNode{kind: rRef, text: name, line: t.line}, nil
}

func (p *rParser) block(line int) (*rNode, error) {
	n := &rNode{kind: rBlock, line: line}
	inside := p.inside
	p.inside = 0
	defer func() { p.inside = inside }()
	for {
		p.skip()
		if p.accept("}") {
			return n, nil
		}
		kid, err := p.expression(0)
		if err != nil {
			return nil, err
		}
		if !p.ended() {
			return nil, p.unexpected()
		}
		n.kids = append(n.kids, kid)
	}
}

func (p *rParser) parenthesized() (*rNode, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	p.inside++
	defer func() { p.inside-- }()
	n, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	p.newlines()
	if !p.accept(")") {
		return nil, p.unexpected()
	}
	return n, nil
}

func (p *rParser) conditional(line int) (*rNode, error) {
	cond, err := p.parenthesized()
	if err != nil {
		return nil, err
	}
	p.newlines()
	then, err := p.expression(4)
	if err != nil {
		return nil, err
	}
	n := &rNode{kind: rIf, line: line, kids: []*rNode{cond, then}}
	// An else may stand on a line of its own within braces. At the top R
	// would not take it, which then does no harm here.
	before := p.at
	p.newlines()
	if t := p.peek(); t.kind == rName && t.text == "else" {
		p.at++
		p.newlines()
		other, err := p.expression(4)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, other)
		return n, nil
	}
	p.at = before
	return n, nil
}

func (p *rParser) loop(line int) (*rNode, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	p.inside++
	p.newlines()
	variable := p.take()
	p.newlines()
	if in := p.take(); variable.kind != rName || in.kind != rName || in.text != "in" {
		p.inside--
		p.at--
		return nil, p.unexpected()
	}
	values, err := p.expression(0)
	if err == nil {
		err = p.expect(")")
	}
	p.inside--
	if err != nil {
		return nil, err
	}
	p.newlines()
	body, err := p.expression(4)
	if err != nil {
		return nil, err
	}
	return &rNode{kind: rFor, text: variable.text, line: line, kids: []*rNode{values, body}}, nil
}

func (p *rParser) function(line int) (*rNode, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	args, err := p.arguments(")")
	if err != nil {
		return nil, err
	}
	for i, a := range args {
		if a.name == "" && a.value != nil && a.value.kind == rRef {
			args[i] = rArg{name: a.value.text}
		}
	}
	p.newlines()
	body, err := p.expression(4)
	if err != nil {
		return nil, err
	}
	return &rNode{kind: rFunction, line: line, args: args, kids: []*rNode{body}}, nil
}

// applied takes the arguments behind what is called or indexed.
func (p *rParser) applied(left *rNode) (*rNode, error) {
	t := p.take()
	if t.text == "(" {
		args, err := p.arguments(")")
		return &rNode{kind: rCall, line: left.line, kids: []*rNode{left}, args: args}, err
	}
	double := p.accept("[")
	args, err := p.arguments("]")
	if err == nil && double {
		err = p.expect("]")
	}
	n := &rNode{kind: rIndex, text: "[", line: left.line, kids: []*rNode{left}, args: args}
	if double {
		n.text = "[["
	}
	return n, err
}

func (p *rParser) arguments(end string) ([]rArg, error) {
	p.inside++
	defer func() { p.inside-- }()
	var args []rArg
	for {
		p.newlines()
		if p.accept(end) {
			return args, nil
		}
		if p.accept(",") {
			continue
		}
		a, err := p.argument()
		if err != nil {
			return nil, err
		}
		args = append(args, a)
		p.newlines()
		if !p.is(",") && !p.is(end) {
			return nil, p.unexpected()
		}
	}
}

func (p *rParser) argument() (rArg, error) {
	t := p.peek()
	if t.kind == rName || t.kind == rString {
		before := p.at
		p.at++
		p.newlines()
		if p.accept("=") {
			p.newlines()
			if p.is(",") || p.is(")") || p.is("]") {
				return rArg{name: t.text}, nil
			}
			value, err := p.expression(5)
			return rArg{name: t.text, value: value}, err
		}
		p.at = before
	}
	value, err := p.expression(5)
	return rArg{value: value}, err
}
