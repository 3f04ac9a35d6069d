package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// images reads the images: one for each hub if the context says {hub}, one
// that hubs share otherwise.
func (c *checker) images() {
	byValues := map[string]string{}
	for _, name := range sortedKeys(c.f.Images) {
		in, field := c.f.Images[name], "images."+name
		if p := labelProblem(name, maxLabel); p != "" {
			c.problem(field, "", "the name %s", p)
		}
		c.path(field+".context", &in.Context)
		c.path(field+".dockerfile", &in.Dockerfile)
		if c.given(field+".values") && !valuesPath.MatchString(in.Values) {
			c.problem(field+".values", "for example jupyterhub.singleuser.image", "%q is not a dotted path in the values", in.Values)
		}
		if other, ok := byValues[in.Values]; ok && in.Values != "" {
			c.problem(field+".values", "", "image %s already sets %s", other, in.Values)
		}
		byValues[in.Values] = name
		perHub := strings.Contains(in.Context, "{hub}")
		if in.Dockerfile == "" {
			in.Dockerfile = path.Join(in.Context, "Dockerfile")
		}
		if in.Repository == "" {
			if in.Repository = name; perHub {
				in.Repository = "{hub}/" + name
			}
		}
		if c.imagePatterns(field, in, perHub) && c.usable(field+".context", in.Context) {
			c.addImages(field, name, in, perHub)
		}
	}
	sort.Slice(c.fleet.Images, func(i, j int) bool { return c.fleet.Images[i].ID < c.fleet.Images[j].ID })
}

// imagePatterns checks the placeholders of an image.
func (c *checker) imagePatterns(field string, in image, perHub bool) bool {
	allowed, expected := []string{"{hub}"}, "{hub}"
	ok := true
	for _, p := range []struct{ key, pattern string }{{"context", in.Context}, {"dockerfile", in.Dockerfile}, {"repository", in.Repository}} {
		if p.key != "context" && !perHub {
			allowed, expected = nil, "none, because the context has no {hub}"
		}
		if bad := unknownPlaceholder(p.pattern, allowed...); bad != "" {
			hint := ""
			if bad == "{env}" {
				hint = "every environment runs the same image"
			}
			c.problem(field+"."+p.key, hint, "unknown placeholder %s, expected %s", bad, expected)
			ok = false
		}
	}
	return ok
}

func (c *checker) addImages(field, name string, in image, perHub bool) {
	hubs := []string{""}
	if perHub {
		hubs = hubs[:0]
		for _, h := range c.fleet.Hubs {
			hubs = append(hubs, h.Name)
		}
	}
	var lacking perHubProblems
	for _, hub := range hubs {
		img := model.Image{
			ID: path.Join(hub, name), Name: name, Hub: hub, Values: in.Values,
			Context: model.Expand(in.Context, hub, ""), Dockerfile: model.Expand(in.Dockerfile, hub, ""),
			Repository: model.Expand(in.Repository, hub, ""),
		}
		// {hub} is the hub's folder in a path, and its name elsewhere.
		if h, ok := c.fleet.Hub(hub); ok {
			img.Context, img.Dockerfile = hubPath(in.Context, h), hubPath(in.Dockerfile, h)
		}
		if !repository.MatchString(img.Repository) {
			c.problem(field+".repository", "", "%q is not a repository name: expected lower-case letters, digits, '-', '_', '.' and '/'", img.Repository)
		}
		before := len(c.d.found.list)
		c.mustExist(field+".context", img.Context, true, "commit the folder that the image is built from")
		if len(c.d.found.list) == before {
			c.mustExist(field+".dockerfile", img.Dockerfile, false, "commit the build file, or name another one with `dockerfile`")
		}
		if added := c.d.found.list[before:]; len(added) > 0 {
			lacking.add(hub, "", added)
			c.d.found.list = c.d.found.list[:before]
			continue
		}
		c.fleet.Images = append(c.fleet.Images, img)
	}
	c.hold(lacking, len(hubs))
}

// perHubProblems are problems of one kind that hubs have each for itself.
type perHubProblems struct {
	hubs     map[string]bool
	problems []hubProblem
}

type hubProblem struct {
	hub, env string // env is empty for the hub as a whole
	problem  Problem
}

func (p *perHubProblems) add(hub, env string, list []Problem) {
	if p.hubs == nil {
		p.hubs = map[string]bool{}
	}
	p.hubs[hub] = true
	for _, q := range list {
		p.problems = append(p.problems, hubProblem{hub, env, q})
	}
}

// hold lets problems hold back the hubs, or releases, that have them. When every
// hub has, the fault is in the configuration. But environments are the process's:
// a commit that is older than one of them lacks its files in all hubs, and is as
// good as ever for the others.
func (c *checker) hold(p perHubProblems, hubs int) {
	for _, q := range p.problems {
		if len(p.hubs) == hubs && (q.env == "" || !c.under) {
			c.d.found.add(q.problem)
			continue
		}
		c.hubProblems[q.hub] = append(c.hubProblems[q.hub], HubProblem{q.problem, q.env})
	}
}

// hubPath fills {hub} into a path. At the start it stands for the hub's folder,
// as in "{hub}/image"; anywhere else for the hub's name.
func hubPath(pattern string, h model.Hub) string {
	if rest, ok := strings.CutPrefix(pattern, "{hub}"); ok && (rest == "" || rest[0] == '/') {
		return path.Join(h.Path, model.Expand(rest, h.Name, ""))
	}
	return path.Clean(model.Expand(pattern, h.Name, ""))
}

// releases checks every hub in every environment that the commit proposes: names,
// and what they would share by mistake.
func (c *checker) releases() {
	namespaces, hosts := map[string]string{}, map[string]string{}
	for _, e := range c.fleet.Environments {
		field := "environments." + e.Name
		for _, h := range c.fleet.Hubs {
			if !h.In(e.Name) {
				continue
			}
			t, _ := c.fleet.Target(h.Name, e.Name) // both are in the fleet
			if p := ClusterNameProblem(t.Cluster); p != "" && strings.Contains(e.Cluster, "{hub}") {
				c.problem(field+".cluster", "", "the cluster %q of %s %s", t.Cluster, t.Key(), p)
			}
			if p := namespaceProblem(t.Namespace); p != "" {
				c.problem(field+".namespace", "", "the namespace %q of %s %s", t.Namespace, t.Key(), p)
			}
			if p := labelProblem(t.Release, maxRelease); p != "" {
				c.problem(field+".release", "", "the release %q of %s %s", t.Release, t.Key(), p)
			}
			if len(t.Host) > maxHost || !hostName.MatchString(t.Host) {
				c.problem(field+".host", "", "the host %q of %s is not a DNS name", t.Host, t.Key())
			}
			place := t.Cluster + "/" + t.Namespace
			if other, ok := namespaces[place]; ok {
				c.problem(field+".namespace", "put {hub} and {env} into the pattern", "%s and %s would share the namespace %s", other, t.Key(), t.Namespace)
			}
			if other, ok := hosts[t.Host]; ok {
				c.problem(field+".host", "put {hub} and {env} into the pattern", "%s and %s would share the host %s", other, t.Key(), t.Host)
			}
			namespaces[place], hosts[t.Host] = t.Key(), t.Key()
		}
	}
}

// placeReleases checks where the process puts the hubs of a commit. The hubs
// are the commit's, the places the process's: what does not go together holds
// back the hubs that it is about, and no other.
func placeReleases(fleet *model.Fleet, hold func(hub string, p Problem)) {
	type place struct{ kind, name string }
	taken := map[place]model.Target{}
	wrong := func(h model.Hub, format string, args ...any) {
		hold(h.Name, Problem{File: h.Path, Message: fmt.Sprintf(format, args...), Hint: "rename the folder of the hub, or have the process put it elsewhere (`environments` in " + FileName + " on the process branch)"})
	}
	for _, e := range fleet.Environments {
		for _, h := range fleet.Hubs {
			if !h.In(e.Name) {
				continue
			}
			t, _ := fleet.Target(h.Name, e.Name) // both are in the fleet
			if p := ClusterNameProblem(t.Cluster); p != "" && t.Cluster != "" {
				wrong(h, "the cluster %q of %s %s", t.Cluster, t.Key(), p)
			}
			if p := namespaceProblem(t.Namespace); p != "" {
				wrong(h, "the namespace %q of %s %s", t.Namespace, t.Key(), p)
			}
			if p := labelProblem(t.Release, maxRelease); p != "" {
				wrong(h, "the release %q of %s %s", t.Release, t.Key(), p)
			}
			if len(t.Host) > maxHost || !hostName.MatchString(t.Host) {
				wrong(h, "the host %q of %s is not a DNS name", t.Host, t.Key())
			}
			for _, at := range []place{{"namespace", t.Cluster + "/" + t.Namespace}, {"host", t.Host}} {
				other, ok := taken[at]
				if !ok {
					taken[at] = t
					continue
				}
				name := t.Host
				if at.kind == "namespace" {
					name = t.Namespace
				}
				wrong(h, "%s and %s would share the %s %s", other.Key(), t.Key(), at.kind, name)
				if o, ok := fleet.Hub(other.Hub); ok && other.Hub != h.Name {
					wrong(o, "%s and %s would share the %s %s", other.Key(), t.Key(), at.kind, name)
				}
			}
		}
	}
}

// files checks the values files of every hub: a hub that lacks one, unless they
// are optional, or has one that cannot be read, is held back. Secrets may be
// absent, but not be folders.
func (c *checker) files() {
	for i, pattern := range c.f.Hubs.Values {
		c.eachFile(fmt.Sprintf("hubs.values[%d]", i), pattern, c.f.Hubs.Optional)
	}
	for i, pattern := range c.f.Hubs.Secrets {
		c.eachFile(fmt.Sprintf("hubs.secrets[%d]", i), pattern, true)
	}
}

// eachFile checks every file that a pattern names.
func (c *checker) eachFile(field, pattern string, optional bool) {
	if pathProblem(strings.TrimPrefix(pattern, "/")) != "" {
		return
	}
	// What all hubs share is looked at once.
	everywhere := path.IsAbs(pattern) && !strings.Contains(pattern, "{hub}") && !(c.under && strings.Contains(pattern, "{env}"))
	var lacking perHubProblems
	seen := map[string]bool{}
	check := func(h model.Hub, env, key string) {
		name := fileOf(pattern, h, env)
		if everywhere && seen[name] {
			return
		}
		seen[name] = true
		before := len(c.d.found.list)
		c.file(field, name, key, optional)
		if everywhere {
			return
		}
		if added := c.d.found.list[before:]; len(added) > 0 {
			lacking.add(h.Name, env, added)
			c.d.found.list = c.d.found.list[:before]
		}
	}
	for _, h := range c.fleet.Hubs {
		if !strings.Contains(pattern, "{env}") {
			check(h, "", "hub "+h.Name)
			continue
		}
		for _, e := range c.fleet.Environments {
			if h.In(e.Name) {
				check(h, e.Name, h.Name+"@"+e.Name)
			}
		}
	}
	c.hold(lacking, len(c.fleet.Hubs))
}

// file checks one file of a release.
func (c *checker) file(field, name, key string, optional bool) {
	info, err := fs.Stat(c.tree, name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && optional:
	case errors.Is(err, fs.ErrNotExist):
		c.problem(field, "commit the file, even if it is empty, or remove it from the list", "%s has no file %s", key, name)
	case err != nil:
		c.problem(field, readHint, "%s cannot be read: %v", key, err)
	case !info.Mode().IsRegular():
		c.problem(field, "", "%s of %s is not a file", name, key)
	}
}

// readHint is what to try when something in the tree cannot be read: it is
// there, so it is a link.
const readHint = "point the link to something inside the repository, with a relative path"
