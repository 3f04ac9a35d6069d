package report

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/hubship/hubship/internal/plan"
)

// fact is one line of the summary.
type fact struct {
	Label string
	Text  string
	Class string // "bad", "warn", "good" or empty
}

// Verdict says in one line whether the change may be deployed.
func Verdict(p plan.Plan) string { return newView(p, Options{}).verdict().Text }

func (v *view) verdict() fact {
	n := map[plan.Severity]int{}
	old := 0
	for _, p := range v.plan.Problems {
		if !p.Preexisting {
			n[p.Severity]++
		} else if p.Severity == plan.Error {
			old++
		}
	}
	destroys := slices.ContainsFunc(v.effects, func(e effect) bool { return e.Level == plan.Destructive && !e.leaves() })
	var text, class string
	switch {
	case n[plan.Error] > 0:
		text, class = "must not be deployed: "+count(n[plan.Error], "error"), "bad"
		if n[plan.Warning] > 0 {
			text += ", " + count(n[plan.Warning], "warning")
		}
	case destroys:
		text, class = "destroys something: check what before you merge", "warn"
	case n[plan.Warning] > 0:
		text, class = "can be deployed once somebody has looked at "+count(n[plan.Warning], "warning"), "warn"
	case len(v.plan.Releases) == 0 && len(v.plan.Images) == 0:
		text, class = "this change affects no hub", "good"
	default:
		text, class = "no problems found", "good"
	}
	if old > 0 && class == "good" {
		text += "; " + count(old, "error") + " not from this change"
	}
	if len(v.plan.Releases) > 0 && class != "bad" {
		switch {
		case !v.plan.Rendered:
			text += ", as far as can be told without rendering"
		case len(v.dark) > 0:
			text += ", as far as could be rendered"
		}
	}
	return fact{"Verdict", text, class}
}

// facts are the summary: what a reader decides by.
func (v *view) facts() []fact {
	out := []fact{v.verdict()}
	if len(v.plan.Releases) > 0 {
		out = append(out, fact{Label: "Hubs", Text: v.where(v.keys()) + " (" + count(len(v.plan.Releases), "release") + ")" + v.came()})
		out = append(out, v.felt()...)
	}
	if len(v.plan.Images) > 0 || len(v.plan.Releases) > 0 {
		out = append(out, fact{Label: "Images", Text: v.built()})
	}
	if charts := v.charts(); len(charts) > 0 {
		out = append(out, fact{Label: "Chart", Text: strings.Join(charts, "; ")})
	}
	if text := v.packaged(); text != "" {
		out = append(out, fact{Label: "Packages", Text: text})
	}
	for _, s := range v.plan.Submodules {
		if s.Back {
			out = append(out, fact{"Submodule", s.Path + " goes back to an older commit", "warn"})
		}
	}
	if files := v.placeholders(); len(files) > 0 {
		out = append(out, fact{Label: "Secrets", Text: fmt.Sprintf("%s not opened: placeholders stand in for the values, the same on both sides", count(len(files), "encrypted file"))})
	}
	if !v.plan.Rendered && len(v.plan.Releases) > 0 {
		out = append(out, fact{"Rendering", "not rendered, so it is unknown which objects change", "warn"})
	}
	return out
}

// charts are the charts whose version changes, as the reasons tell them.
func (v *view) charts() []string {
	var out []string
	for _, r := range v.plan.Releases {
		for _, reason := range r.Reasons {
			if text, ok := strings.CutPrefix(reason.Reason, "chart: "); ok && strings.Contains(text, "→") && !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return out
}

// came names hubs that came, went or have another name.
func (v *view) came() string {
	text := ""
	for _, h := range v.plan.Hubs {
		text += "; " + hubChange(h)
	}
	return text
}

func hubChange(h plan.HubChange) string {
	switch h.Change {
	case plan.Added:
		return h.Hub + " is new"
	case plan.Removed:
		return h.Hub + " is removed"
	case plan.Renamed:
		return fmt.Sprintf("%s is renamed to %s", h.From, h.Hub)
	}
	return h.Hub + " changes"
}

// felt says what users feel, the worst first and each thing once, and how many
// releases they do not meet anything in.
func (v *view) felt() []fact {
	const most = 4
	type key struct {
		level plan.Level
		what  string
	}
	sets := map[key][]string{}
	var order []key
	touched := map[string]bool{}
	for _, e := range v.effects {
		if !plan.Worse(e.Level, plan.Background) && !e.fails() {
			continue
		}
		k := key{e.Level, e.What}
		if _, ok := sets[k]; !ok {
			order = append(order, k)
		}
		for _, r := range e.keys {
			touched[r] = true
			sets[k] = append(sets[k], r)
		}
	}
	var out []fact
	for i, k := range order {
		sets[k] = v.ordered(sets[k])
		if i == most {
			out = append(out, fact{Text: fmt.Sprintf("… and %s more", count(len(order)-i, "effect"))})
			break
		}
		f := fact{Text: k.what, Class: levelClass(k.level)}
		if strings.HasPrefix(k.what, plan.UpgradeFails) {
			f.Class = "bad"
		}
		if len(sets[k]) < len(v.plan.Releases) {
			f.Text += " — " + v.where(sets[k])
		}
		if text := v.users(sets[k]); text != "" && plan.Worse(k.level, plan.NextStart) {
			f.Text += "; " + text
		}
		out = append(out, f)
	}
	var calm []string
	for _, k := range v.keys() {
		if !touched[k] {
			calm = append(calm, k)
		}
	}
	if len(calm) > 0 {
		f := fact{Text: v.calm(), Class: "good"}
		if len(order) > 0 {
			f.Text += " in " + v.where(calm)
		}
		out = append(out, f)
	}
	out[0].Label = "Users"
	return out
}

// fails says that it is no effect on users but the end of the upgrade.
func (e effect) fails() bool { return strings.HasPrefix(e.What, plan.UpgradeFails) }

// leaves says that it is about a hub that leaves the repository: it stays in
// the cluster until somebody uninstalls it, so that nothing is destroyed yet.
func (e effect) leaves() bool { return e.Level == plan.Destructive && e.Object == "" }

// ordered puts keys into the order of the plan, each once.
func (v *view) ordered(keys []string) []string {
	in := make(map[string]bool, len(keys))
	for _, k := range keys {
		in[k] = true
	}
	return slices.DeleteFunc(v.keys(), func(k string) bool { return !in[k] })
}

// calm says what users feel where it is next to nothing.
func (v *view) calm() string {
	if len(v.plan.Releases) > 0 && !slices.ContainsFunc(v.plan.Releases, func(r plan.Release) bool { return r.Impact.Summary != v.plan.Releases[0].Impact.Summary }) {
		return v.plan.Releases[0].Impact.Summary
	}
	return "nothing that users notice"
}

func levelClass(l plan.Level) string {
	switch l {
	case plan.Destructive:
		return "bad"
	case plan.ProxyDown, plan.Unknown, plan.HubRestart:
		return "warn"
	case plan.NoImpact, plan.Background:
		return "good"
	}
	return ""
}

// levelWord is a level in a word or two.
func levelWord(l plan.Level) string {
	switch l {
	case plan.NoImpact:
		return "nothing"
	case plan.Background:
		return "unnoticed"
	case plan.NextStart:
		return "next start"
	case plan.HubRestart:
		return "restart"
	case plan.ProxyDown:
		return "disconnects"
	case plan.Destructive:
		return "destroys"
	}
	return "unknown"
}

func (v *view) built() string {
	var built, others, gone, manual []string
	for _, i := range v.plan.Images {
		switch {
		case i.Change == plan.Removed:
			gone = append(gone, path.Base(i.Name))
		case i.Build && len(i.Hubs) == 0:
			manual = append(manual, path.Base(i.Name))
		case i.Build:
			built = append(built, path.Base(i.Name))
		default:
			others = append(others, path.Base(i.Name))
		}
	}
	var parts []string
	if len(built) > 0 {
		parts = append(parts, fmt.Sprintf("%d built: %s", len(built), few(built, 4)))
	} else {
		parts = append(parts, "none built")
	}
	if len(others) > 0 {
		parts = append(parts, fmt.Sprintf("%s %s: %s", count(len(others), "external image"), verb(len(others), "changes", "change"), few(others, 4)))
	}
	if len(manual) > 0 {
		parts = append(parts, "to build by hand: "+few(manual, 4))
	}
	if len(gone) > 0 {
		parts = append(parts, "no longer used: "+few(gone, 4))
	}
	return strings.Join(parts, "; ")
}

// byHand says of an image that no release takes it from a build.
const byHand = "its files change; people build it by hand, and it runs where the values name its tag"

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func (v *view) packaged() string {
	n := map[plan.ChangeKind]int{}
	free := 0
	for _, p := range v.plan.Packages {
		n[p.Change]++
		if loose(p) {
			free++
		}
	}
	var parts []string
	for _, k := range []plan.ChangeKind{plan.Added, plan.Changed, plan.Removed} {
		if n[k] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[k], k))
		}
	}
	text := strings.Join(parts, ", ")
	if free > 0 {
		text += fmt.Sprintf("; %d of them not pinned to a version", free)
	}
	return text
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func few(items []string, n int) string {
	if len(items) <= n {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:n], ", "), len(items)-n)
}

// short is the beginning of a commit's id.
func short(id string) string {
	if len(id) > 10 {
		return id[:10]
	}
	return id
}

func (v *view) commits() string {
	base := short(v.plan.Base)
	if base == "" {
		base = "nothing"
	}
	text := base + " → " + short(v.plan.Head)
	if v.plan.Merged != "" {
		text += " (test merge)"
	}
	return text
}

// place is where a problem is.
func place(p plan.Problem) string {
	if p.File == "" {
		return p.Object
	}
	if p.Line > 0 {
		return p.File + ":" + strconv.Itoa(p.Line)
	}
	return p.File
}

// sign is the mark before something that came, went or changes.
func sign(k plan.ChangeKind) string {
	switch k {
	case plan.Added:
		return "+"
	case plan.Removed:
		return "-"
	}
	return "~"
}

// clean takes out of a text what a terminal or a browser would obey rather
// than show: control characters, and those that turn the direction of text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar:
			return '·'
		}
		return r
	}, s)
}

// line is a text in one line.
func line(s string) string {
	return strings.Join(strings.Fields(clean(s)), " ")
}
