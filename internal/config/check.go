package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// checker turns a decoded file into a fleet and reports what makes no sense.
type checker struct {
	d     *decoder
	f     *file
	tree  fs.FS
	fleet *model.Fleet
	under bool // a process that is not of this commit
	// hubProblems hold back one hub each, or one of its releases.
	hubProblems map[string][]HubProblem
}

func (c *checker) problem(field, hint, format string, args ...any) {
	c.d.problemAt(field, fmt.Sprintf(format, args...), hint)
}

// given says whether a field stands in the file and could be read.
func (c *checker) given(field string) bool {
	if _, ok := c.d.at[field]; !ok {
		return false
	}
	return !slices.ContainsFunc(c.d.found.list, func(p Problem) bool { return p.Field == field })
}

// version checks which format the file has.
func (c *checker) version() {
	if c.given("version") && c.f.Version != Version {
		c.problem("version", "a newer hubship may know it", "expected %d, found %d", Version, c.f.Version)
	}
}

// environments reads the environments and puts them in promotion order.
func (c *checker) environments() {
	names := c.d.order["environments"]
	if c.given("environments") && len(names) == 0 {
		c.problem("environments", "", "expected at least one environment")
	}
	branches := map[string]string{}
	all := make([]model.Environment, 0, len(names))
	for _, name := range names {
		e := c.environment(name)
		if other, ok := branches[e.Branch]; ok {
			c.problem("environments."+name+".branch", "give each environment its own branch", "branch %q already drives %s", e.Branch, other)
		}
		branches[e.Branch] = name
		all = append(all, e)
	}
	c.fleet.Environments = c.promotionOrder(all)
	if n := len(c.fleet.Environments); n > 0 {
		for i := range c.fleet.Environments {
			e := &c.fleet.Environments[i]
			if e.Host != "" {
				continue
			}
			if e.Host = "{hub}-{env}.localhost"; i == n-1 {
				e.Host = "{hub}.localhost"
			}
		}
	}
}

// environment reads one environment. Its host is filled in later: the default
// depends on the order.
func (c *checker) environment(name string) model.Environment {
	in, field := c.f.Environments[name], "environments."+name
	or := func(value, fallback string) string {
		if value == "" {
			return fallback
		}
		return value
	}
	e := model.Environment{
		Name: name, Branch: or(in.Branch, name), Cluster: in.Cluster, After: in.After, Host: in.Host, Push: in.Push,
		Namespace: or(in.Namespace, "{hub}-{env}"), Release: or(in.Release, "{hub}-{env}"),
	}
	if p := labelProblem(name, maxLabel); p != "" {
		c.problem(field, "", "the name %s", p)
	}
	if p := branchProblem(e.Branch); p != "" {
		c.problem(field+".branch", "", "%q %s", e.Branch, p)
	}
	if bad := unknownPlaceholder(e.Cluster, "{hub}"); bad != "" {
		c.problem(field+".cluster", "", "unknown placeholder %s, expected {hub}", bad)
	} else if c.given(field + ".cluster") {
		if p := ClusterNameProblem(strings.ReplaceAll(e.Cluster, "{hub}", "x")); p != "" {
			c.problem(field+".cluster", "`hubship cluster list` shows the clusters of the installation", "the name %q %s", e.Cluster, p)
		}
	}
	if e.After != "" {
		if _, ok := c.f.Environments[e.After]; !ok || e.After == name {
			others := slices.DeleteFunc(sortedKeys(c.f.Environments), func(n string) bool { return n == name })
			c.problem(field+".after", didYouMean(e.After, others), "%q is not another environment, expected %s", e.After, oneOf(others))
			e.After = ""
		}
	}
	for _, p := range []struct{ key, pattern string }{{"namespace", e.Namespace}, {"release", e.Release}, {"host", e.Host}} {
		if bad := unknownPlaceholder(p.pattern, "{hub}", "{env}"); bad != "" {
			c.problem(field+"."+p.key, "", "unknown placeholder %s, expected {hub} or {env}", bad)
		}
	}
	// Whatever the hub: a hub's own name is judged where hubs are.
	if ns := model.Expand(e.Namespace, "x", name); c.given(field+".namespace") && reservedNamespace(ns) {
		c.problem(field+".namespace", reservedHint, "the namespace %q is not allowed for hubs", e.Namespace)
	}
	return e
}

// promotionOrder puts every environment behind the one it comes after, and
// otherwise keeps the order of the file.
func (c *checker) promotionOrder(all []model.Environment) []model.Environment {
	var ordered []model.Environment
	placed := map[string]bool{"": true}
	for len(ordered) < len(all) {
		progress := false
		for _, e := range all {
			if !placed[e.Name] && placed[e.After] {
				ordered, placed[e.Name], progress = append(ordered, e), true, true
			}
		}
		if progress {
			continue
		}
		for _, e := range all {
			if !placed[e.Name] {
				c.problem("environments."+e.Name+".after", "remove one `after`", "the environments come after each other in a cycle")
			}
		}
		return ordered
	}
	return ordered
}

// hubs finds the folders that are hubs, and checks chart and file patterns.
func (c *checker) hubs() {
	h := &c.f.Hubs
	c.path("hubs.chart", &h.Chart)
	c.fleet.Chart = h.Chart
	if c.usable("hubs.chart", h.Chart) {
		c.mustExist("hubs.chart", path.Join(h.Chart, "Chart.yaml"), false, "name the folder of a Helm chart")
	}
	for key, list := range map[string][]string{"values": h.Values, "secrets": h.Secrets} {
		for i := range list {
			field := fmt.Sprintf("hubs.%s[%d]", key, i)
			c.filePattern(field, &list[i])
			if bad := unknownPlaceholder(list[i], "{hub}", "{env}"); bad != "" {
				c.problem(field, "", "unknown placeholder %s, expected {env} or {hub}", bad)
			}
			if slices.Contains(list[:i], list[i]) {
				c.problem(field, "remove one of them", "%q is listed twice", list[i])
			}
		}
	}
	for i, pattern := range h.Exclude {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			c.problem(fmt.Sprintf("hubs.exclude[%d]", i), "for example templates", "%q is not a pattern of folders", pattern)
		}
	}
	c.path("hubs.path", &h.Path)
	if c.usable("hubs.path", h.Path) {
		c.findHubs(h.Path)
		c.charts()
		if h.Optional {
			c.hubEnvironments()
		}
	}
}

// excluded says that a folder is none of a hub although hubs.path matches it.
func (c *checker) excluded(dir string) bool {
	return slices.ContainsFunc(c.f.Hubs.Exclude, func(pattern string) bool {
		name := path.Base(dir)
		if strings.Contains(pattern, "/") {
			name = dir
		}
		ok, _ := path.Match(strings.TrimSuffix(pattern, "/"), name) // a bad one was told before
		return ok
	})
}

// charts gives hubs the charts that are named for them. A hub whose chart is
// missing is held back.
func (c *checker) charts() {
	known := make([]string, 0, len(c.fleet.Hubs))
	for _, h := range c.fleet.Hubs {
		known = append(known, h.Name)
	}
	for _, name := range sortedKeys(c.f.Hubs.Charts) {
		field, dir := "hubs.charts."+name, c.f.Hubs.Charts[name]
		i := slices.Index(known, name)
		if i < 0 {
			c.problem(field, didYouMean(name, known), "there is no hub %q", name)
			continue
		}
		c.path(field, &dir)
		if !c.usable(field, dir) {
			continue
		}
		if c.fleet.Hubs[i].Chart = dir; dir == c.f.Hubs.Chart {
			c.fleet.Hubs[i].Chart = ""
		}
		before := len(c.d.found.list)
		c.mustExist(field, path.Join(dir, "Chart.yaml"), false, "name the folder of a Helm chart")
		if added := c.d.found.list[before:]; len(added) > 0 {
			for _, p := range added {
				c.holdBack(name, p)
			}
			c.d.found.list = c.d.found.list[:before]
		}
	}
}

// hubEnvironments finds the environments that each hub has a file of its own
// for, where files are optional. Without any file that is of one hub and one
// environment all hubs are in all environments.
func (c *checker) hubEnvironments() {
	var patterns []string
	for _, p := range slices.Concat(c.f.Hubs.Values, c.f.Hubs.Secrets) {
		if strings.Contains(p, "{env}") && (strings.Contains(p, "{hub}") || !path.IsAbs(p)) {
			patterns = append(patterns, p)
		}
	}
	if len(patterns) == 0 {
		return
	}
	for i := range c.fleet.Hubs {
		h := &c.fleet.Hubs[i]
		h.Environments = []string{}
		for _, e := range c.fleet.Environments {
			if slices.ContainsFunc(patterns, func(p string) bool {
				_, err := fs.Stat(c.tree, fileOf(p, *h, e.Name))
				return !errors.Is(err, fs.ErrNotExist)
			}) {
				h.Environments = append(h.Environments, e.Name)
			}
		}
	}
}

func (c *checker) findHubs(pattern string) {
	if _, err := path.Match(pattern, ""); err != nil || strings.ContainsAny(pattern, "{}") {
		c.problem("hubs.path", "for example deployments/*", "%q is not a pattern of folders", pattern)
		return
	}
	matches, err := fs.Glob(c.tree, pattern)
	if err != nil {
		c.problem("hubs.path", "", "cannot be searched: %v", err)
		return
	}
	byName := map[string]string{}
	for _, dir := range matches {
		name := path.Base(dir)
		// Folders of template engines and hidden ones are not hubs.
		if strings.Contains(dir, "{{") || strings.HasPrefix(name, ".") || c.excluded(dir) {
			continue
		}
		if info, err := fs.Stat(c.tree, dir); err != nil || !info.IsDir() {
			continue
		}
		if p := labelProblem(name, maxLabel); p != "" {
			c.problem("hubs.path", "rename the folder, or add it to hubs.exclude", "the folder %s cannot be a hub: its name %s", dir, p)
			continue
		}
		if other, ok := byName[name]; ok {
			c.problem("hubs.path", "rename one of them", "the folders %s and %s are both hub %q", other, dir, name)
			continue
		}
		byName[name] = dir
	}
	for _, name := range sortedKeys(byName) {
		c.fleet.Hubs = append(c.fleet.Hubs, model.Hub{Name: name, Path: byName[name]})
	}
	if len(byName) == 0 && c.given("hubs.path") {
		c.problem("hubs.path", "each hub is a folder with its values", "no folder matches %q", pattern)
	}
}

// path checks and cleans a path within the repository.
func (c *checker) path(field string, p *string) {
	if !c.given(field) {
		return
	}
	if bad := pathProblem(*p); bad != "" {
		c.problem(field, "", "%q %s", *p, bad)
		return
	}
	*p = path.Clean(*p)
}

// filePattern checks and cleans the pattern of a file in a hub's folder, or, if
// it starts with a slash, from the root of the repository.
func (c *checker) filePattern(field string, p *string) {
	if !c.given(field) {
		return
	}
	rest, rooted := strings.CutPrefix(*p, "/")
	if bad := pathProblem(rest); bad != "" {
		c.problem(field, "", "%q %s", *p, bad)
		return
	}
	if *p = path.Clean(rest); rooted {
		*p = "/" + *p
	}
}

// usable says that a field was given and nothing is wrong with it so far.
func (c *checker) usable(field, value string) bool { return value != "" && c.given(field) }

// mustExist checks that a file, or folder, is in the tree.
func (c *checker) mustExist(field, name string, dir bool, hint string) {
	want := "file"
	if dir {
		want = "folder"
	}
	info, err := fs.Stat(c.tree, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if list, err := fs.ReadDir(c.tree, path.Dir(name)); err == nil && len(list) == 0 {
			// Git keeps no empty folders.
			c.problem(field, "commit the files themselves", "there is no %s %s: the folder is a submodule, whose files are not in this repository", want, name)
			return
		}
		c.problem(field, hint, "there is no %s %s", want, name)
	case err != nil:
		c.problem(field, readHint, "cannot be read: %v", err)
	case info.IsDir() != dir:
		c.problem(field, hint, "%s is not a %s", name, want)
	}
}
