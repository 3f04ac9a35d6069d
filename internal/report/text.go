package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hubship/hubship/internal/plan"
)

// Bounds of the text, so that a plan for a whole fleet can be read.
const (
	textProblems = 20
	textOld      = 5
	textEffects  = 12
	textReasons  = 8
	textPaths    = 5
	textBlocks   = 8
	textTags     = 3 // groups of releases with nothing but another tag
	textBuilt    = 6 // images that are told with their paths
	textObjects  = 10
	textFields   = 10
	textLines    = 16
	textPackages = 25
	textValue    = 70
)

// Text writes the plan for a terminal. It is bounded: of what a large plan has
// too much of, the first is written, and how much is left out.
func Text(w io.Writer, p plan.Plan, o Options) error {
	if o.Width <= 0 {
		o.Width = 100
	}
	t := &text{view: newView(p, o), width: max(o.Width, 40)}
	t.process()
	t.summary()
	t.problems()
	t.felt()
	t.images()
	t.packages()
	t.submodules()
	t.objects()
	t.causes()
	t.unrelated()
	if _, err := io.WriteString(w, t.b.String()); err != nil {
		return fmt.Errorf("write the plan as text: %w", err)
	}
	return nil
}

type text struct {
	*view
	b     strings.Builder
	width int
}

// The colours, as terminals know them.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (t *text) paint(code, s string) string {
	if !t.options.Colour || s == "" || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func colour(class string) string {
	return map[string]string{"bad": red, "warn": yellow, "good": green}[class]
}

// put writes a text, broken into lines, the first one behind a prefix that is
// painted already and seen as wide as the indent.
func (t *text) put(prefix string, indent int, code, s string) {
	t.b.WriteString(prefix)
	at := indent
	for i, word := range strings.Fields(clean(s)) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > t.width:
			t.b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			t.b.WriteString(" ")
			at++
		}
		t.b.WriteString(t.paint(code, word))
		at += n
	}
	t.b.WriteString("\n")
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

func (t *text) head(title string) {
	t.b.WriteString("\n" + t.paint(bold, title) + "\n")
}

func (t *text) more(indent, n int, noun string) {
	if n > 0 {
		t.put(strings.Repeat(" ", indent), indent, dim, fmt.Sprintf("… and %s more; -o json has all", count(n, noun)))
	}
}

func (t *text) summary() {
	title := "Plan " + t.commits()
	if t.options.Title != "" {
		title += "  " + line(t.options.Title)
	}
	t.b.WriteString(t.paint(bold, clean(title)) + "\n")
	for _, f := range t.facts() {
		t.put(t.paint(bold, pad(f.Label, 10))+" ", 11, colour(f.Class), f.Text)
	}
}

func (t *text) problems() {
	var known, old []plan.Problem
	for _, p := range t.plan.Problems {
		if p.Preexisting {
			old = append(old, p)
		} else {
			known = append(known, p)
		}
	}
	if len(known) > 0 {
		t.head("Problems")
	}
	for i, p := range known {
		if i == textProblems {
			t.more(2, len(known)-i, "problem")
			break
		}
		t.problem(p)
		if len(p.Releases) > 0 {
			t.put(pad("", 10), 10, dim, "in "+t.where(p.Releases))
		}
		t.hint(p)
	}
	if len(old) > 0 {
		t.head("Not from this change: the base also has these problems")
	}
	for i, p := range old {
		if i == textOld {
			t.more(2, len(old)-i, "problem")
			break
		}
		t.problem(p)
		if p.Check == "chart" {
			// It is why there is nothing to read below, and the reader can
			// fix it.
			t.hint(p)
		}
	}
}

func (t *text) hint(p plan.Problem) {
	if p.Hint != "" {
		t.put(pad("", 10)+t.paint(cyan, "hint:")+" ", 16, "", p.Hint)
	}
}

func (t *text) problem(p plan.Problem) {
	code := map[plan.Severity]string{plan.Error: red, plan.Warning: yellow, plan.Notice: cyan}[p.Severity]
	message := p.Message
	if at := place(p); at != "" && !strings.HasPrefix(message, at) {
		message = at + ": " + message
	}
	t.put("  "+t.paint(code, pad(string(p.Severity), 8)), 10, "", message+" ["+p.Check+"]")
}

func (t *text) felt() {
	if len(t.effects) == 0 {
		return
	}
	t.head("What users will notice")
	for i, e := range t.effects {
		if i == textEffects {
			t.more(2, len(t.effects)-i, "effect")
			break
		}
		what := e.What
		if e.Allowed {
			what += " (allowed by the commit)"
		}
		if !plan.Worse(e.Level, plan.Background) && !e.fails() {
			// What nobody meets takes one line.
			t.put("  "+t.paint(colour(e.Class()), pad(e.Word(), 13)), 15, "", what+" — "+e.Where)
			continue
		}
		t.put("  "+t.paint(colour(e.Class()), pad(e.Word(), 13)), 15, "", what)
		where := e.Where
		if e.Active != "" && plan.Worse(e.Level, plan.NextStart) {
			where += "; " + e.Active
		}
		t.put(pad("", 15), 15, dim, where)
		t.put(pad("", 15), 15, dim, "why: "+e.Why)
	}
}

func (t *text) images() {
	if len(t.plan.Images) == 0 {
		return
	}
	t.head("Images")
	for i, img := range t.plan.Images {
		if i == textEffects {
			t.more(2, len(t.plan.Images)-i, "image")
			break
		}
		what := "changes"
		switch {
		case img.Change == plan.Removed:
			what = "no longer used"
		case img.Build:
			what = "built"
		case img.Change == plan.Added:
			what = "new"
		}
		text := img.Name + ": " + what + ", for " + few(img.Hubs, 6)
		if img.Build && len(img.Hubs) == 0 {
			text = img.Name + ": " + byHand
		}
		if img.Bytes > 0 {
			text += "; each node pulls " + plan.Size(img.Bytes)
		}
		t.put("  "+sign(img.Change)+" ", 4, "", text)
		if !img.Build && img.Before != "" && img.After != "" {
			t.put(pad("", 4), 4, dim, img.Before+" → "+img.After)
		}
		if len(t.plan.Images) <= textBuilt {
			t.paths(4, img.Reasons)
		}
	}
}

func (t *text) paths(indent int, list []plan.Reason) {
	for i, r := range list {
		if i == textPaths {
			t.more(indent, len(list)-i, "path")
			break
		}
		t.put(pad("", indent), indent, dim, r.Path+" ("+r.Reason+")")
	}
}

func (t *text) packages() {
	if len(t.plan.Packages) == 0 {
		return
	}
	t.head("Packages")
	list := packs(t.plan.Packages)
	for i, p := range list {
		if i == textPackages {
			t.more(2, len(list)-i, "change")
			break
		}
		t.put("  "+sign(p.Change)+" ", 4, "", p.Text+" — "+p.where())
	}
}

func (t *text) submodules() {
	if len(t.plan.Submodules) == 0 {
		return
	}
	t.head("Submodules")
	for _, s := range t.plan.Submodules {
		t.put("  ", 2, "", submoduleText(s))
		for i, c := range s.Commits {
			if i == textPaths {
				t.more(4, len(s.Commits)-i, "commit")
				break
			}
			t.put(pad("", 4), 4, dim, c)
		}
	}
}

func submoduleText(s plan.Submodule) string {
	text := s.Path
	switch {
	case s.Before == "":
		text += ": added at " + short(s.After)
	case s.After == "":
		text += ": removed, was at " + short(s.Before)
	default:
		text += ": " + short(s.Before) + " → " + short(s.After)
	}
	if s.Back {
		text += ", which is OLDER"
	}
	if s.Note != "" {
		text += " (" + s.Note + ")"
	}
	return text
}

func (t *text) causes() {
	if len(t.reasons) == 0 {
		return
	}
	t.head("Why these hubs")
	for i, r := range t.reasons {
		if i == textReasons {
			rest := len(t.reasons) - i
			t.more(2, rest, "group")
			break
		}
		where := r.Where
		if r.Change != plan.Changed {
			where += " (" + string(r.Change) + ")"
		}
		t.put("  ", 2, "", where)
		t.paths(4, r.Reasons)
	}
	for _, d := range t.dark {
		t.put("  "+t.paint(yellow, "not rendered:")+" ", 16, "", d.Where+": "+d.Why)
	}
}

func (t *text) objects() {
	if len(t.blocks) == 0 {
		return
	}
	t.head("What changes")
	blocks := t.blocks
	if n := countBlocks(blocks, block.built); n > textTags {
		// Which images are built stands above.
		blocks = slices.DeleteFunc(slices.Clone(blocks), block.built)
		t.put("  ", 2, "", fmt.Sprintf("the tags of the newly built images: %d groups of releases each get a new one", n))
	}
	for i, b := range blocks {
		if i == textBlocks {
			t.more(2, len(blocks)-i, "group")
			break
		}
		if quiet(b) == 1 && i > 0 {
			// They stand last.
			t.put("  ", 2, dim, "elsewhere, objects differ only as a result of that, and in the chart's version and checksums")
			break
		}
		t.block(b)
	}
}

func countBlocks(list []block, is func(block) bool) int {
	n := 0
	for _, b := range list {
		if is(b) {
			n++
		}
	}
	return n
}

func (t *text) block(b block) {
	t.put("  ", 2, bold, b.title())
	for n, f := range b.Values {
		if n == textObjects {
			t.more(4, len(b.Values)-n, "setting")
			break
		}
		t.field(4, "setting ", f)
	}
	for n, c := range b.Changes {
		if n == textObjects {
			t.more(4, len(b.Changes)-n, "object")
			break
		}
		t.change(c)
	}
	if b.Labels > 0 {
		t.put(pad("", 4), 4, dim, labels(b.Labels))
	}
}

func labels(n int) string {
	return fmt.Sprintf("%s %s only as a result of the settings, and in the chart's version and checksums", count(n, "object"), verb(n, "differs", "differ"))
}

func (t *text) change(c plan.Change) {
	code := map[plan.ChangeKind]string{plan.Added: green, plan.Removed: red, plan.Changed: yellow}[c.Change]
	name := c.Object()
	if c.Hook {
		name += " (hook)"
	}
	t.put("    "+t.paint(code, sign(c.Change))+" ", 6, "", name)
	if c.Change != plan.Changed {
		return
	}
	said, hidden := 0, 0
	for _, f := range c.Fields {
		switch {
		case noise(f):
			continue
		case said == textFields:
			hidden++
		default:
			t.field(8, "", f)
			said++
		}
	}
	t.more(8, hidden, "field")
}

func (t *text) field(indent int, prefix string, f plan.Field) {
	text := fieldText(f, max(textValue, 3*t.width))
	t.put(pad("", indent)+t.paint(dim, prefix), indent+2, "", f.Path+": "+text)
	for i, l := range f.Lines {
		if i == textLines {
			t.more(indent+2, len(f.Lines)-i, "line")
			break
		}
		code := ""
		switch {
		case strings.HasPrefix(l, "+"):
			code = green
		case strings.HasPrefix(l, "-"):
			code = red
		}
		line := []rune(strings.ReplaceAll(clean(l), "\n", " "))
		t.b.WriteString(pad("", indent+2) + t.paint(code, cut(line, max(20, t.width-indent-3))) + "\n")
	}
}

func (t *text) unrelated() {
	n := len(t.plan.Unrelated)
	if n == 0 {
		return
	}
	t.head("Not part of any hub")
	t.put("  ", 2, dim, fmt.Sprintf("%s: %s", count(n, "path"), few(t.plan.Unrelated, textPaths)))
}
