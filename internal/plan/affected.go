package plan

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Revision is what a commit describes, as far as one side of a change matters. It
// is known from Git trees alone.
type Revision struct {
	Commit   string
	Layout   string
	Hubs     []SideHub
	Releases []SideRelease
	Images   []SideImage
}

// SideHub is a hub and what its folder holds.
type SideHub struct {
	Name  string
	Files map[string]string // object id by path from the hub's folder
}

// SideRelease is a release by what it is made of.
type SideRelease struct {
	Target model.Target
	Place  string // where the hub says that it lives
	// Settings is a digest of what the repository's configuration says about
	// the release, as far as no file among Inputs says it.
	Settings string
	Inputs   []Input
	Images   []string // IDs of those that it runs
	Pinned   []model.Pinned
	Invalid  string
}

// SideImage is an image by what it is built from.
type SideImage struct {
	Image  model.Image
	Hash   string
	Hubs   []string
	Inputs []Input
}

// Input is a file, or a folder with all that is below it, that something is
// made of.
type Input struct {
	Path string
	Role string // as Reason.Reason
	ID   string // object id
}

// SettingsRole is the reason for what only the configuration says. Its path is
// the configuration's file.
const SettingsRole = "settings"

// manyFiles is how many changed files of one folder are listed one by one.
const manyFiles = 20

// Affected compares two sides: which images, releases and hubs have inputs that
// differ, each with the paths that caused it. changed are the paths that differ
// between the two trees; configuration is the file that settings stand in.
func Affected(base, head Revision, changed []string, configuration string) Plan {
	a := &affected{changed: slices.Clone(changed), used: map[string]bool{}, configuration: configuration}
	sort.Strings(a.changed)
	p := Plan{
		Version: Version, Base: base.Commit, Head: head.Commit, Layout: head.Layout, Fleet: []string{},
		Hubs: hubChanges(base.Hubs, head.Hubs), Images: []Image{}, Releases: []Release{},
		Packages: []Package{}, Submodules: []Submodule{}, Problems: []Problem{}, Unrelated: []string{},
	}
	for _, r := range head.Releases {
		p.Fleet = append(p.Fleet, r.Target.Key())
	}
	images := a.images(base, head)
	p.Images = append(p.Images, a.pinned(base, head)...)
	p.Images = append(p.Images, images...)
	p.Releases = append(p.Releases, a.releases(base, head, images)...)
	a.mark(base)
	a.mark(head)
	for _, name := range a.changed {
		if !a.used[name] {
			p.Unrelated = append(p.Unrelated, name)
		}
	}
	return p
}

type affected struct {
	changed       []string // sorted
	used          map[string]bool
	configuration string
}

// below returns the changed paths that are a file or below a folder.
func (a *affected) below(dir string) []string {
	if dir == "." {
		return a.changed
	}
	var out []string
	if _, found := slices.BinarySearch(a.changed, dir); found {
		out = append(out, dir)
	}
	i, _ := slices.BinarySearch(a.changed, dir+"/")
	for ; i < len(a.changed) && strings.HasPrefix(a.changed[i], dir+"/"); i++ {
		out = append(out, a.changed[i])
	}
	return out
}

// mark marks the paths that something of a side is made of.
func (a *affected) mark(s Revision) {
	seen := map[string]bool{}
	mark := func(inputs []Input) {
		for _, in := range inputs {
			if seen[in.Path] {
				continue
			}
			seen[in.Path] = true
			for _, name := range a.below(in.Path) {
				a.used[name] = true
			}
		}
	}
	for _, r := range s.Releases {
		mark(r.Inputs)
	}
	for _, i := range s.Images {
		mark(i.Inputs)
	}
	a.used[a.configuration] = true
}

// reasons lists the inputs that differ, folders by their changed files.
func (a *affected) reasons(before, after []Input) []Reason {
	type key struct{ path, role string }
	old := map[key]string{}
	for _, in := range before {
		old[key{in.Path, in.Role}] = in.ID
	}
	var out []Reason
	for _, in := range after {
		k := key{in.Path, in.Role}
		if old[k] != in.ID {
			out = append(out, a.reason(in)...)
		}
		delete(old, k)
	}
	for k, id := range old {
		out = append(out, a.reason(Input{k.path, k.role, id})...)
	}
	slices.SortFunc(out, func(x, y Reason) int {
		return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Reason, y.Reason))
	})
	return slices.Compact(out)
}

func (a *affected) reason(in Input) []Reason {
	names := a.below(in.Path)
	switch {
	case len(names) == 0:
		return []Reason{{in.Path, in.Role}}
	case len(names) > manyFiles:
		return []Reason{{in.Path + "/", fmt.Sprintf("%s: %d files", in.Role, len(names))}}
	}
	out := make([]Reason, 0, len(names))
	for _, name := range names {
		out = append(out, Reason{name, in.Role})
	}
	return out
}

// images compares what is built from the repository.
func (a *affected) images(base, head Revision) []Image {
	before := map[string]SideImage{}
	for _, i := range base.Images {
		before[i.Image.ID] = i
	}
	var out []Image
	for _, now := range head.Images {
		img := Image{ID: now.Image.ID, Name: now.Image.Repository, Build: true, After: now.Hash, Hubs: list(now.Hubs)}
		old, ok := before[now.Image.ID]
		delete(before, now.Image.ID)
		switch {
		case !ok:
			img.Change = Added
		case old.Hash != now.Hash || old.Image.Repository != now.Image.Repository:
			img.Change, img.Before = Changed, old.Hash
		default:
			continue
		}
		img.Reasons = list(a.reasons(old.Inputs, now.Inputs))
		out = append(out, img)
	}
	for _, old := range base.Images {
		if _, gone := before[old.Image.ID]; gone {
			out = append(out, Image{ID: old.Image.ID, Name: old.Image.Repository, Change: Removed, Before: old.Hash, Hubs: list(old.Hubs), Reasons: list(a.reasons(old.Inputs, nil))})
		}
	}
	return out
}

// pinned finds references that change, each once for all hubs where it does.
func (a *affected) pinned(base, head Revision) []Image {
	refs := func(s Revision) map[string]map[string]model.Pinned {
		out := map[string]map[string]model.Pinned{}
		for _, r := range s.Releases {
			if out[r.Target.Hub] == nil {
				out[r.Target.Hub] = map[string]model.Pinned{}
			}
			for _, p := range r.Pinned { // the last one that goes to a place wins
				out[r.Target.Hub][p.Values] = p
			}
		}
		return out
	}
	type change struct{ before, after, values string }
	hubs := map[change][]string{}
	before, after := refs(base), refs(head)
	for hub, now := range after {
		for values, p := range now {
			old := before[hub][values]
			if ref := old.Ref(); ref != p.Ref() {
				c := change{ref, p.Ref(), values}
				hubs[c] = append(hubs[c], hub)
			}
		}
	}
	settings := map[string][]Input{}
	for _, r := range head.Releases {
		settings[r.Target.Hub] = r.Inputs
	}
	out := make([]Image, 0, len(hubs))
	for c, names := range hubs {
		sort.Strings(names)
		img := Image{ID: c.after, Change: Changed, Before: c.before, After: c.after, Hubs: names, Reasons: []Reason{}}
		img.Name, _, _ = strings.Cut(path.Base(c.after), ":")
		if img.Name = strings.TrimSuffix(c.after, path.Base(c.after)) + img.Name; c.before == "" {
			img.Change = Added
		}
		for _, hub := range names {
			for _, in := range settings[hub] {
				if in.Role == HubSettingsRole && len(a.below(in.Path)) > 0 {
					img.Reasons = append(img.Reasons, Reason{in.Path, in.Role})
				}
			}
		}
		out = append(out, img)
	}
	slices.SortFunc(out, func(x, y Image) int { return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Before, y.Before)) })
	return out
}

// HubSettingsRole is the reason for what a hub's own settings file says.
const HubSettingsRole = "settings of the hub"

// releases compares the releases, in the order of the head, then those that
// went.
func (a *affected) releases(base, head Revision, images []Image) []Release {
	before := map[string]SideRelease{}
	for _, r := range base.Releases {
		before[r.Target.Key()] = r
	}
	byID := map[string]Image{}
	for _, i := range images {
		byID[i.ID] = i
	}
	var out []Release
	for _, now := range head.Releases {
		key := now.Target.Key()
		old, ok := before[key]
		delete(before, key)
		r := a.release(now)
		r.Change = Changed
		if !ok {
			r.Change = Added
		}
		r.Reasons = a.reasons(old.Inputs, now.Inputs)
		if ok && old.Settings != now.Settings {
			r.Reasons = append(r.Reasons, Reason{a.configuration, SettingsRole})
		}
		if ok && old.Place != now.Place {
			r.Reasons = append(r.Reasons, Reason{a.configuration, fmt.Sprintf("the cluster changes from %q to %q", old.Place, now.Place)})
		}
		for _, id := range now.Images {
			if i, changed := byID[id]; changed {
				for _, reason := range i.Reasons {
					r.Reasons = append(r.Reasons, Reason{reason.Path, "image " + id})
				}
			}
		}
		r.Reasons = list(slices.Compact(r.Reasons))
		if !ok || len(r.Reasons) > 0 {
			out = append(out, r)
		}
	}
	for _, old := range base.Releases {
		if _, gone := before[old.Target.Key()]; gone {
			r := a.release(old)
			r.Change, r.Reasons = Removed, list(a.reasons(old.Inputs, nil))
			// What other releases are made of too did not make this one go.
			r.Reasons = slices.DeleteFunc(r.Reasons, func(reason Reason) bool { return len(a.below(strings.TrimSuffix(reason.Path, "/"))) == 0 })
			out = append(out, r)
		}
	}
	return out
}

func (a *affected) release(s SideRelease) Release {
	r := Release{
		Hub: s.Target.Hub, Environment: s.Target.Environment, Cluster: cmp.Or(s.Target.Cluster, s.Place),
		Namespace: s.Target.Namespace, Release: s.Target.Release, Values: []Field{},
		Impact: Impact{Level: Unknown, Summary: "not rendered", Effects: []Effect{}},
	}
	if s.Invalid != "" {
		r.Unrendered = s.Invalid
	}
	return r
}

// hubChanges finds hubs that came, went or were renamed: one that went and one
// that came with at least half of its files the same.
func hubChanges(before, after []SideHub) []HubChange {
	out := []HubChange{}
	have := func(list []SideHub, name string) bool {
		return slices.ContainsFunc(list, func(h SideHub) bool { return h.Name == name })
	}
	var gone []SideHub
	for _, h := range before {
		if !have(after, h.Name) {
			gone = append(gone, h)
		}
	}
	for _, h := range after {
		if have(before, h.Name) {
			continue
		}
		from, best := -1, 0
		for i, g := range gone {
			if n := shared(g.Files, h.Files); n > best && 2*n >= len(g.Files) {
				from, best = i, n
			}
		}
		if from < 0 {
			out = append(out, HubChange{Hub: h.Name, Change: Added})
			continue
		}
		out = append(out, HubChange{Hub: h.Name, Change: Renamed, From: gone[from].Name})
		gone = slices.Delete(gone, from, from+1)
	}
	for _, g := range gone {
		out = append(out, HubChange{Hub: g.Name, Change: Removed})
	}
	return out
}

// shared counts the files that are the same in both.
func shared(a, b map[string]string) int {
	n := 0
	for name, id := range a {
		if b[name] == id {
			n++
		}
	}
	return n
}

// list makes an empty list of none, as which it is written in JSON.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
