package helm

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"text/template"
	"text/template/parse"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// A template can make a value that holds itself (`set $d "d" $d`), is as deep
// as it likes, or is small and holds itself a million times over. Whatever
// walks one, such as fmt, takes the whole process down: the end of the stack
// cannot be recovered from. So what a template hands to a function that may
// walk it, or prints, is measured before.
const (
	maxValueDepth = 1000 // maps and lists within each other
	mapWeight     = 256  // bytes that a copy of a map takes at least
	itemWeight    = 16   // and of anything else
	shownFunc     = "hubshipShown"
	printedFunc   = "hubshipPrinted"
)

// shown passes a value on that is not too large to be walked.
func (r *run) shown(v any) (any, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	_, err := r.weigh(v)
	return v, err
}

// printed passes on what is printed. A struct stays one whose pointer's methods
// text/template finds.
func (r *run) printed(v any) (any, error) {
	if at := reflect.ValueOf(v); at.Kind() == reflect.Struct {
		p := reflect.New(at.Type())
		p.Elem().Set(at)
		v = p.Interface()
	}
	return r.shown(v)
}

// weigh returns about how many bytes a value takes when it is written out.
func (r *run) weigh(v any) (int, error) {
	switch v := v.(type) {
	case nil, bool, int, int64, float64:
		return itemWeight, nil
	case string:
		return len(v), nil
	}
	left := maxText
	switch walk(v, &left, 0) {
	case tooDeep:
		return 0, r.fail("a template creates a value that is nested more than %d levels deep or contains itself", maxValueDepth)
	case tooLarge:
		return 0, r.fail("a template creates a value of more than %d MiB", maxText>>20)
	}
	return maxText - left, nil
}

// bounded refuses a release that only the renderer's bounds end: Helm renders
// it anew, with none.
func (up *upgrade) bounded(ctx context.Context, ch *chart.Chart) error {
	c := &compiled{}
	if err := c.adopt(copyChart(ch), up.Desired.Chart); err != nil {
		return nil //nolint:nilerr // Helm says what is wrong
	}
	t := up.Desired.Target
	_, err := up.r.renderer.renderChart(ctx, c, RenderRequest{
		Chart: up.Desired.Chart, Release: t.Release, Namespace: t.Namespace, Values: up.values, Deterministic: true, NoObjects: true,
	})
	var failed *TemplateError
	var bound *boundError
	if errors.As(err, &failed) && failed.bound || errors.As(err, &bound) {
		return err
	}
	return nil
}

// withoutCircles are the functions by which a template can make a value hold
// itself, for Helm's engine: they refuse to.
func withoutCircles() template.FuncMap {
	checked := func(v any) (any, error) {
		left := maxText
		if walk(v, &left, 0) == tooDeep {
			return nil, fmt.Errorf("a template creates a value that is nested more than %d levels deep or contains itself", maxValueDepth)
		}
		return v, nil
	}
	out := template.FuncMap{"set": func(d map[string]any, key string, v any) (any, error) { return checked(sprigSet(d, key, v)) }}
	for _, name := range []string{"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite"} {
		switch do := sprigFuncs[name].(type) {
		case func(map[string]any, ...map[string]any) any:
			out[name] = func(into map[string]any, from ...map[string]any) (any, error) { return checked(do(into, from...)) }
		case func(map[string]any, ...map[string]any) (any, error):
			out[name] = func(into map[string]any, from ...map[string]any) (any, error) {
				v, err := do(into, from...)
				if err != nil {
					return nil, err
				}
				return checked(v)
			}
		}
	}
	return out
}

type walked int

const (
	fits walked = iota
	tooDeep
	tooLarge
)

func walk(v any, left *int, depth int) walked {
	if depth > maxValueDepth {
		return tooDeep
	}
	*left -= itemWeight
	switch v := v.(type) {
	case nil:
	case string:
		*left -= len(v)
	case []byte:
		*left -= len(v)
	case common.Values:
		return walk(map[string]any(v), left, depth)
	case map[string]any:
		*left -= mapWeight
		for k, e := range v {
			*left -= len(k)
			if out := walk(e, left, depth+1); out != fits {
				return out
			}
		}
	case []any:
		for _, e := range v {
			if out := walk(e, left, depth+1); out != fits {
				return out
			}
		}
	default:
		switch at := reflect.ValueOf(v); at.Kind() {
		case reflect.Pointer:
			// Those of the renderer's own data, which hold nothing of a template's.
		case reflect.Map:
			*left -= mapWeight
			for it := at.MapRange(); it.Next(); {
				for _, e := range []any{it.Key().Interface(), it.Value().Interface()} {
					if out := walk(e, left, depth+1); out != fits {
						return out
					}
				}
			}
		case reflect.Slice, reflect.Array:
			for i := range at.Len() {
				if out := walk(at.Index(i).Interface(), left, depth+1); out != fits {
					return out
				}
			}
		}
	}
	if *left < 0 {
		return tooLarge
	}
	return fits
}

// handsOn are the functions that take any value and look no deeper into it
// than one level. All others are given what was measured.
var handsOn = func() map[string]bool {
	out := map[string]bool{}
	for _, name := range []string{
		"and", "or", "not", "len", "index", "slice", "call", "include", "tpl", "required", "default", "empty", "coalesce", "ternary", "all", "any",
		"dict", "list", "tuple", "set", "unset", "get", "hasKey", "pluck", "keys", "pick", "omit", "values", "dig", "concat", "chunk", "mustChunk",
		"append", "push", "prepend", "mustAppend", "mustPush", "mustPrepend", "first", "last", "rest", "initial", "reverse",
		"mustFirst", "mustLast", "mustRest", "mustInitial", "mustReverse", "mustSlice",
		"kindOf", "kindIs", "typeOf", "typeIs", "typeIsLike", tickFunc, enterFunc, leaveFunc, shownFunc, printedFunc, countedFunc,
	} {
		out[name] = true
	}
	return out
}()

// walks says that a function may walk what it is given.
func (g *guarding) walks(name string) bool {
	if handsOn[name] {
		return false
	}
	f := reflect.TypeOf(g.known[name])
	if f == nil || f.Kind() != reflect.Func {
		return true // one of text/template's own
	}
	for i := range f.NumIn() {
		in := f.In(i)
		if f.IsVariadic() && i == f.NumIn()-1 {
			in = in.Elem()
		}
		if k := in.Kind(); k == reflect.Interface || k == reflect.Map || k == reflect.Slice || k == reflect.Struct || k == reflect.Pointer {
			return true
		}
	}
	return false
}

// pipe has measured what its functions are given, and, if it is printed, what
// comes out of it.
func (g *guarding) pipe(p *parse.PipeNode, printed bool) {
	if p == nil {
		return
	}
	var cmds []*parse.CommandNode
	for i, c := range p.Cmds {
		walks := false
		if id, ok := c.Args[0].(*parse.IdentifierNode); ok {
			walks = g.walks(id.Ident)
		}
		for n, arg := range c.Args {
			c.Args[n] = g.arg(arg, walks && n > 0)
			if n > 0 && makes(lastField(arg)) {
				c.Args[n] = &parse.PipeNode{NodeType: parse.NodePipe, Pos: arg.Position(), Cmds: []*parse.CommandNode{g.measure(countedFunc, arg.Position(), c.Args[n])}}
			}
		}
		if walks && i > 0 {
			cmds = append(cmds, g.measure(shownFunc, c.Pos))
		}
		cmds = append(cmds, c)
		if makes(lastField(c.Args[0])) {
			cmds = append(cmds, g.measure(countedFunc, c.Pos))
		}
	}
	if printed && len(p.Decl) == 0 {
		cmds = append(cmds, g.measure(printedFunc, p.Pos))
	}
	p.Cmds = cmds
}

// measure is a command that measures what comes before it, and args.
func (g *guarding) measure(name string, at parse.Pos, args ...parse.Node) *parse.CommandNode {
	id := parse.NewIdentifier(name).SetPos(at).SetTree(g.tree)
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: at, Args: append([]parse.Node{id}, args...)}
}

// arg looks into an argument, and has it measured.
func (g *guarding) arg(n parse.Node, measured bool) parse.Node {
	switch at := n.(type) {
	case *parse.PipeNode:
		g.pipe(at, measured)
		return at
	case *parse.ChainNode:
		at.Node = g.arg(at.Node, false)
		for i, field := range at.Field {
			if writes(field) {
				inner := at.Node
				if i > 0 {
					inner = &parse.ChainNode{NodeType: parse.NodeChain, Pos: at.Pos, Node: at.Node, Field: at.Field[:i]}
				}
				return g.measured(&parse.ChainNode{NodeType: parse.NodeChain, Pos: at.Pos, Node: g.measured(inner, true), Field: at.Field[i:]}, measured)
			}
		}
		return g.measured(at, measured)
	case *parse.FieldNode:
		for i, field := range at.Ident {
			if writes(field) {
				var inner parse.Node = &parse.DotNode{NodeType: parse.NodeDot, Pos: at.Pos}
				if i > 0 {
					inner = &parse.FieldNode{NodeType: parse.NodeField, Pos: at.Pos, Ident: at.Ident[:i]}
				}
				return g.measured(&parse.ChainNode{NodeType: parse.NodeChain, Pos: at.Pos, Node: g.measured(inner, true), Field: at.Ident[i:]}, measured)
			}
		}
		return g.measured(at, measured)
	case *parse.VariableNode:
		for i, field := range at.Ident {
			if i > 0 && writes(field) {
				inner := &parse.VariableNode{NodeType: parse.NodeVariable, Pos: at.Pos, Ident: at.Ident[:i]}
				return g.measured(&parse.ChainNode{NodeType: parse.NodeChain, Pos: at.Pos, Node: g.measured(inner, true), Field: at.Ident[i:]}, measured)
			}
		}
		return g.measured(at, measured)
	case *parse.DotNode:
		return g.measured(at, measured)
	}
	return n // a constant, or a function without arguments
}

// lastField is the field or method that a node ends with, or "".
func lastField(n parse.Node) string {
	var names []string
	switch n := n.(type) {
	case *parse.FieldNode:
		names = n.Ident
	case *parse.ChainNode:
		names = n.Field
	case *parse.VariableNode:
		names = n.Ident[1:]
	}
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

// writes names the method of Helm's values that writes them out.
func writes(field string) bool { return field == "YAML" }

func (g *guarding) measured(n parse.Node, yes bool) parse.Node {
	if !yes {
		return n
	}
	return &parse.PipeNode{NodeType: parse.NodePipe, Pos: n.Position(), Cmds: []*parse.CommandNode{g.measure(shownFunc, n.Position(), n)}}
}
