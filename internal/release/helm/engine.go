package helm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"

	chart "helm.sh/helm/v4/pkg/chart/v2"

	"helm.sh/helm/v4/pkg/chart/common"
)

// rootTemplate names what all templates of a set belong to, and the text that
// is given to tpl.
const rootTemplate = "gotpl"

// maxIncludes is how often a template may be open at a time, as in Helm.
const maxIncludes = 1000

// templateSet is the parsed templates of a chart. It is not changed once it is
// made: each render works on a clone, which shares the parsed trees. Nothing
// writes to these while a template runs.
type templateSet struct {
	root   *template.Template
	names  []string // of the files, in the order in which they are rendered
	files  map[string]chartFiles
	parsed *parsedTexts
}

func newTemplateSet(files []templateFile, parsed *parsedTexts) (*templateSet, error) {
	// Later definitions replace earlier ones, so the order counts: what is
	// deep in the tree comes first, that the charts above can override it.
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b templateFile) int {
		if n := strings.Count(b.name, "/") - strings.Count(a.name, "/"); n != 0 {
			return n
		}
		return strings.Compare(b.name, a.name)
	})
	files = slices.CompactFunc(files, func(a, b templateFile) bool { return a.name == b.name })
	s := &templateSet{root: template.New(rootTemplate).Option("missingkey=zero").Funcs(shared()), parsed: parsed}
	for _, f := range files {
		trees, err := parsed.parse(f.name, string(f.file.Data))
		if err != nil {
			return nil, err
		}
		t := s.root.New(f.name)
		for name, tree := range trees {
			if _, err := t.AddParseTree(name, tree); err != nil {
				return nil, fmt.Errorf("template %s: %w", name, err)
			}
		}
		s.names = append(s.names, f.name)
	}
	return s, nil
}

// execute renders every template that is not a partial, by name.
func (s *templateSet) execute(ctx context.Context, ch *chart.Chart, top map[string]any, steady bool) (map[string]string, error) {
	scopesOf := make(map[string]scope, len(s.names))
	if _, err := scopes(ch, s.files, top, scopesOf); err != nil {
		return nil, err
	}
	root, err := s.root.Clone()
	if err != nil {
		return nil, fmt.Errorf("clone templates: %w", err)
	}
	root.Option("missingkey=zero") // a clone does not keep it
	run := &run{ctx: ctx, set: s, open: map[string]int{}}
	root.Funcs(run.funcs(root))
	if steady {
		root.Funcs(steadyFuncs(run))
	}
	out := make(map[string]string, len(s.names))
	for _, name := range s.names {
		if isPartial(name) {
			continue
		}
		sc := scopesOf[name]
		sc.data["Template"] = common.Values{"Name": name, "BasePath": sc.basePath}
		buf := output{run: run}
		if err := root.ExecuteTemplate(&buf, name, sc.data); err != nil {
			return nil, run.explain(name, err)
		}
		out[name] = withoutNoValue(buf.text.String())
	}
	return out, nil
}

// withoutNoValue takes out what a template writes for a value that is not
// there.
func withoutNoValue(s string) string { return strings.ReplaceAll(s, "<no value>", "") }

// include returns the function of that name for the templates of t.
func (r *run) include(t *template.Template) func(string, any) (string, error) {
	return func(name string, data any) (string, error) {
		if r.open[name] > maxIncludes {
			return "", fmt.Errorf("rendering template has a nested reference name: %s: unable to execute template", name)
		}
		r.open[name]++
		buf := output{run: r}
		err := t.ExecuteTemplate(&buf, name, data)
		r.open[name]--
		return buf.text.String(), r.short(err)
	}
}

// tpl returns the function of that name for the templates of t.
func (r *run) tpl(t *template.Template) func(string, any) (string, error) {
	return func(text string, data any) (string, error) {
		if !strings.Contains(text, "{{") {
			return withoutNoValue(text), r.check()
		}
		trees, err := r.set.parsed.text(text)
		if err != nil {
			return "", err
		}
		at := t
		if len(trees) > 1 || strings.Contains(text, "define") || strings.Contains(text, "block") {
			// What the text defines is known to it alone.
			if at, err = t.Clone(); err != nil {
				return "", fmt.Errorf("cannot clone template: %w", err)
			}
			at.Option("missingkey=zero")
			at.Funcs(template.FuncMap{"include": r.include(at), "tpl": r.tpl(at)})
		}
		main := at.New(rootTemplate)
		for name, tree := range trees {
			if at == t {
				main.Tree = tree // not registered: nothing can include it
				continue
			}
			if _, err := main.AddParseTree(name, tree); err != nil {
				return "", fmt.Errorf("cannot parse template: %w", err)
			}
		}
		buf := output{run: r}
		if err := main.Execute(&buf, data); err != nil {
			if r.failed != nil {
				return "", r.failed
			}
			// The text may be a secret: it is not quoted.
			return "", fmt.Errorf("error during tpl function execution: %w", err)
		}
		return withoutNoValue(buf.text.String()), nil
	}
}

// short keeps the error of a bound from growing at each of thousands of levels.
func (r *run) short(err error) error {
	if err != nil && r.failed != nil {
		return r.failed
	}
	return err
}

// required returns the value, or fails with the message when there is none.
func required(message string, v any) (any, error) {
	if s, ok := v.(string); v == nil || ok && s == "" {
		return v, &spokenError{message}
	}
	return v, nil
}

// spokenError is a message that a chart's author wrote.
type spokenError struct{ message string }

func (e *spokenError) Error() string { return e.message }

// explain makes an error for people of one of a template: the deepest place in
// a file, and the reason.
func (r *run) explain(name string, err error) error {
	if r.failed != nil {
		err = r.failed // the first reason; what follows is a consequence
	}
	out := &TemplateError{File: name, Message: err.Error(), bound: r.failed != nil}
	for at := err; at != nil; at = errors.Unwrap(at) {
		var exec template.ExecError
		if e, ok := at.(template.ExecError); ok { //nolint:errorlint // each link of the chain is looked at
			exec = e
			if file, line, ok := place(exec.Error()); ok && file != rootTemplate {
				out.File, out.Line = file, line
			}
		}
		if errors.Unwrap(at) == nil {
			out.Message = at.Error()
		}
	}
	if m, ok := reason(out.Message); ok {
		out.Message = m
	}
	return out
}

// parsedTexts keeps what texts parse to, those of files and those given to
// tpl. Trees are shared between sets and never changed.
type parsedTexts struct {
	mu    sync.Mutex
	files map[string]map[string]*parse.Tree
	texts map[string]map[string]*parse.Tree
	size  int            // of the keys in texts
	known map[string]any // functions that a template may call, by name
}

// keptTexts bounds the texts given to tpl that are kept, in bytes.
const keptTexts = 2 << 20

func newParsedTexts() *parsedTexts {
	return &parsedTexts{files: map[string]map[string]*parse.Tree{}, texts: map[string]map[string]*parse.Tree{}, known: knownFuncs()}
}

// parse returns the trees of a file.
func (p *parsedTexts) parse(name, text string) (map[string]*parse.Tree, error) {
	key := name + "\x00" + text
	p.mu.Lock()
	trees := p.files[key]
	p.mu.Unlock()
	if trees != nil {
		return trees, nil
	}
	trees, err := parse.Parse(name, text, "", "", p.known)
	if err != nil {
		file, line, _ := place(err.Error())
		message := err.Error()
		if m, ok := reason(message); ok {
			message = m
		}
		if file == "" {
			file = name
		}
		return nil, &TemplateError{File: file, Line: line, Message: message}
	}
	if err := guard(trees, p.known); err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.files[key] = trees
	p.mu.Unlock()
	return trees, nil
}

// text returns the trees of a text that is given to tpl.
func (p *parsedTexts) text(text string) (map[string]*parse.Tree, error) {
	p.mu.Lock()
	trees := p.texts[text]
	p.mu.Unlock()
	if trees != nil {
		return trees, nil
	}
	trees, err := parse.Parse(rootTemplate, text, "", "", p.known)
	if err != nil {
		message, _ := reason(err.Error())
		return nil, fmt.Errorf("cannot parse the template that is given to tpl: %s", message)
	}
	if err := guard(trees, p.known); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.size += len(text); p.size > keptTexts {
		p.texts, p.size = map[string]map[string]*parse.Tree{}, len(text)
	}
	p.texts[strings.Clone(text)] = trees
	return trees, nil
}

// knownFuncs names all functions that a template may call.
func knownFuncs() map[string]any {
	out := maps.Clone(map[string]any(shared()))
	for _, name := range []string{
		"and", "call", "html", "index", "slice", "js", "len", "not", "or", "print", "printf", "println", "urlquery",
		"eq", "ge", "gt", "le", "lt", "ne",
	} {
		if out[name] == nil {
			out[name] = true // parsing asks only whether it is there
		}
	}
	return out
}
