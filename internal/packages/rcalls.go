package packages

import (
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

// rArgs are the values of a call's arguments.
type rArgs []struct {
	name  string
	value rValue
	node  *rNode
}

// pick returns the argument of a name, or else the one at a place among those
// without names.
func (a rArgs) pick(place int, names ...string) (rValue, bool) {
	for _, name := range names {
		for _, arg := range a {
			if arg.name == name {
				return arg.value, true
			}
		}
	}
	for _, arg := range a {
		if arg.name != "" {
			continue
		}
		if place == 0 {
			return arg.value, true
		}
		place--
	}
	return rValue{}, false
}

func (i *rInterpreter) call(n *rNode) rValue {
	callee := i.eval(n.kids[0])
	name := callee.ref
	if name == "function" || name == "quote" || name == "bquote" || name == "expression" || name == "library" || name == "require" || name == "requireNamespace" || name == "loadNamespace" {
		return rValue{}
	}
	if _, short, ok := strings.Cut(name, "::"); ok && (short == "p_load" || short == "p_install" || short == "shelf") || name == "p_load" || name == "p_install" || name == "shelf" {
		i.bareNames(n)
		return rValue{}
	}
	var args rArgs
	for _, a := range n.args {
		v := rValue{}
		if a.value != nil {
			v = i.eval(a.value)
		}
		args = append(args, struct {
			name  string
			value rValue
			node  *rNode
		}{a.name, v, a.value})
	}
	return i.apply(callee, args, n)
}

// apply calls a function with values.
func (i *rInterpreter) apply(callee rValue, args rArgs, n *rNode) rValue {
	if callee.fn != nil {
		return i.own(callee.fn, args)
	}
	if callee.ref == "" {
		return rValue{}
	}
	qualifier, name, ok := strings.Cut(callee.ref, "::")
	if !ok {
		qualifier, name = "", callee.ref
	}
	if i.install(qualifier, name, args, n) {
		return rValue{}
	}
	return i.builtin(name, args, n)
}

// own calls a function of the script.
func (i *rInterpreter) own(fn *rNode, args rArgs) rValue {
	if i.calls++; i.calls > maxRCalls {
		i.calls--
		return rValue{}
	}
	defer func() { i.calls-- }()
	env := &rEnv{vars: map[string]rValue{}, parent: i.env}
	taken := map[string]bool{}
	for _, a := range args {
		if a.name != "" {
			env.vars[a.name] = a.value
			taken[a.name] = true
		}
	}
	place := 0
	for _, p := range fn.args {
		if taken[p.name] {
			continue
		}
		if v, ok := args.pick(place); ok {
			env.vars[p.name] = v
			place++
		} else if p.value != nil {
			env.vars[p.name] = i.eval(p.value)
		} else {
			env.vars[p.name] = rValue{}
		}
	}
	before := i.env
	i.env = env
	v := i.eval(fn.kids[0])
	i.env = before
	return v
}

// builtin is what some of R's functions return. Of all others the first
// argument: they mostly select from it, or are called for their effect.
func (i *rInterpreter) builtin(name string, args rArgs, n *rNode) rValue {
	first, _ := args.pick(0)
	switch name {
	case "c", "list", "append", "union", "rbind", "data.frame", "tribble", "character":
		return combined(name, args)
	case "seq", "seq.int", "seq_len", "seq_along", "length", "nrow", "NROW":
		return counted(name, args, n)
	case "names":
		out := rValue{known: first.known}
		for _, it := range first.items {
			out.items = append(out.items, rItem{text: it.name, file: it.file, line: it.line})
		}
		return out
	case "paste", "paste0", "sprintf", "file.path":
		return pasted(name, args)
	case "unlist":
		return rValue{known: first.known, items: first.flat(0)}
	case "strsplit":
		return split(args)
	case "lapply", "sapply", "vapply", "Map", "mapply", "walk", "map", "walk2", "map2", "pwalk", "Vectorize", "apply":
		i.over(name, args, n)
		return rValue{}
	case "do.call":
		i.doCall(args, n)
		return rValue{}
	case "source":
		i.source(first)
		return rValue{}
	case "readLines", "scan", "readr::read_lines", "read_lines":
		return i.lines(first)
	case "installed.packages", "rownames", "requireNamespace", "is.element", "nchar", "Sys.getenv", "print", "cat", "message":
		return rValue{}
	}
	return first
}

func combined(name string, args rArgs) rValue {
	out := rValue{known: true}
	for _, a := range args {
		if !a.value.known {
			// What is known of a vector is worth having: a part may be NULL.
			out.known = out.known && a.node != nil && a.node.kind == rRef
			continue
		}
		items := a.value.items
		if name == "list" && len(items) != 1 {
			nested := a.value
			items = []rItem{{list: &nested}}
		}
		for _, it := range items {
			if a.name != "" && len(items) == 1 {
				it.name = a.name
			}
			if len(out.items) < maxRItems {
				out.items = append(out.items, it)
			}
		}
	}
	out.known = out.known || len(out.items) > 0
	return out
}

func (v rValue) flat(depth int) []rItem {
	var out []rItem
	for _, it := range v.items {
		if it.list == nil {
			out = append(out, it)
		} else if depth < maxDepth {
			out = append(out, it.list.flat(depth+1)...)
		}
		if len(out) > maxRItems {
			return out[:maxRItems]
		}
	}
	return out
}

// counted are the functions that count, and those that make numbers to count
// with.
func counted(name string, args rArgs, n *rNode) rValue {
	first, _ := args.pick(0, "from", "along.with")
	length := float64(len(first.items))
	f, isNumber := first.float()
	switch {
	case !first.known:
		return rValue{}
	case name == "length" || name == "nrow" || name == "NROW":
		return numeric(length, n)
	case name == "seq_along" || (name == "seq" && len(args) == 1 && !isNumber):
		if length == 0 {
			return rValue{known: true}
		}
		return sequence(1, length, 1, n)
	case !isNumber:
		return rValue{}
	case name == "seq_len" || len(args) == 1:
		return sequence(1, f, 1, n)
	}
	to, _ := args.pick(1, "to", "length.out")
	last, ok := to.float()
	if !ok {
		return rValue{}
	}
	by := 1.0
	if step, given := args.pick(2, "by"); given {
		if by, ok = step.float(); !ok {
			return rValue{}
		}
	}
	return sequence(f, last, by, n)
}

// pasted joins texts that are known, one of each.
func pasted(name string, args rArgs) rValue {
	if name == "sprintf" {
		return rValue{}
	}
	sep := map[string]string{"paste": " ", "paste0": "", "file.path": "/"}[name]
	var parts []string
	var at rItem
	for _, a := range args {
		if a.name == "sep" && len(a.value.items) == 1 {
			sep = a.value.items[0].text
			continue
		}
		if a.name == "collapse" {
			continue
		}
		if !a.value.known || len(a.value.items) != 1 || len(parts) > 100 || len(a.value.items[0].text) > maxScript {
			return rValue{}
		}
		at = a.value.items[0]
		parts = append(parts, at.text)
	}
	joined := strings.Join(parts, sep)
	if len(joined) > maxScript {
		return rValue{}
	}
	return known(rItem{text: joined, file: at.file, line: at.line})
}

func split(args rArgs) rValue {
	first, _ := args.pick(0)
	sep, ok := args.pick(1, "split")
	if !first.known || !ok || len(sep.items) != 1 {
		return rValue{}
	}
	out := rValue{known: true}
	for _, it := range first.items {
		by := sep.items[0].text
		var parts []string
		if strings.TrimSpace(by) == "" || strings.ContainsAny(by, `\[+`) {
			parts = strings.FieldsFunc(it.text, func(c rune) bool { return strings.ContainsRune(" \t\n,;", c) })
		} else {
			parts = strings.Split(it.text, by)
		}
		for _, part := range parts {
			if part = strings.TrimSpace(part); part != "" && len(out.items) < maxRItems {
				out.items = append(out.items, rItem{text: part, file: it.file, line: it.line})
			}
		}
	}
	return out
}

// over calls a function with each element.
func (i *rInterpreter) over(name string, args rArgs, n *rNode) {
	if len(args) < 2 {
		return
	}
	f, lists := len(args)-1, args[:1]
	switch name {
	case "Map", "mapply":
		f, lists = 0, args[1:]
	case "walk2", "map2":
		if len(args) > 2 {
			f, lists = 2, args[:2]
		}
	default:
		f = 1
	}
	fn := args[f].value
	if fn.fn == nil && fn.ref == "" {
		return
	}
	for k := 0; k < max(1, len(lists[0].value.items)); k++ {
		var each rArgs
		for _, list := range lists {
			one := list
			if list.value.known && k < len(list.value.items) {
				one.value = list.value.items[k].value()
			} else if list.name != "" && list.name != "version" && list.name != "package" {
				continue
			}
			if name != "Map" && name != "mapply" {
				one.name = ""
			}
			each = append(each, one)
		}
		if f < len(args)-1 && name != "Map" && name != "mapply" {
			each = append(each, args[f+1:]...)
		}
		i.apply(fn, each, n)
	}
}

func (i *rInterpreter) doCall(args rArgs, n *rNode) {
	if len(args) < 2 {
		return
	}
	fn := args[0].value
	if fn.known && len(fn.items) == 1 {
		fn = rValue{ref: fn.items[0].text}
	}
	var each rArgs
	for _, it := range args[1].value.items {
		each = append(each, struct {
			name  string
			value rValue
			node  *rNode
		}{it.name, it.value(), nil})
	}
	i.apply(fn, each, n)
}

// source follows another script in the same surroundings. It may be followed
// many times: what it defines is needed each time.
func (i *rInterpreter) source(name rValue) {
	if !name.known || len(name.items) != 1 {
		return
	}
	file, ok := i.b.found(name.items[0].text)
	if !ok {
		return
	}
	data, err := i.b.read(file)
	if err != nil {
		i.b.report(plan.Warning, file, 0, err)
		return
	}
	if i.b.sourced++; i.b.sourced > maxIncludes {
		return
	}
	i.run(file, 0, text(data))
}

// lines are those of a file that the build copies.
func (i *rInterpreter) lines(name rValue) rValue {
	if !name.known || len(name.items) != 1 {
		return rValue{}
	}
	file, ok := i.b.found(name.items[0].text)
	if !ok {
		return rValue{}
	}
	data, err := i.b.read(file)
	if err != nil {
		return rValue{}
	}
	out := rValue{known: true}
	for k, line := range strings.Split(text(data), "\n") {
		if line = strings.TrimSpace(comment.ReplaceAllString(line, "")); line != "" && len(out.items) < maxRItems {
			out.items = append(out.items, rItem{text: line, file: file, line: k + 1})
		}
	}
	return out
}

// bareNames takes a call whose arguments are names of packages, with or
// without quotes.
func (i *rInterpreter) bareNames(n *rNode) {
	i.calling = n
	for _, a := range n.args {
		if a.name != "" || a.value == nil {
			continue
		}
		if a.value.kind == rRef || a.value.kind == rText {
			i.plain(rItem{text: a.value.text, file: a.value.file, line: a.value.line})
		} else {
			i.each(i.eval(a.value), n, i.plain)
		}
	}
}
