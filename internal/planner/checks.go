package planner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/packages"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

// judge gathers what can be said without rendering.
func (w *work) judge(ctx context.Context) error {
	if err := w.settings(ctx); err != nil {
		return err
	}
	w.files()
	if err := w.credentials(ctx); err != nil {
		return err
	}
	if err := w.copies(ctx); err != nil {
		return err
	}
	w.packages()
	w.charts()
	return w.parity(ctx)
}

// roles are the files that releases are made of, by path: the releases, and
// whether the file is one of secrets.
type role struct {
	releases []string
	secret   bool
	values   bool
}

func roles(s plan.Revision) map[string]*role {
	out := map[string]*role{}
	for _, r := range s.Releases {
		for _, in := range r.Inputs {
			k := out[in.Path]
			if k == nil {
				k = &role{secret: strings.HasPrefix(in.Role, "secrets of"), values: strings.HasPrefix(in.Role, "values of")}
				out[in.Path] = k
			}
			k.releases = append(k.releases, r.Target.Key())
		}
	}
	return out
}

// files checks the changed files that releases are made of. What the base has
// too is said to be so.
func (w *work) files() {
	known := roles(w.head.content)
	var charts []string
	if w.head.cfg != nil {
		charts = w.head.cfg.Fleet.Charts()
	}
	for _, name := range w.changed {
		k := known[name]
		settings := path.Base(name) == config.HubployFile || name == config.FileName
		yamlFile := path.Ext(name) == ".yaml" || path.Ext(name) == ".yml"
		var found func(s *revision) []plan.Problem
		switch {
		case k != nil && k.secret:
			found = w.checker(name, check.Encryption)
		case strings.Contains("/"+name, "/secrets/") && k == nil && (yamlFile || path.Ext(name) == ".json"):
			found = w.checker(name, check.Encryption)
		case k != nil && k.values, path.Base(name) == "values.yaml" && slices.Contains(charts, path.Dir(name)):
			found = w.checker(name, check.YAML)
		case k != nil && settings && yamlFile:
			found = w.checker(name, check.AnyYAML)
		default:
			continue
		}
		before := map[string]bool{}
		if w.base.tree != nil {
			for _, p := range found(&w.base) {
				before[p.Message] = true
			}
		}
		for _, p := range found(&w.head) {
			if k != nil {
				p.Releases = slices.Clone(k.releases)
			}
			p.Preexisting = before[p.Message]
			w.problem(p)
		}
	}
}

// checker checks a file once for all commits that have it.
func (w *work) checker(name string, judge func(name string, data []byte) []plan.Problem) func(s *revision) []plan.Problem {
	return func(s *revision) []plan.Problem {
		id := s.id(name)
		if id == "" {
			return nil
		}
		key := id + " " + name
		if kept, ok := w.checked.Get(key); ok {
			return kept
		}
		data, err := readTree(s.tree, name)
		var found []plan.Problem
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			found = []plan.Problem{{Severity: plan.Error, Check: check.CheckYAML, File: name, Message: err.Error(), Hint: "keep values files small"}}
		default:
			found = judge(name, data)
		}
		w.checked.Add(key, found)
		return found
	}
}

// packages compares what the changed images install.
func (w *work) packages() {
	for _, img := range w.plan.Images {
		if !img.Build || img.Change == plan.Removed {
			continue
		}
		before, old := w.installs(&w.base, img.ID)
		after, problems := w.installs(&w.head, img.ID)
		for _, p := range problems {
			p.Preexisting = slices.ContainsFunc(old, func(q plan.Problem) bool { return q.Message == p.Message && q.File == p.File })
			w.problem(p)
		}
		var loose []plan.Package
		for _, p := range packages.Compare(before, after) {
			p.Image = img.ID
			w.plan.Packages = append(w.plan.Packages, p)
			if p.Change != plan.Removed && !p.Pinned && !usuallyOpen(p) {
				loose = append(loose, p)
			}
		}
		w.unpinned(img, loose)
	}
}

// usuallyOpen says that nobody would pin the package: Debian's own are held by
// the release of the base image, Python by its series, and conda asks for pip
// only to have it.
func usuallyOpen(p plan.Package) bool {
	switch {
	case p.Ecosystem == packages.Apt:
		return true
	case p.Ecosystem != packages.Conda:
		return false
	}
	return p.Name == "pip" || p.Name == "python" && strings.ContainsAny(p.After, "0123456789")
}

// unpinned points out packages of an image that the next build may install in
// another version.
func (w *work) unpinned(img plan.Image, loose []plan.Package) {
	if len(loose) == 0 {
		return
	}
	names := make([]string, 0, len(loose))
	for _, p := range loose {
		names = append(names, p.Name)
	}
	const most = 5
	text := strings.Join(names[:min(len(names), most)], ", ")
	if n := len(names) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	w.problem(plan.Problem{
		Severity: plan.Notice, Check: "packages", File: loose[0].File, Line: loose[0].Line, Releases: w.releasesOf(img.Hubs),
		Message: fmt.Sprintf("image %s: not pinned to a version: %s; the next build may install a different one", img.ID, text),
		Hint:    "pin the version that was tested",
	})
}

// installs lists what an image installs on one side.
func (w *work) installs(s *revision, id string) ([]packages.Package, []plan.Problem) {
	if s.cfg == nil {
		return nil, nil
	}
	for _, i := range s.cfg.Fleet.Images {
		if i.ID == id {
			return packages.Image(s.tree.FS(), i.Context, i.Dockerfile)
		}
	}
	return nil, nil
}

// chartVersions are the versions that charts pin, by folder of the chart and
// name of the dependency, with its own under "".
type chartVersions map[[2]string]chartVersion

type chartVersion struct {
	version string
	file    string
	line    int
}

// versions reads Chart.yaml and requirements.yaml.
func versions(s *revision) chartVersions {
	out := chartVersions{}
	if s.cfg == nil {
		return out
	}
	for _, dir := range s.cfg.Fleet.Charts() {
		out.read(s, dir)
	}
	return out
}

// read adds the versions of one chart.
func (out chartVersions) read(s *revision, dir string) {
	for _, base := range []string{"Chart.yaml", "requirements.yaml"} {
		name := path.Join(dir, base)
		data, err := readTree(s.tree, name)
		if err != nil {
			continue
		}
		var file struct {
			Name         string    `yaml:"name"`
			Version      yaml.Node `yaml:"version"`
			Dependencies []struct {
				Name    string    `yaml:"name"`
				Version yaml.Node `yaml:"version"`
			} `yaml:"dependencies"`
		}
		if yaml.Unmarshal(data, &file) != nil {
			continue // rendering says what is wrong with it
		}
		if base == "Chart.yaml" {
			out[[2]string{dir, ""}] = chartVersion{file.Version.Value, name, file.Version.Line}
		}
		for _, d := range file.Dependencies {
			out[[2]string{dir, d.Name}] = chartVersion{d.Version.Value, name, d.Version.Line}
		}
	}
}

// charts says which versions of charts change, and points out those that go
// back to an older one (incident I2).
func (w *work) charts() {
	before, after := versions(&w.base), versions(&w.head)
	w.chartReasons(before, after)
	for _, key := range slices.SortedFunc(maps.Keys(after), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		now, name := after[key], key[1]
		old, err1 := semver.NewVersion(before[key].version)
		v, err2 := semver.NewVersion(now.version)
		if err1 != nil || err2 != nil || !v.LessThan(old) {
			continue
		}
		what := "the hub chart"
		if name != "" {
			what = "the chart " + name + " that the hubs depend on"
		}
		w.problem(plan.Problem{
			Severity: plan.Warning, Check: "chart", File: now.file, Line: now.line,
			Message: fmt.Sprintf("%s goes back from %s to %s", what, before[key].version, now.version),
			Hint:    "update the branch from its base, unless going back is intended",
		})
	}
}

// chartReasons puts the versions of the charts that the hubs' own charts depend
// on beside the files that say them.
func (w *work) chartReasons(before, after chartVersions) {
	words := map[string][]string{}
	for _, key := range slices.SortedFunc(maps.Keys(after), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		was, is := before[key].version, after[key].version
		if key[1] != "" && was != "" && was != is {
			words[after[key].file] = append(words[after[key].file], fmt.Sprintf("%s %s → %s", key[1], was, is))
		}
	}
	for i := range w.plan.Releases {
		for n := range w.plan.Releases[i].Reasons {
			r := &w.plan.Releases[i].Reasons[n]
			if list := words[r.Path]; list != nil && r.Reason == "chart" {
				r.Reason = "chart: " + strings.Join(list, ", ")
			}
		}
	}
}

// fewHubs is how many hubs it takes to know what is usual.
const fewHubs = 3

// parity compares the environments of the hubs that the change affects.
func (w *work) parity(ctx context.Context) error {
	if w.head.cfg == nil || len(w.plan.Releases) == 0 {
		return nil
	}
	fleet := w.head.cfg.Fleet
	touched := map[string]bool{}
	for _, r := range w.plan.Releases {
		touched[r.Hub] = r.Change != plan.Removed
	}
	for _, e := range fleet.Environments {
		if e.After == "" {
			continue
		}
		before := map[string]check.HubSettings{}
		if w.base.cfg != nil {
			list, err := w.settingsOf(ctx, &w.base, e, touched)
			if err != nil {
				return err
			}
			for _, h := range list {
				before[h.Hub] = h
			}
		}
		hubs, err := w.settingsOf(ctx, &w.head, e, nil)
		if err != nil {
			return err
		}
		for i := range hubs {
			if was, ok := before[hubs[i].Hub]; ok {
				hubs[i].Was = &was
			}
		}
		for _, p := range check.Parity(hubs) {
			if slices.ContainsFunc(p.Releases, func(r string) bool {
				hub, _, _ := strings.Cut(r, "@")
				// Of a new hub only the others can tell what is unusual.
				_, known := before[hub]
				return touched[hub] && (known || len(hubs) >= fewHubs)
			}) {
				w.problem(p)
			}
		}
	}
	return nil
}

// settingsOf returns the settings of hubs in an environment and the one before
// it, as they stand in files in the clear; only nil means all hubs.
func (w *work) settingsOf(ctx context.Context, s *revision, e model.Environment, only map[string]bool) ([]check.HubSettings, error) {
	if _, ok := s.cfg.Fleet.Environment(e.Name); !ok {
		return nil, nil
	}
	if _, ok := s.cfg.Fleet.Environment(e.After); !ok {
		return nil, nil
	}
	first, err := w.o.Repository.Desired(ctx, s.cfg.Fleet, e.After)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	next, err := w.o.Repository.Desired(ctx, s.cfg.Fleet, e.Name)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	earlier := make(map[string]model.Desired, len(first))
	for _, d := range first {
		earlier[d.Target.Hub] = d
	}
	var out []check.HubSettings
	for _, d := range next {
		was, ok := earlier[d.Target.Hub]
		if !ok || was.Invalid != "" || d.Invalid != "" || only != nil && !only[d.Target.Hub] {
			continue
		}
		h := check.HubSettings{Hub: d.Target.Hub, First: e.After, Next: e.Name}
		if h.Before, ok = w.filesMerged(s, was); !ok {
			continue
		}
		if h.After, ok = w.filesMerged(s, d); !ok {
			continue
		}
		for _, name := range d.Values {
			if data, err := readTree(s.tree, name); err == nil {
				h.Files = append(h.Files, check.ValuesFile{Name: name, Data: data})
			}
		}
		out = append(out, h)
	}
	return out, nil
}

// filesMerged merges a release's files in the clear. False means that one
// cannot be read.
func (w *work) filesMerged(s *revision, d model.Desired) (map[string]any, bool) {
	values := map[string]any{}
	for _, name := range d.Values {
		p := w.file(s, name)
		if p.err != nil {
			return nil, false
		}
		values = release.Merge(values, p.values)
	}
	return values, true
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
