package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/hubship/hubship/internal/plan"
)

// markdownLimit is how many characters GitHub takes for a comment.
const markdownLimit = 65536

// Bounds of one section of the Markdown.
const (
	mdProblems = 40
	mdRows     = 40
	mdObjects  = 40
	mdFields   = 25
	mdLines    = 60
	mdValue    = 300
	mdBlock    = 12000 // characters of one group of releases
)

// Markdown writes the plan as a comment on a pull request: the summary in the
// open, all else folded. It never exceeds what GitHub takes, or the options' limit; what matters least
// is left out first, and the comment says so.
func Markdown(w io.Writer, p plan.Plan, o Options) error {
	m := &markdown{view: newView(p, o)}
	parts := append([]string{m.process(), m.summary()}, m.problems(), m.felt(), m.images(), m.packages(), m.submodules(), m.causes())
	parts = append(parts, m.blocksApart()...)
	parts = append(parts, m.standing(), m.unrelated())
	const note = "\n_%s left out to keep this comment within its limit; `hubship plan -o html` shows everything._\n"
	limit := o.Limit
	if limit <= 0 {
		limit = markdownLimit
	}
	room := limit - len(note) - 40
	var b strings.Builder
	size, left := 0, 0
	for _, part := range parts {
		n := utf8.RuneCountInString(part)
		if size+n > room {
			left++
			continue
		}
		b.WriteString(part)
		size += n
	}
	if left > 0 {
		fmt.Fprintf(&b, note, count(left, "section")+" "+verb(left, "is", "are"))
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the plan as Markdown: %w", err)
	}
	return nil
}

type markdown struct{ *view }

// Escape escapes a text, so that Markdown shows it as it is, in one line. Names
// of people and numbers of issues become no links.
func Escape(s string) string {
	var b strings.Builder
	for _, r := range line(s) {
		switch {
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case r == '@' || r == '#':
			b.WriteRune(r)
			b.WriteRune('\u200b')
		case strings.ContainsRune("\\`*_[]|~$", r):
			b.WriteRune('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	// A bare address becomes a link by itself.
	return strings.NewReplacer("://", ":\u200b//", "www.", "www\u200b.").Replace(b.String())
}

// Cell writes a text as code within a table, where a "|" ends the cell even in
// code.
func Cell(s string) string { return strings.ReplaceAll(Code(s), "|", `\|`) }

// Code writes a text as code, in one line.
func Code(s string) string {
	s = line(s)
	if s == "" {
		return ""
	}
	fence := strings.Repeat("`", longest(s, '`')+1)
	pad := ""
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		pad = " "
	}
	return fence + pad + s + pad + fence
}

// longest is the longest run of a character.
func longest(s string, c rune) int {
	most, run := 0, 0
	for _, r := range s {
		if r == c {
			run++
			most = max(most, run)
		} else {
			run = 0
		}
	}
	return most
}

var mdMarks = map[string]string{"bad": "🔴 ", "warn": "🟡 ", "good": "🟢 "}

func (m *markdown) summary() string {
	var b strings.Builder
	verdict := m.verdict()
	fmt.Fprintf(&b, "### %sPlan: %s\n\n", mdMarks[verdict.Class], Escape(verdict.Text))
	b.WriteString("| | |\n|:--|:--|\n")
	label := ""
	for _, f := range m.facts()[1:] {
		name := f.Label
		if name != "" {
			label = name
		}
		mark := ""
		if label == "Users" || f.Class == "warn" {
			mark = mdMarks[f.Class]
		}
		if name != "" {
			name = "**" + name + "**"
		}
		fmt.Fprintf(&b, "| %s | %s%s |\n", name, mark, Escape(f.Text))
	}
	commits := Cell(short(m.plan.Base))
	if commits == "" {
		commits = "nothing"
	}
	merged := ""
	if m.plan.Merged != "" {
		merged = " (test merge)"
	}
	fmt.Fprintf(&b, "| **Commits** | %s → %s%s |\n", commits, Cell(short(m.plan.Head)), merged)
	return b.String()
}

// folded is a section that opens on a click.
func folded(title, body string) string {
	if body == "" {
		return ""
	}
	return "\n<details><summary>" + title + "</summary>\n\n" + strings.TrimRight(body, "\n") + "\n\n</details>\n"
}

// summaryText escapes a text for a summary, which is HTML.
func summaryText(s string) string {
	s = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b", "#", "#\u200b", "://", ":\u200b//").Replace(line(s))
	// Markdown is read in there, too.
	return strings.NewReplacer("`", "&#96;", "*", "&#42;", "_", "&#95;", "[", "&#91;", "~", "&#126;", `\`, "&#92;", "$", "&#36;").Replace(s)
}

func mdMore(n int, noun string) string {
	return fmt.Sprintf("- … and %s more\n", count(n, noun))
}

func (m *markdown) problems() string {
	var b strings.Builder
	n := 0
	for _, p := range m.plan.Problems {
		if p.Preexisting {
			continue
		}
		if n == mdProblems {
			b.WriteString("- … and more problems\n")
			break
		}
		if n == 0 {
			b.WriteString("\n#### Problems\n\n")
		}
		n++
		b.WriteString(m.problem(p))
	}
	var old strings.Builder
	n = 0
	for _, p := range m.plan.Problems {
		if !p.Preexisting {
			continue
		}
		if n++; n <= mdProblems {
			old.WriteString(m.problem(p))
		}
	}
	b.WriteString(folded(fmt.Sprintf("%s that the base also has", count(n, "problem")), old.String()))
	return b.String()
}

func (m *markdown) problem(p plan.Problem) string {
	mark := map[plan.Severity]string{plan.Error: "🔴 **error**", plan.Warning: "🟡 **warning**", plan.Notice: "🔵 notice"}[p.Severity]
	text := "- " + mark
	if at := place(p); at != "" {
		text += " " + Code(at)
	}
	text += ": " + Escape(p.Message) + " (" + Escape(p.Check) + ")"
	if len(p.Releases) > 0 {
		text += " — " + Escape(m.where(p.Releases))
	}
	if p.Hint != "" {
		text += "<br>_Hint:_ " + Escape(p.Hint)
	}
	return text + "\n"
}

func (m *markdown) felt() string {
	if len(m.effects) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| | What | Where | Why |\n|:--|:--|:--|:--|\n")
	for i, e := range m.effects {
		if i == mdRows {
			fmt.Fprintf(&b, "| | … and %s more | | |\n", count(len(m.effects)-i, "effect"))
			break
		}
		what, where := Escape(e.What), Escape(e.Where)
		if e.Allowed {
			what += " (allowed by the commit)"
		}
		if e.Active != "" && plan.Worse(e.Level, plan.NextStart) {
			where += "; " + Escape(e.Active)
		}
		fmt.Fprintf(&b, "| %s%s | %s | %s | %s |\n", mdMarks[e.Class()], e.Word(), what, where, Escape(e.Why))
	}
	return folded("What users will notice, and why", b.String())
}

func (m *markdown) images() string {
	var b strings.Builder
	for i, img := range m.plan.Images {
		if i == mdRows {
			b.WriteString(mdMore(len(m.plan.Images)-i, "image"))
			break
		}
		what := "changes from " + Code(img.Before) + " to " + Code(img.After)
		switch {
		case img.Change == plan.Removed:
			what = "no longer used"
		case img.Build:
			what = "built"
		case img.Before == "":
			what = "new, " + Code(img.After)
		}
		if what += ", for " + Escape(few(img.Hubs, 8)); img.Build && len(img.Hubs) == 0 {
			what = byHand
		}
		fmt.Fprintf(&b, "- %s: %s", Code(img.Name), what)
		if img.Bytes > 0 {
			fmt.Fprintf(&b, "; each node pulls %s", plan.Size(img.Bytes))
		}
		b.WriteString("\n" + paths("  ", img.Reasons))
	}
	return folded(count(len(m.plan.Images), "image"), b.String())
}

func paths(indent string, list []plan.Reason) string {
	var b strings.Builder
	for i, r := range list {
		if i == mdRows/2 {
			b.WriteString(indent + mdMore(len(list)-i, "path"))
			break
		}
		fmt.Fprintf(&b, "%s- %s: %s\n", indent, Code(r.Path), Escape(r.Reason))
	}
	return b.String()
}

func (m *markdown) packages() string {
	if len(m.plan.Packages) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| | Package | Where |\n|:--|:--|:--|\n")
	list := packs(m.plan.Packages)
	for i, p := range list {
		if i == 2*mdRows {
			fmt.Fprintf(&b, "| | … and %s more | |\n", count(len(list)-i, "change"))
			break
		}
		mark := string(p.Change)
		if p.Loose {
			mark = "🟡 " + mark
		}
		where := Cell(p.Place)
		if len(p.Images) > 1 {
			where = Escape(p.where())
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", mark, Escape(p.Text), where)
	}
	return folded("Packages: "+summaryText(m.packaged()), b.String())
}

func (m *markdown) submodules() string {
	var b strings.Builder
	for i, s := range m.plan.Submodules {
		if i == mdRows {
			b.WriteString(mdMore(len(m.plan.Submodules)-i, "submodule"))
			break
		}
		mark := ""
		if s.Back {
			mark = "🟡 "
		}
		fmt.Fprintf(&b, "- %s%s\n", mark, Escape(submoduleText(s)))
		for i, c := range s.Commits {
			if i == mdRows/2 {
				b.WriteString("  " + mdMore(len(s.Commits)-i, "commit"))
				break
			}
			fmt.Fprintf(&b, "  - %s\n", Escape(c))
		}
	}
	return folded(count(len(m.plan.Submodules), "submodule"), b.String())
}

func (m *markdown) causes() string {
	var b strings.Builder
	for i, r := range m.reasons {
		if i == mdRows {
			b.WriteString(mdMore(len(m.reasons)-i, "group"))
			break
		}
		where := r.Where
		if r.Change != plan.Changed {
			where += " (" + string(r.Change) + ")"
		}
		fmt.Fprintf(&b, "- %s\n%s", Escape(where), paths("  ", r.Reasons))
	}
	for i, d := range m.dark {
		if i == mdRows {
			break
		}
		fmt.Fprintf(&b, "- 🟡 not rendered: %s: %s\n", Escape(d.Where), Escape(d.Why))
	}
	return folded("Why these hubs", b.String())
}

// blocksApart are the groups of releases, each as a section that can be left
// out.
func (m *markdown) blocksApart() []string {
	var out []string
	for _, b := range m.blocks {
		title := b.title()
		var n []string
		if len(b.Values) > 0 {
			n = append(n, count(len(b.Values), "setting"))
		}
		if len(b.Changes)+b.Labels > 0 {
			n = append(n, count(len(b.Changes)+b.Labels, "object"))
		}
		out = append(out, folded("<b>"+summaryText(title)+"</b>: "+strings.Join(n, ", "), m.block(b)))
	}
	return out
}

func (m *markdown) block(b block) string {
	var out strings.Builder
	if len(b.Values) > 0 {
		out.WriteString("Settings:\n")
		for i, f := range b.Values {
			if i == mdObjects {
				out.WriteString(mdMore(len(b.Values)-i, "setting"))
				break
			}
			out.WriteString(mdField("", f))
		}
		out.WriteString("\n")
	}
	for i, c := range b.Changes {
		text := mdChange(c)
		if i == mdObjects || out.Len()+len(text) > mdBlock {
			out.WriteString("\n" + mdMore(len(b.Changes)-i, "object"))
			break
		}
		out.WriteString(text)
	}
	if b.Labels > 0 {
		out.WriteString("\n" + labels(b.Labels) + "\n")
	}
	return out.String()
}

func mdChange(c plan.Change) string {
	var b strings.Builder
	hook := ""
	if c.Hook {
		hook = ", a hook"
	}
	fmt.Fprintf(&b, "\n**%s** (%s%s)\n", Escape(c.Object()), c.Change, hook)
	if c.Change != plan.Changed {
		return b.String()
	}
	said := 0
	for i, f := range c.Fields {
		if noise(f) {
			continue
		}
		if said++; said > mdFields {
			b.WriteString(mdMore(len(c.Fields)-i, "field"))
			break
		}
		b.WriteString(mdField("", f))
	}
	return b.String()
}

func mdField(indent string, f plan.Field) string {
	text := indent + "- " + Code(f.Path)
	switch {
	case f.Masked || f.Digest || f.Lines == nil && f.Before == nil && f.After == nil:
		return text + " " + fieldText(f, mdValue) + "\n"
	case f.Lines == nil && f.Before == nil:
		return text + " added: " + Code(value(f.After, mdValue)) + "\n"
	case f.Lines == nil && f.After == nil:
		return text + " removed: " + Code(value(f.Before, mdValue)) + "\n"
	case f.Lines == nil:
		before, after := pair(f.Before, f.After, mdValue)
		return text + ": " + Code(before) + " → " + Code(after) + "\n"
	}
	return text + "\n" + fence(indent+"  ", f.Lines)
}

// fence writes lines as a block that the lines cannot end.
func fence(indent string, lines []string) string {
	ticks := 3
	for _, l := range lines {
		ticks = max(ticks, longest(l, '`')+1)
	}
	mark := strings.Repeat("`", ticks)
	var b strings.Builder
	b.WriteString(indent + mark + "diff\n")
	for i, l := range lines {
		if i == mdLines {
			fmt.Fprintf(&b, "%s … and %s more\n", indent, count(len(lines)-i, "line"))
			break
		}
		b.WriteString(indent + strings.ReplaceAll(clean(l), "\n", "⏎") + "\n")
	}
	b.WriteString(indent + mark + "\n")
	return b.String()
}

func (m *markdown) standing() string {
	var b strings.Builder
	files := m.placeholders()
	for i, f := range files {
		if i == mdRows {
			b.WriteString(mdMore(len(files)-i, "file"))
			break
		}
		b.WriteString("- " + Code(f) + "\n")
	}
	return folded(count(len(files), "encrypted file")+" with placeholders for their values", b.String())
}

func (m *markdown) unrelated() string {
	var b strings.Builder
	for i, f := range m.plan.Unrelated {
		if i == mdRows/2 {
			b.WriteString(mdMore(len(m.plan.Unrelated)-i, "path"))
			break
		}
		b.WriteString("- " + Code(f) + "\n")
	}
	return folded(count(len(m.plan.Unrelated), "path")+" not part of any hub", b.String())
}
