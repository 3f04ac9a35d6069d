package repo

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// maxCharts bounds the charts that one chart leads to.
const maxCharts = 100

// maxChartFile bounds a Chart.yaml, in bytes.
const maxChartFile = 1 << 20

// chartMeta is what of a Chart.yaml, or of an old requirements.yaml, leads to
// other folders.
type chartMeta struct {
	Dependencies []struct {
		Name       string `yaml:"name"`
		Repository string `yaml:"repository"`
	} `yaml:"dependencies"`
}

// chart is what is known about a chart that hubs use.
type chart struct {
	digest string
	paths  []string // what it depends on
	err    error    // why neither is known
}

// chartDigest is the digest over a chart: its folder, the folders of its
// file:// dependencies, theirs, and what links in them lead to. Dependencies
// from elsewhere are pinned by files in the chart's folder. The paths are those
// that it depends on.
func (s *snapshot) chartDigest(dir string) (digest string, paths []string, err error) {
	e := plan.NewEncoder("hubship-chart/1")
	seen := map[string]bool{}
	type step struct{ label, dir string }
	queue := []step{{"", dir}}
	for visited := map[string]bool{}; len(queue) > 0; queue = queue[1:] {
		c := queue[0]
		if sub, ok := s.submoduleOf(c.dir); ok {
			// What is in it is not in this repository; its commit stands for it.
			e.Add("submodule", c.label, sub.ID)
			seen[sub.Path] = true
			continue
		}
		entry, err := s.tree.Resolve(c.dir)
		if err != nil {
			return "", nil, err
		}
		if visited[entry.Path] {
			continue
		}
		if visited[entry.Path] = true; len(visited) > maxCharts {
			return "", nil, fmt.Errorf("it leads to more than %d charts", maxCharts)
		}
		if err := s.follow(e, "chart", c.label, entry, seen); err != nil {
			return "", nil, err
		}
		next, err := s.fileDependencies(entry.Path)
		if err != nil {
			return "", nil, err
		}
		for _, d := range next {
			queue = append(queue, step{c.label + "/" + d.name, d.dir})
		}
	}
	return e.Hex(), slices.Sorted(maps.Keys(seen)), nil
}

type dependency struct{ name, dir string }

// fileDependencies returns the folders that a chart names as file://
// dependencies.
func (s *snapshot) fileDependencies(dir string) ([]dependency, error) {
	var out []dependency
	tree := s.tree.FS()
	for _, file := range []string{"Chart.yaml", "requirements.yaml"} {
		name := path.Join(dir, file)
		info, err := fs.Stat(tree, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Size() > maxChartFile {
			return nil, fmt.Errorf("read %s: it has %d bytes; the limit is %d", name, info.Size(), int64(maxChartFile))
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, err
		}
		var meta chartMeta
		if err := yaml.Unmarshal(data, &meta); err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		for _, d := range meta.Dependencies {
			rel, ok := strings.CutPrefix(d.Repository, "file://")
			if !ok {
				continue
			}
			target := path.Join(dir, rel)
			if path.IsAbs(rel) || target == ".." || strings.HasPrefix(target, "../") {
				return nil, model.WithHint(fmt.Errorf("%s: dependency %s: %s is outside the repository", name, d.Name, d.Repository),
					"move the chart into the repository and refer to it with a relative path")
			}
			if _, ok := s.submoduleOf(target); ok {
				out = append(out, dependency{d.Name, target})
				continue
			}
			if e, err := s.tree.Resolve(target); err != nil || !e.IsDir() {
				return nil, model.WithHint(fmt.Errorf("%s: dependency %s: folder %s does not exist", name, d.Name, target), "commit the chart, or fix its repository")
			}
			out = append(out, dependency{d.Name, target})
		}
	}
	return out, nil
}

// submoduleOf returns the submodule that a path is, or is in.
func (s *snapshot) submoduleOf(name string) (git.Entry, bool) {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		if e, ok := s.tree.Lookup(name); ok {
			return e, e.IsSubmodule()
		}
	}
	return git.Entry{}, false
}

// resolveLink returns what a symbolic link leads to; the zero Entry if that is
// nothing.
func (s *snapshot) resolveLink(link git.Entry) (git.Entry, error) {
	target, err := s.tree.Resolve(link.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return git.Entry{}, nil
	}
	if err != nil {
		return git.Entry{}, model.WithHint(err, "point the link to something inside the repository, with a relative path")
	}
	return target, nil
}

func sortSources(list []model.Source) {
	slices.SortFunc(list, func(a, b model.Source) int { return cmp.Compare(a.ID, b.ID) })
}
