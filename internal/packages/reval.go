package packages

import (
	"errors"
	"strconv"
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

const (
	maxRSteps = 1_000_000 // expressions evaluated in one image, and elements made
	maxRItems = 20_000    // of one vector
	maxRCalls = 20        // functions that call functions
)

// rValue is what an expression stands for, as far as that is known without
// running it: strings and numbers, lists of them, or a function.
type rValue struct {
	known bool
	items []rItem
	fn    *rNode // a function of the script
	ref   string // a function by its name
}

// rItem is one element, and where its text stands.
type rItem struct {
	name string // that the element has within its vector
	text string
	num  *float64
	list *rValue // an element that is a vector or list
	file string
	line int
}

// rInterpreter follows R code: every branch of a condition, loops over what
// is known, and the script's own functions.
type rInterpreter struct {
	b     *build
	file  string
	line  int // of what precedes the code's first line
	env   *rEnv
	calls int
	// calling is the call that is looked at.
	calling *rNode
}

type rEnv struct {
	vars   map[string]rValue
	parent *rEnv
}

func (e *rEnv) get(name string) (rValue, bool) {
	for ; e != nil; e = e.parent {
		if v, ok := e.vars[name]; ok {
			return v, true
		}
	}
	return rValue{}, false
}

// rScript follows R code whose first line is the one after line.
func (b *build) rScript(file string, line int, code string) {
	i := &rInterpreter{b: b, env: &rEnv{vars: map[string]rValue{}}}
	i.run(file, line, code)
}

// runR follows an R script of the tree.
func (b *build) runR(file string) {
	if first, err := b.once("script", file); !first || err != nil {
		return
	}
	if data, err := b.read(file); err == nil {
		b.rScript(file, 0, text(data))
	} else {
		b.report(plan.Warning, file, 0, err)
	}
}

func (i *rInterpreter) run(file string, line int, code string) {
	if i.b.depth++; i.b.depth > maxDepth {
		i.b.depth--
		return
	}
	defer func() { i.b.depth-- }()
	beforeFile, beforeLine := i.file, i.line
	i.file, i.line = file, line
	nodes, err := parseR(code)
	if err != nil {
		at := 1
		var where *rError
		if errors.As(err, &where) {
			at = where.line
		}
		i.b.report(plan.Warning, file, line+at, err)
	}
	for _, n := range nodes {
		i.eval(i.placed(n))
	}
	i.file, i.line = beforeFile, beforeLine
}

// placed makes lines those of the file, so that a function that is called
// from another file still knows its own.
func (i *rInterpreter) placed(n *rNode) *rNode {
	if n == nil {
		return nil
	}
	n.line += i.line
	n.file = i.file
	for _, k := range n.kids {
		i.placed(k)
	}
	for _, a := range n.args {
		i.placed(a.value)
	}
	return n
}

func (i *rInterpreter) eval(n *rNode) rValue {
	if i.b.rSteps++; n == nil || i.b.rSteps > maxRSteps {
		return rValue{}
	}
	switch n.kind {
	case rText:
		return known(rItem{text: n.text, file: n.file, line: n.line})
	case rNum:
		return number(n)
	case rRef:
		if v, ok := i.env.get(n.text); ok {
			return v
		}
		return rValue{ref: n.text}
	case rCall:
		return i.charged(i.call(n))
	case rIndex:
		return i.charged(i.index(n))
	case rOp:
		return i.charged(i.operator(n))
	case rFunction:
		return rValue{fn: n}
	case rBlock:
		var last rValue
		for _, k := range n.kids {
			last = i.eval(k)
		}
		return last
	case rIf:
		return i.conditional(n)
	case rFor:
		i.loop(n)
	}
	return rValue{}
}

// charged counts the elements of what was made, so that their number is bounded
// too.
func (i *rInterpreter) charged(v rValue) rValue {
	i.b.rSteps += len(v.items)
	if len(v.items) == 1 {
		i.b.rSteps += len(v.items[0].text) / 64
	}
	return v
}

func known(items ...rItem) rValue { return rValue{known: true, items: items} }

func number(n *rNode) rValue {
	f, err := strconv.ParseFloat(strings.TrimSuffix(n.text, "L"), 64)
	if err != nil {
		return rValue{}
	}
	return known(rItem{text: n.text, num: &f, file: n.file, line: n.line})
}

// conditional follows both branches, but for a condition that is written out.
func (i *rInterpreter) conditional(n *rNode) rValue {
	cond := n.kids[0]
	i.eval(cond)
	never := cond.kind == rRef && (cond.text == "FALSE" || cond.text == "F")
	always := cond.kind == rRef && (cond.text == "TRUE" || cond.text == "T")
	var v rValue
	if !never {
		v = i.eval(n.kids[1])
	}
	if len(n.kids) > 2 && !always {
		if other := i.eval(n.kids[2]); !v.known {
			v = other
		}
	}
	return v
}

// loop runs a loop's body for each value, or once when they are not known.
func (i *rInterpreter) loop(n *rNode) {
	values := i.eval(n.kids[0])
	if !values.known {
		i.env.vars[n.text] = rValue{}
		i.eval(n.kids[1])
		return
	}
	for _, item := range values.items {
		i.env.vars[n.text] = item.value()
		i.eval(n.kids[1])
	}
}

func (it rItem) value() rValue {
	if it.list != nil {
		return *it.list
	}
	it.name = ""
	return known(it)
}

func (i *rInterpreter) assign(target *rNode, v rValue) rValue {
	switch target.kind {
	case rRef, rText:
		i.env.vars[target.text] = v
	case rIndex, rOp, rCall:
		// A part of something changes: it is not known any more, unless the
		// part is added to a list.
		if len(target.kids) > 0 && target.kids[0].kind == rRef {
			whole := i.eval(target.kids[0])
			if target.kind == rOp && target.text == "$" || target.kind == rIndex {
				whole.items = append(whole.items[:len(whole.items):len(whole.items)], v.items...)
				if len(whole.items) > maxRItems {
					return v
				}
			}
			i.env.vars[target.kids[0].text] = whole
		}
	}
	return v
}

func (i *rInterpreter) operator(n *rNode) rValue {
	if len(n.kids) == 1 {
		v := i.eval(n.kids[0])
		if f, ok := v.float(); ok && n.text == "-" {
			return numeric(-f, n)
		}
		return rValue{}
	}
	left, right := n.kids[0], n.kids[1]
	switch n.text {
	case "<-", "<<-", "=", ":=":
		return i.assign(left, i.eval(right))
	case "->", "->>":
		return i.assign(right, i.eval(left))
	case "$", "@":
		return i.eval(left).named(right.text)
	case "|>", "%>%":
		return i.piped(left, right)
	}
	a, b := i.eval(left), i.eval(right)
	x, ok := a.float()
	y, also := b.float()
	if !ok || !also {
		return rValue{}
	}
	switch n.text {
	case "+":
		return numeric(x+y, n)
	case "-":
		return numeric(x-y, n)
	case "*":
		return numeric(x*y, n)
	case "/":
		return numeric(x/y, n)
	case ":":
		return sequence(x, y, 1, n)
	}
	return rValue{}
}

// piped follows "x |> f(args)".
func (i *rInterpreter) piped(left, right *rNode) rValue {
	if right.kind != rCall {
		right = &rNode{kind: rCall, line: right.line, file: right.file, kids: []*rNode{right}}
	}
	call := *right
	call.args = append([]rArg{{value: left}}, right.args...)
	return i.eval(&call)
}

func numeric(f float64, n *rNode) rValue {
	return known(rItem{text: strconv.FormatFloat(f, 'g', -1, 64), num: &f, file: n.file, line: n.line})
}

func sequence(from, to, by float64, n *rNode) rValue {
	v := rValue{known: true}
	if from > to && by > 0 {
		by = -by
	}
	if by == 0 || by != by || from != from || to != to {
		return rValue{}
	}
	for f := from; (by > 0 && f <= to) || (by < 0 && f >= to); f += by {
		if len(v.items) >= maxRItems || f+by == f {
			return rValue{}
		}
		v.items = append(v.items, numeric(f, n).items...)
	}
	return v
}

// float is the value of one number.
func (v rValue) float() (float64, bool) {
	if !v.known || len(v.items) != 1 || v.items[0].num == nil {
		return 0, false
	}
	return *v.items[0].num, true
}

// named is the element of a list that has the name, or everything when none has.
func (v rValue) named(name string) rValue {
	for _, it := range v.items {
		if it.name == name {
			return it.value()
		}
	}
	return rValue{}
}

// index takes an element by place or name. A condition takes everything: what
// it leaves out is known only where it runs.
func (i *rInterpreter) index(n *rNode) rValue {
	base := i.eval(n.kids[0])
	if !base.known || len(n.args) != 1 || n.args[0].value == nil {
		if len(n.args) == 0 {
			return base
		}
		return rValue{}
	}
	at := i.eval(n.args[0].value)
	if !at.known {
		return base
	}
	out := rValue{known: true}
	for _, place := range at.items {
		switch {
		case place.num == nil:
			out.items = append(out.items, base.named(place.text).items...)
		case *place.num >= 1 && *place.num <= float64(len(base.items)):
			it := base.items[int(*place.num)-1]
			if it.list != nil && (n.text == "[[" || len(at.items) == 1) {
				return *it.list
			}
			out.items = append(out.items, it)
		case *place.num < 0:
			return base // leaves one out
		}
	}
	return out
}
