package helm

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
)

// Bounds of one render. A chart comes from a change that nobody has reviewed
// yet: it may loop, or build texts without end.
const (
	maxText    = 32 << 20  // bytes of one text
	maxTexts   = 512 << 20 // bytes of all texts that were built
	maxList    = 200_000   // items of one list that a function makes
	maxNesting = 5000      // templates within templates: the stack of a process is bounded
	askEvery   = 64        // steps between two looks at the clock
)

// run is one render.
type run struct {
	ctx    context.Context //nolint:containedctx // template functions have no other way to it
	set    *templateSet
	open   map[string]int // templates that are being included, by name
	depth  int            // of templates within templates
	steps  int
	built  int // bytes of texts
	failed error
}

// errBound marks an error of a bound, which no template can catch.
type boundError struct{ message string }

func (e *boundError) Error() string { return e.message }

func (r *run) fail(format string, args ...any) error {
	err := &boundError{fmt.Sprintf(format, args...)}
	if r.failed == nil {
		r.failed = err
	}
	return err
}

// check fails when the time is over. It does not look at the clock each time.
func (r *run) check() error {
	if r.steps++; r.steps%askEvery != 0 {
		return nil
	}
	if r.ctx.Err() != nil {
		return r.fail("%v", context.Cause(r.ctx))
	}
	return nil
}

// tick is called at each turn of each loop.
func (r *run) tick() (string, error) { return "", r.check() }

// enter is called at the start of each template, leave at its end.
func (r *run) enter() (string, error) {
	if r.depth++; r.depth > maxNesting {
		return "", r.fail("templates call each other more than %d levels deep", maxNesting)
	}
	return "", r.check()
}

func (r *run) leave() string {
	r.depth--
	return ""
}

// grown counts a text that was built, or is about to be.
func (r *run) grown(n int) error {
	if n < 0 || n > maxText {
		return r.fail("a template builds a text of more than %d MiB", maxText>>20)
	}
	if r.built += n; r.built > maxTexts {
		return r.fail("templates build texts of more than %d MiB in all", maxTexts>>20)
	}
	return r.check()
}

// spent counts what takes memory, and is no text.
func (r *run) spent(n int) error {
	if r.built += n; r.built > maxTexts {
		return r.fail("templates build texts, lists and maps of more than %d MiB in all", maxTexts>>20)
	}
	return r.check()
}

// output takes what a template writes, up to a bound.
type output struct {
	run  *run
	text strings.Builder
}

// Write adds to the output.
func (o *output) Write(p []byte) (int, error) {
	if o.text.Len()+len(p) > maxText {
		return 0, o.run.fail("a template writes more than %d MiB", maxText>>20)
	}
	if o.run.built += len(p); o.run.built > maxTexts {
		return 0, o.run.fail("templates write more than %d MiB in all", maxTexts>>20)
	}
	return o.text.Write(p)
}

// Names of the functions that guard puts into templates.
const (
	tickFunc  = "hubshipTick"
	enterFunc = "hubshipEnter"
	leaveFunc = "hubshipLeave"
)

// guard puts a call into each turn of each loop, and at both ends of each
// template: text/template itself can be interrupted only where a function is
// called. And it has values measured before anything walks them. The calls write nothing. Empty templates stay empty, since these do
// not replace others of their name.
func guard(trees map[string]*parse.Tree, known map[string]any) error {
	for _, t := range trees {
		if t == nil || t.Root == nil || parse.IsEmptyTree(t.Root) {
			continue
		}
		g := guarding{tree: t, known: known}
		g.list(t.Root)
		enter, leave := g.call(enterFunc, 1), g.call(leaveFunc, 1)
		if g.err != nil {
			return g.err
		}
		nodes := make([]parse.Node, 0, len(t.Root.Nodes)+2)
		nodes = append(nodes, enter)
		nodes = append(nodes, t.Root.Nodes...)
		t.Root.Nodes = append(nodes, leave)
	}
	return nil
}

type guarding struct {
	tree  *parse.Tree
	known map[string]any
	err   error
}

// call is a node that calls a function and writes nothing. Its text has the
// call in the given line, so that an error says where it came from.
func (g *guarding) call(name string, line int) parse.Node {
	text := strings.Repeat("\n", max(line-1, 0)) + "{{$hubship := " + name + "}}"
	trees, err := parse.Parse(g.tree.ParseName, text, "", "", g.known)
	if err != nil {
		g.err = errors.Join(g.err, err)
		return nil
	}
	nodes := trees[g.tree.ParseName].Root.Nodes
	return nodes[len(nodes)-1]
}

func (g *guarding) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			g.pipe(n.Pipe, true)
		case *parse.TemplateNode:
			g.pipe(n.Pipe, false)
		case *parse.IfNode:
			g.pipe(n.Pipe, false)
			g.list(n.List)
			g.list(n.ElseList)
		case *parse.WithNode:
			g.pipe(n.Pipe, false)
			g.list(n.List)
			g.list(n.ElseList)
		case *parse.RangeNode:
			g.pipe(n.Pipe, false)
			g.list(n.List)
			g.list(n.ElseList)
			if tick := g.call(tickFunc, n.Line); tick != nil {
				n.List.Nodes = append([]parse.Node{tick}, n.List.Nodes...)
			}
		}
	}
}

// place reads file and line out of an error of text/template:
// "template: FILE:LINE[:COLUMN]: …".
func place(message string) (file string, line int, ok bool) {
	rest, ok := strings.CutPrefix(message, "template: ")
	if !ok {
		return "", 0, false
	}
	at, _, _ := strings.Cut(rest, ": ")
	parts := strings.Split(at, ":")
	if len(parts) < 2 {
		return "", 0, false
	}
	line, err := strconv.Atoi(parts[1])
	return parts[0], line, err == nil
}

// reason is what an error of text/template says beside the place.
func reason(message string) (string, bool) {
	rest, ok := strings.CutPrefix(message, "template: ")
	if !ok {
		return message, false
	}
	_, rest, ok = strings.Cut(rest, ": ")
	if !ok {
		return message, false
	}
	if strings.HasPrefix(rest, "executing ") {
		if _, why, ok := strings.Cut(rest, ">: "); ok {
			return why, true
		}
	}
	return rest, true
}

// guardFuncs are the functions that guard puts into templates.
func (r *run) guardFuncs() template.FuncMap {
	return template.FuncMap{tickFunc: r.tick, enterFunc: r.enter, leaveFunc: r.leave, shownFunc: r.shown, printedFunc: r.printed, countedFunc: r.made}
}
