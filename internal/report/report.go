// Package report writes a plan for people: as text for a terminal, as Markdown
// for a pull request, and as one HTML page. What matters for the decision comes
// first: whether it may be deployed, which hubs change, and what users feel.
package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

// Options say how a plan is written. The zero value is plain text of 100
// columns.
type Options struct {
	// Colour paints the text for a terminal; for Text only.
	Colour bool
	// Width is the number of columns of the terminal, 100 when 0; for Text
	// only.
	Width int
	// Title is what the change is called, such as a pull request's title; may
	// be empty.
	Title string
	// Limit bounds the characters, for Markdown only; 0 means what GitHub
	// takes for a comment.
	Limit int
}

// view is a plan as it is written, in any format.
type view struct {
	plan    plan.Plan
	options Options
	blocks  []block
	effects []effect
	reasons []reasons
	dark    []dark
	active  map[string]*int // active users by release
	kinds   map[string]plan.ChangeKind
}

// block is what several releases have in common, with what is only noise
// counted rather than listed.
type block struct {
	Where    string
	Releases int
	Values   []plan.Field
	Changes  []plan.Change
	Labels   int    // objects that differ in what is told above, versions of the chart, and checksums only
	Note     string // of releases that come or go
}

// effect is one thing that users of several releases feel.
type effect struct {
	plan.Effect
	Where  string
	Active string // how many users are active there now; empty when not asked
	keys   []string
}

// reasons are the paths that several releases have in common.
type reasons struct {
	Where   string
	Change  plan.ChangeKind
	Reasons []plan.Reason

	hub     string        // of the first
	generic []plan.Reason // with {hub} where its name stands
}

// Word is the effect's level in a word or two.
func (e effect) Word() string {
	if e.fails() {
		return "fails"
	}
	if e.leaves() {
		return "leaves"
	}
	return levelWord(e.Level)
}

// Class is how the effect is coloured.
func (e effect) Class() string {
	if e.fails() {
		return "bad"
	}
	return levelClass(e.Level)
}

// dark is why releases could not be rendered.
type dark struct{ Where, Why string }

func newView(p plan.Plan, o Options) *view {
	v := &view{plan: p, options: o, kinds: map[string]plan.ChangeKind{}}
	for _, r := range p.Releases {
		v.kinds[r.Key()] = r.Change
	}
	for _, b := range plan.Blocks(untold(p.Releases)) {
		own := block{Where: v.where(b.Releases), Releases: len(b.Releases), Values: b.Values}
		own.Note = v.note(b.Releases)
		for _, c := range b.Changes {
			if c.Change == plan.Changed && !slices.ContainsFunc(c.Fields, func(f plan.Field) bool { return !noise(f) }) {
				own.Labels++
			} else {
				own.Changes = append(own.Changes, c)
			}
		}
		slices.SortStableFunc(own.Changes, func(a, b plan.Change) int { return weight(a) - weight(b) })
		v.blocks = append(v.blocks, own)
	}
	slices.SortStableFunc(v.blocks, func(a, b block) int {
		return quiet(a) - quiet(b)
	})
	v.feel()
	v.why()
	return v
}

// note says what is special about releases that all come or all go.
func (v *view) note(keys []string) string {
	kinds := map[plan.ChangeKind]bool{}
	for _, k := range keys {
		kinds[v.kinds[k]] = true
	}
	switch {
	case len(kinds) > 1:
		return ""
	case kinds[plan.Removed]:
		return "it stays in the cluster until somebody uninstalls it"
	case kinds[plan.Added]:
		return "new"
	}
	return ""
}

// title names the releases of a block.
func (b block) title() string {
	text := b.Where
	if b.Releases > 1 {
		text = "the same in " + text
	}
	if b.Note != "" {
		text += " (" + b.Note + ")"
	}
	return text
}

// quiet puts blocks of nothing but labels behind the others.
func quiet(b block) int {
	if len(b.Changes)+len(b.Values) == 0 {
		return 1
	}
	return 0
}

// weight orders objects by how much a reader wants to know of them: what goes
// first, then what runs, then the rest.
func weight(c plan.Change) int {
	switch {
	case c.Hook:
		return 5
	case c.Kind == "PersistentVolumeClaim" || c.Kind == "PersistentVolume":
		return 0 // what is stored counts most
	case c.Change == plan.Removed:
		return 1
	case slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "Ingress", "Service"}, c.Kind):
		return 2
	case c.Kind == "Secret" || c.Kind == "ConfigMap":
		return 3
	}
	return 4
}

// noise says that a field only repeats which version of a chart it is of, or
// that something else changes.
func noise(f plan.Field) bool {
	if f.Digest {
		return true
	}
	if f.Masked && strings.HasSuffix(f.Path, ".Chart.Version") {
		return true
	}
	for _, label := range []string{".labels.chart", `.labels["helm.sh/chart"]`, ".labels.helm.sh/chart", `.labels["app.kubernetes.io/version"]`} {
		if strings.HasSuffix(f.Path, label) {
			return true
		}
	}
	return false
}

func (v *view) where(keys []string) string { return plan.Name(keys, v.plan.Fleet) }

// keys are those of all releases of the plan.
func (v *view) keys() []string {
	out := make([]string, len(v.plan.Releases))
	for i, r := range v.plan.Releases {
		out[i] = r.Key()
	}
	return out
}

// feel says each effect once, with all releases that have it, and the reason
// that most of them have.
func (v *view) feel() {
	v.active = map[string]*int{}
	sets := map[plan.Effect][]string{}
	first := map[plan.Effect]plan.Effect{}
	differ := map[plan.Effect]bool{}
	whys := map[plan.Effect][]cause{}
	var order []plan.Effect
	for i := range v.plan.Releases {
		r := &v.plan.Releases[i]
		v.active[r.Key()] = r.Impact.Active
		for _, e := range r.Impact.Effects {
			// What differs in the release's own names only is said once.
			k := e
			k.What, k.Object, k.Why = r.Generic(e.What), r.Generic(e.Object), ""
			if _, ok := sets[k]; !ok {
				order = append(order, k)
				first[k] = e
			}
			differ[k] = differ[k] || first[k].What != e.What || first[k].Object != e.Object
			if n := len(sets[k]); n == 0 || sets[k][n-1] != r.Key() {
				sets[k] = append(sets[k], r.Key())
			}
			whys[k] = because(whys[k], e.Why, r.Generic(e.Why))
		}
	}
	for _, k := range order {
		e := first[k]
		if differ[k] {
			e = k
		}
		e.Why = most(whys[k])
		v.effects = append(v.effects, effect{Effect: e, Where: v.where(sets[k]), Active: v.users(sets[k]), keys: sets[k]})
	}
	slices.SortStableFunc(v.effects, func(a, b effect) int {
		switch {
		case plan.Worse(a.Level, b.Level):
			return -1
		case plan.Worse(b.Level, a.Level):
			return 1
		}
		return len(b.keys) - len(a.keys)
	})
}

// cause is why something is felt, as the first release has it and without what
// names the release, and how many have it.
type cause struct {
	why, generic string
	releases     int
}

func because(list []cause, why, generic string) []cause {
	for i := range list {
		if c := &list[i]; c.generic == generic {
			if c.releases++; c.why != why {
				c.why = generic
			}
			return list
		}
	}
	return append(list, cause{why, generic, 1})
}

// most words the cause that most releases have, and how many others there are.
func most(list []cause) string {
	top := slices.MaxFunc(list, func(a, b cause) int { return a.releases - b.releases })
	if n := len(list) - 1; n > 0 {
		return fmt.Sprintf("%s; elsewhere %s", top.why, count(n, "other reason"))
	}
	return top.why
}

// users says how many users are active in releases; empty when none was asked.
func (v *view) users(keys []string) string {
	n, asked := 0, 0
	for _, k := range keys {
		if a := v.active[k]; a != nil {
			n, asked = n+*a, asked+1
		}
	}
	switch {
	case asked == 0:
		return ""
	case n == 1:
		return "1 user is active now"
	}
	return fmt.Sprintf("%d users are active now", n)
}

// why says each set of paths once.
func (v *view) why() {
	at, hidden := map[string]int{}, map[string]int{}
	sets, gone := [][]string{}, [][]string{}
	all := common(v.plan.Releases)
	if len(all) > 0 {
		sets = append(sets, v.keys())
		v.reasons = append(v.reasons, reasons{Change: v.plan.Releases[0].Change, Reasons: all})
	}
	for i := range v.plan.Releases {
		r := &v.plan.Releases[i]
		own := slices.DeleteFunc(slices.Clone(r.Reasons), func(reason plan.Reason) bool { return slices.Contains(all, reason) })
		generic := ofAnyHub(own, r.Hub)
		key := fmt.Sprint(r.Change, generic)
		i, ok := at[key]
		if !ok && (len(own) > 0 || len(all) == 0) {
			i, ok = len(sets), true
			at[key] = i
			sets = append(sets, nil)
			v.reasons = append(v.reasons, reasons{Change: r.Change, Reasons: own, hub: r.Hub, generic: generic})
		}
		if ok {
			sets[i] = append(sets[i], r.Key())
			if v.reasons[i].hub != r.Hub && v.reasons[i].generic != nil {
				v.reasons[i].Reasons = v.reasons[i].generic
			}
		}
		if r.Unrendered != "" {
			why := r.Generic(r.Unrendered)
			i, ok := hidden[why]
			if !ok {
				i = len(gone)
				hidden[why] = i
				gone = append(gone, nil)
				v.dark = append(v.dark, dark{Why: why})
			}
			gone[i] = append(gone[i], r.Key())
		}
	}
	for i := range v.reasons {
		v.reasons[i].Where = v.where(sets[i])
	}
	for i := range v.dark {
		v.dark[i].Where = v.where(gone[i])
	}
}

// placeholders are the encrypted files whose values were stood in for.
func (v *view) placeholders() []string {
	var out []string
	for _, r := range v.plan.Releases {
		out = append(out, r.Placeholders...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
