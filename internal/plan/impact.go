package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Surroundings are what Judge knows besides the objects that differ.
type Surroundings struct {
	// Allowed are the objects that the change may destroy, "KIND/NAME", from
	// the commits' Allow-Destroy trailers.
	Allowed map[string]bool
	// Images are the plan's images: what nodes have to pull.
	Images []Image
	// NamespaceBefore and ReleaseBefore are where the release lived before;
	// empty when that is as now, or it is new.
	NamespaceBefore string
	ReleaseBefore   string
	// Rendered says that the release's Changes are known.
	Rendered bool
}

// levels are the levels in their order.
var levels = []Level{NoImpact, Background, NextStart, HubRestart, ProxyDown, Destructive}

// Worse says that users feel level a more than level b. What is not known is
// worse than a restart of the proxy, and not as bad as what is destroyed.
func Worse(a, b Level) bool { return rank(a) > rank(b) }

func rank(l Level) int {
	if l == Unknown {
		return 2*slices.Index(levels, ProxyDown) + 1
	}
	return 2 * slices.Index(levels, l)
}

// Judge fills in what users feel of a release's change, from its Changes and
// the surroundings, and returns the problems that this makes: what is
// destroyed without leave, and what Kubernetes will refuse. Impact.Active is
// left as it is.
func Judge(r *Release, s Surroundings) []Problem {
	j := judge{release: r, around: s, active: r.Impact.Active}
	switch {
	case r.Change == Removed:
		j.removed()
	case !s.Rendered || r.Unrendered != "":
		j.unrendered()
	default:
		j.moved()
		j.changes = r.Changes
		for _, c := range r.Changes {
			j.object(c)
		}
		j.images()
		if r.Change == Added {
			j.added()
		}
	}
	r.Impact = j.impact()
	return MergeProblems(j.problems)
}

// MergeProblems puts problems that differ in nothing but their releases into
// one, errors first, then by check, file and line.
func MergeProblems(problems []Problem) []Problem {
	type key struct {
		severity                           Severity
		check, message, hint, file, object string
		line                               int
		preexisting                        bool
	}
	at := map[key]int{}
	out := []Problem{}
	for _, p := range problems {
		k := key{p.Severity, p.Check, p.Message, p.Hint, p.File, p.Object, p.Line, p.Preexisting}
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			p.Releases = slices.Clone(p.Releases)
			out = append(out, p)
			continue
		}
		out[i].Releases = append(out[i].Releases, p.Releases...)
	}
	for i := range out {
		slices.Sort(out[i].Releases)
		out[i].Releases = slices.Compact(out[i].Releases)
	}
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(severityRank(a.Severity), severityRank(b.Severity)),
			cmp.Compare(before(a.Preexisting), before(b.Preexisting)),
			strings.Compare(a.Check, b.Check),
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			strings.Compare(a.Object, b.Object),
			strings.Compare(a.Message, b.Message),
		)
	})
	return out
}

func before(preexisting bool) int {
	if preexisting {
		return 1
	}
	return 0
}

func severityRank(s Severity) int {
	return slices.Index([]Severity{Error, Warning, Notice}, s)
}

// judge collects what one release's change does.
type judge struct {
	release  *Release
	around   Surroundings
	active   *int
	changes  []Change
	effects  []felt
	problems []Problem
}

// felt is an effect with its words for the summary.
type felt struct {
	Effect
	short string
}

// feel adds an effect; short is what the summary says, nothing when empty.
func (j *judge) feel(level Level, short, what, why string, c Change) {
	f := felt{Effect: Effect{Level: level, What: what, Why: why}, short: short}
	if c.Kind != "" {
		f.Object = c.Object()
	}
	j.effects = append(j.effects, f)
}

func (j *judge) problem(severity Severity, check, message, hint string, c Change) {
	p := Problem{Severity: severity, Check: check, Message: message, Hint: hint, Releases: []string{j.release.Key()}}
	if c.Kind != "" {
		p.Object = c.Object()
	}
	j.problems = append(j.problems, p)
}

// destroyed adds the loss of an object that does not come back, and the
// problem that it is unless the commit's message names it.
func (j *judge) destroyed(c Change, what, why string) {
	f := felt{Effect: Effect{Level: Destructive, What: what, Why: why, Object: c.Object(), Allowed: j.allowed(c)}}
	f.short = what
	j.effects = append(j.effects, f)
	if f.Allowed {
		j.problem(Warning, "destroy", what+": "+why+"; the commit's message allows it", "", c)
		return
	}
	j.problem(Error, "destroy", what+": "+why, fmt.Sprintf("undo this part of the change or, if it is intended, add the line \"Allow-Destroy: %s/%s\" to the commit's message", c.Kind, c.Name), c)
}

func (j *judge) allowed(c Change) bool {
	return j.around.Allowed[c.Kind+"/"+c.Name] || c.Namespace != "" && j.around.Allowed[c.Kind+"/"+c.Namespace+"/"+c.Name]
}

// UpgradeFails begins the words of an effect that is none on users: Kubernetes
// refuses the upgrade, and nothing changes.
const UpgradeFails = "the upgrade fails"

// refused adds that Kubernetes will not accept the change of a field.
func (j *judge) refused(c Change, path string) {
	what := fmt.Sprintf(UpgradeFails+": %s of %s cannot be changed in place", path, article(c.Kind))
	j.feel(Background, UpgradeFails, what, why(c, path), c)
	j.problem(Error, "immutable", fmt.Sprintf("%s: %s cannot be changed in place, so Kubernetes refuses the upgrade", c.Object(), path),
		"give the object another name, or delete it in the cluster before this is deployed", c)
}

func article(noun string) string {
	if noun != "" && strings.ContainsAny(noun[:1], "AEIO") {
		return "an " + noun
	}
	return "a " + noun
}

func (j *judge) removed() {
	r := j.release
	const reason = "the head no longer describes it"
	j.feel(Destructive, "the hub is removed from the repository; hubship does not delete what is running",
		"the hub is removed from the repository: hubship no longer upgrades it, and does not delete what is running", reason, Change{})
	var kept, lost []string
	for _, c := range r.Changes {
		if c.Change != Removed || !holdsData(c.Kind) {
			continue
		}
		if keeps(c) {
			kept = append(kept, c.Object())
		} else {
			lost = append(lost, c.Object())
		}
	}
	if len(lost) > 0 {
		j.feel(Destructive, "", "uninstalling it by hand would delete "+few(lost, 5), reason, Change{})
	}
	if len(kept) > 0 {
		j.feel(Background, "", "uninstalling it by hand would keep "+few(kept, 5), `their annotation helm.sh/resource-policy says "keep"`, Change{})
	}
	j.problem(Warning, "removed", "the release is removed from the repository: it keeps running as it is, without upgrades",
		"uninstall it by hand when its users and their data are safe, or restore its description", Change{})
}

// few joins a list's first items.
func few(items []string, n int) string {
	if len(items) > n {
		return strings.Join(items[:n], ", ") + fmt.Sprintf(" and %d more", len(items)-n)
	}
	if len(items) > 1 {
		return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
	}
	return strings.Join(items, "")
}

func (j *judge) unrendered() {
	why := "the plan was made without rendering"
	if j.release.Unrendered != "" {
		why = j.release.Unrendered
	}
	j.feel(Unknown, "unknown, because it was not rendered", "what users will notice is unknown", why, Change{})
	j.images()
	if j.release.Change == Added {
		j.added()
	}
}

func (j *judge) added() {
	j.feel(NoImpact, "a new hub, which nobody uses yet", "a new hub is installed: nobody uses it yet",
		"the base does not describe it", Change{})
}

// moved looks at where the release lives.
func (j *judge) moved() {
	r, old := j.release, j.around
	if old.NamespaceBefore != "" && old.NamespaceBefore != r.Namespace {
		j.destroyed(Change{Kind: "Namespace", Name: old.NamespaceBefore},
			fmt.Sprintf("the hub moves from namespace %s to %s without its volumes", old.NamespaceBefore, r.Namespace),
			"a release in another namespace is a new one: the data stored in the old namespace stays there")
	}
	if old.ReleaseBefore != "" && old.ReleaseBefore != r.Release {
		j.destroyed(Change{Kind: "Release", Name: old.ReleaseBefore},
			fmt.Sprintf("the hub moves from Helm release %s to %s", old.ReleaseBefore, r.Release),
			"Helm installs a second one beside the first, with its own volumes")
	}
}

// images looks at the images that the change gives to the release, unless the
// objects told already that it is the one of users' servers. Where there are
// objects, those tell what becomes of an image that the chart brings along.
func (j *judge) images() {
	if j.release.Change == Added || j.saidImage() {
		return
	}
	rendered := j.around.Rendered && j.release.Unrendered == ""
	for _, i := range j.own() {
		given := i.Build || slices.ContainsFunc(i.Reasons, func(r Reason) bool { return r.Reason == HubSettingsRole })
		if rendered && (!given || len(j.changes) == 0) {
			continue
		}
		why := "image " + i.Name
		if len(i.Reasons) > 0 {
			why += ": " + i.Reasons[0].Path
			if n := len(i.Reasons) - 1; n > 0 {
				why += fmt.Sprintf(" and %d more", n)
			}
		}
		j.feel(NextStart, "a new image "+i.Name, fmt.Sprintf("a new image %s%s; if it is the users' image, their servers run it from their next start", i.Name, j.pulled()), why, Change{})
	}
}

// own are the images that the change gives to the release.
func (j *judge) own() []Image {
	var out []Image
	for _, i := range j.around.Images {
		if i.Change != Removed && slices.Contains(i.Hubs, j.release.Hub) && j.release.runs(i) {
			out = append(out, i)
		}
	}
	return out
}

// pulled says how much nodes have to pull, where that is known.
func (j *judge) pulled() string {
	var n int64
	for _, i := range j.own() {
		n += i.Bytes
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (each node pulls %s once)", Size(n))
}

// runs says that the release is affected by the image: through a reason of
// its own, unless the image tells none.
func (r Release) runs(i Image) bool {
	for _, own := range r.Reasons {
		for _, reason := range i.Reasons {
			if own.Path == reason.Path {
				return true
			}
		}
	}
	return len(i.Reasons) == 0
}

// Size writes bytes for people, in decimal units.
func Size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, u := float64(n), 0
	for v >= 999.5 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	if v < 9.95 && u > 0 {
		return fmt.Sprintf("%.1f %s", v, units[u])
	}
	return fmt.Sprintf("%.0f %s", v, units[u])
}

// impact sorts and joins what was collected.
func (j *judge) impact() Impact {
	slices.SortStableFunc(j.effects, func(a, b felt) int {
		if n := rank(b.Level) - rank(a.Level); n != 0 {
			return n
		}
		return cmp.Or(before(a.short == "")-before(b.short == ""), strings.Compare(a.What, b.What), strings.Compare(a.Why, b.Why))
	})
	out := Impact{Level: NoImpact, Effects: []Effect{}, Active: j.active}
	var shorts []string
	for _, f := range j.effects {
		// One effect has one reason: the first, with the number of the others.
		if n := len(out.Effects); n > 0 && out.Effects[n-1].What == f.What && out.Effects[n-1].Level == f.Level {
			if !strings.Contains(out.Effects[n-1].Why, f.Why) {
				out.Effects[n-1].Why += "; " + f.Why
			}
			continue
		}
		out.Effects = append(out.Effects, f.Effect)
		if f.short != "" && !slices.Contains(shorts, f.short) {
			shorts = append(shorts, f.short)
		}
	}
	for i, e := range out.Effects {
		if i == 0 || Worse(e.Level, out.Level) {
			out.Level = e.Level
		}
	}
	switch {
	case len(shorts) > 3:
		out.Summary = strings.Join(shorts[:3], "; ") + fmt.Sprintf("; and %d more", len(shorts)-3)
	case len(shorts) > 0:
		out.Summary = strings.Join(shorts, "; ")
	case out.Level == Background:
		out.Summary = "nothing that users notice"
	case len(j.changes) > 0:
		out.Summary = "nothing that is running changes"
	default:
		out.Summary = "nothing changes in the cluster"
	}
	return out
}
