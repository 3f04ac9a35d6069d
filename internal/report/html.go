package report

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

const htmlValue = 1000 // characters of a value; rows are bounded in the page

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"clean": clean,
	"short": short,
	"place": place,
	"where": func(v *view, keys []string) string { return v.where(keys) },
	"mark": func(s plan.Severity) string {
		return map[plan.Severity]string{plan.Error: "bad", plan.Warning: "warn"}[s]
	},
	"byHand":  func() string { return byHand },
	"bytes":   plan.Size,
	"count":   count,
	"join":    func(list []string) string { return strings.Join(list, ", ") },
	"pack":    packageText,
	"loose":   loose,
	"module":  submoduleText,
	"hub":     hubChange,
	"labels":  labels,
	"value":   func(v any) string { return clean(value(v, htmlValue)) },
	"before":  func(f plan.Field) string { text, _ := pair(f.Before, f.After, htmlValue); return clean(text) },
	"after":   func(f plan.Field) string { _, text := pair(f.Before, f.After, htmlValue); return clean(text) },
	"sign":    sign,
	"capital": func(s string) string { return strings.ToUpper(s[:1]) + s[1:] },
	"title":   block.title,
	"noticed": func(l plan.Level) bool { return plan.Worse(l, plan.NextStart) },
	"added":   func(l string) bool { return strings.HasPrefix(l, "+") },
	"gone":    func(l string) bool { return strings.HasPrefix(l, "-") },
	"first":   first,
	"rest":    rest,
}).Parse(pageText))

// HTML writes the plan as one page that needs nothing else: no script, no
// picture, no font from elsewhere.
func HTML(w io.Writer, p plan.Plan, o Options) error {
	v := newView(p, o)
	data := struct {
		View         *view
		Process      string
		Changes      []model.ProcessChange
		Note         string
		Plan         plan.Plan
		Title        string
		Verdict      fact
		Facts        []fact
		Commits      string
		Effects      []effect
		Blocks       []block
		Reasons      []reasons
		Dark         []dark
		Placeholders []string
		Packaged     string
		Few          bool // so few groups that they can stand open
	}{
		View: v, Plan: p, Title: clean(o.Title), Verdict: v.verdict(), Facts: v.facts()[1:], Commits: v.commits(),
		Effects: v.effects, Blocks: v.blocks, Reasons: v.reasons, Dark: v.dark, Placeholders: v.placeholders(), Packaged: v.packaged(), Few: len(v.blocks) <= 3,
	}
	if data.Process = v.processTitle(); data.Process != "" {
		lines := v.processLines()
		data.Changes, data.Note = lines[:min(maxProcess, len(lines))], v.processNote()
	}
	if err := page.Execute(w, data); err != nil {
		return fmt.Errorf("write the plan as HTML: %w", err)
	}
	return nil
}

// first are a list's first items, as many as the page shows.
func first(n int, list any) (any, error) {
	switch l := list.(type) {
	case []plan.Problem:
		return l[:min(n, len(l))], nil
	case []plan.Field:
		l = slices.DeleteFunc(slices.Clone(l), noise)
		return l[:min(n, len(l))], nil
	case []plan.Change:
		return l[:min(n, len(l))], nil
	case []plan.Package:
		return l[:min(n, len(l))], nil
	case []string:
		return l[:min(n, len(l))], nil
	case []block:
		return l[:min(n, len(l))], nil
	case []effect:
		return l[:min(n, len(l))], nil
	case []reasons:
		return l[:min(n, len(l))], nil
	case []plan.Reason:
		return l[:min(n, len(l))], nil
	}
	return nil, fmt.Errorf("the page cannot cut %T", list)
}

// rest is how many of n items the page leaves out.
func rest(limit, n int) int { return max(0, n-limit) }
