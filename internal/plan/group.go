package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Block is what several releases have in common: the same objects change in
// the same way, and the same settings.
type Block struct {
	Releases []string // keys, in the order of the plan
	Changes  []Change
	Values   []Field
}

// Blocks says identical changes once: every change stands in exactly one block,
// with all releases that have it. A release's own name and namespace within
// names and texts count as the same; where they differ they are written
// "{release}" and "{namespace}". Blocks of more releases come first.
func Blocks(releases []Release) []Block {
	g := grouping{at: map[string]*common{}}
	for i := range releases {
		r := &releases[i]
		for _, c := range r.Changes {
			own := r.generic(c)
			own.Fields = make([]Field, len(c.Fields))
			for i, f := range c.Fields {
				own.Fields[i] = r.genericField(f)
			}
			g.add(r, common{change: &c, generic: &own})
		}
		for _, f := range r.Values {
			own := r.genericField(f)
			g.add(r, common{value: &f, genericValue: &own})
		}
	}
	return g.blocks()
}

// common is a change or a setting, as its first release has it and without
// what names the release, and the releases that have it.
type common struct {
	change, generic     *Change
	value, genericValue *Field
	releases            []string
	named               bool // a release's own name stands in it
}

type grouping struct {
	at    map[string]*common
	order []string
}

func (g *grouping) add(r *Release, s common) {
	// What a removed release has no more is not deleted: it stands apart.
	key := string(r.Change) + encode(s.generic) + encode(s.genericValue)
	have, ok := g.at[key]
	if !ok {
		have = &s
		have.named = strings.Contains(key, "{release}") || strings.Contains(key, "{namespace}")
		g.at[key] = have
		g.order = append(g.order, key)
	}
	if n := len(have.releases); n == 0 || have.releases[n-1] != r.Key() {
		have.releases = append(have.releases, r.Key())
	}
}

func encode(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		// Only what was put into a plan by hand cannot be encoded.
		return fmt.Sprintf("%#v", v)
	}
	return string(raw)
}

func (g *grouping) blocks() []Block {
	at := map[string]int{}
	var out []Block
	for _, key := range g.order {
		s := g.at[key]
		set := strings.Join(s.releases, "\n")
		i, ok := at[set]
		if !ok {
			i = len(out)
			at[set] = i
			out = append(out, Block{Releases: s.releases})
		}
		several := s.named && len(s.releases) > 1
		switch {
		case s.change != nil && several:
			out[i].Changes = append(out[i].Changes, *s.generic)
		case s.change != nil:
			out[i].Changes = append(out[i].Changes, *s.change)
		case several:
			out[i].Values = append(out[i].Values, *s.genericValue)
		default:
			out[i].Values = append(out[i].Values, *s.value)
		}
	}
	slices.SortStableFunc(out, func(a, b Block) int { return cmp.Compare(len(b.Releases), len(a.Releases)) })
	return out
}

// generic writes a change without the names of its release.
func (r *Release) generic(c Change) Change {
	c.Name, c.Namespace, c.Template = r.Generic(c.Name), r.Generic(c.Namespace), r.Generic(c.Template)
	return c
}

func (r *Release) genericField(f Field) Field {
	f.Path, f.Before, f.After = r.Generic(f.Path), r.value(f.Before), r.value(f.After)
	if f.Lines != nil {
		f.Lines = slices.Clone(f.Lines)
		for i, l := range f.Lines {
			f.Lines[i] = r.Generic(l)
		}
	}
	return f
}

func (r *Release) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.Generic(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = r.value(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = r.value(e)
		}
		return out
	}
	return v
}

// Generic puts the placeholders "{release}" and "{namespace}" for the release's
// own names in a text. Names without a "-" are too likely to be a word of
// something else, and stay.
func (r *Release) Generic(s string) string {
	if strings.Contains(r.Release, "-") {
		s = strings.ReplaceAll(s, r.Release, "{release}")
	}
	if r.Namespace != r.Release && strings.Contains(r.Namespace, "-") {
		s = strings.ReplaceAll(s, r.Namespace, "{namespace}")
	}
	return s
}

// Name says shortly which releases a set is, given those of the whole fleet,
// all as keys: "data8, staging and prod", "all 27 hubs, prod", "26 of 27 hubs,
// staging and prod (not datahub)", "prod of a and b". An empty fleet stands for
// one that is not known.
func Name(set, fleet []string) string {
	at := make(map[string]int, len(fleet))
	for i, k := range fleet {
		at[k] = i + 1
	}
	set = slices.Clone(set)
	// Those that the fleet does not have, as they went, come last.
	slices.SortStableFunc(set, func(a, b string) int {
		return cmp.Or(cmp.Compare(before(at[a] == 0), before(at[b] == 0)), at[a]-at[b])
	})
	hubs, envs := split(set)
	all, _ := split(fleet)
	order := map[string]int{}
	for _, k := range fleet {
		if _, env, _ := strings.Cut(k, "@"); order[env] == 0 {
			order[env] = len(order) + 1
		}
	}
	for _, list := range envs {
		slices.SortStableFunc(list, func(a, b string) int { return order[a] - order[b] })
	}
	// Hubs with the same environments are named together.
	type group struct {
		envs string
		hubs []string
	}
	var groups []group
	for _, h := range hubs {
		joined := words(envs[h])
		i := slices.IndexFunc(groups, func(g group) bool { return g.envs == joined })
		if i < 0 {
			i, groups = len(groups), append(groups, group{envs: joined})
		}
		groups[i].hubs = append(groups[i].hubs, h)
	}
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(len(b.hubs), len(a.hubs)) })
	const most = 3
	var parts []string
	for i, g := range groups {
		if i == most {
			rest := 0
			for _, g := range groups[i:] {
				rest += len(g.hubs)
			}
			parts = append(parts, fmt.Sprintf("%d more hubs in other environments", rest))
			break
		}
		parts = append(parts, hubWords(g.hubs, all)+", "+g.envs)
	}
	return strings.Join(parts, "; ")
}

func hubWords(hubs, all []string) string {
	const few = 4
	in := make(map[string]bool, len(hubs))
	for _, h := range hubs {
		in[h] = true
	}
	var not []string
	for _, h := range all {
		if !in[h] {
			not = append(not, h)
		}
	}
	switch {
	case len(hubs) == 1:
		return hubs[0]
	case len(hubs) == 2 && len(all) == 2 && len(not) == 0:
		return "both hubs"
	case len(hubs) == len(all) && len(not) == 0:
		return fmt.Sprintf("all %d hubs", len(all))
	case len(hubs) <= few:
		return words(hubs)
	case len(all) > 0:
		if len(not) <= few {
			return fmt.Sprintf("%d of %d hubs (not %s)", len(hubs), len(all), words(not))
		}
		return fmt.Sprintf("%d of %d hubs (%s and %d more)", len(hubs), len(all), strings.Join(hubs[:few-1], ", "), len(hubs)-few+1)
	}
	return fmt.Sprintf("%d hubs (%s and %d more)", len(hubs), strings.Join(hubs[:few-1], ", "), len(hubs)-few+1)
}

// split returns the hubs of keys, and each one's environments, both in their
// order.
func split(keys []string) ([]string, map[string][]string) {
	var hubs []string
	envs := map[string][]string{}
	for _, k := range keys {
		hub, env, _ := strings.Cut(k, "@")
		if _, ok := envs[hub]; !ok {
			hubs = append(hubs, hub)
		}
		if !slices.Contains(envs[hub], env) {
			envs[hub] = append(envs[hub], env)
		}
	}
	return hubs, envs
}

func words(items []string) string { return few(items, len(items)) }
