// Package config reads what a deployment repository says about itself:
// hubship.yaml at its root or, where there is none, hubploy's layout. It reads
// strictly and reports everything that is wrong at once, with file, line and
// column, what was expected and a hint.
//
// A file says two things that have different owners: the process (environments,
// review, revert, verify), which holds at the tip of the process branch alone,
// and the content (hubs, images, checks) of the commit. Each is read without
// the other one having a say.
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

// Config is the content of a deployment repository at one commit.
type Config struct {
	Fleet *model.Fleet
	// Patterns are the values files as they are listed, lowest precedence
	// first: within a hub's folder or, with a slash at the start, from the
	// root. Those with {env} belong to one environment.
	Patterns []string
	// HubProblems is what is wrong with one hub alone, by its name: it holds
	// that hub, or one of its releases, back and no other.
	HubProblems map[string][]HubProblem

	secrets  []string // patterns
	optional bool     // values files may be absent
	tree     fs.FS
}

// Release is the files that a release is made of.
type Release struct {
	Chart   string   // folder of the chart
	Values  []string // values files, lowest precedence first
	Shared  []string // those of Values that all environments share
	Own     []string // those of Values that belong to this environment
	Secrets []string // encrypted values files that exist, applied after Values
	// SharedSecrets are those of Secrets that all environments share.
	SharedSecrets []string
}

// HubProblem is a Problem of one hub.
type HubProblem struct {
	Problem
	Environment string // that it is about; empty for all
}

// ErrNoHubs says that a repository does not describe itself in any way that
// hubship knows.
var ErrNoHubs = errors.New("the deployment repository describes no hubs")

// reader reads one layout of deployment repositories.
type reader struct {
	// content reads hubs, images and checks, under a process; under nil it
	// reads the process that the commit itself says, too.
	content func(tree fs.FS, commit string, under *model.Process) (*Config, error)
	// process reads the process alone.
	process func(tree fs.FS, commit string) (model.Process, error)
}

// layout chooses how a deployment repository is read. Support for a layout
// that has no hubship.yaml begins here.
func layout(tree fs.FS) (reader, error) {
	_, err := fs.Stat(tree, FileName)
	switch {
	case err == nil:
		return reader{readHubship, hubshipProcess}, inPlace(tree, FileName)
	case errors.Is(err, fs.ErrNotExist):
		if found, err := fs.Glob(tree, hubployPattern); err == nil && len(found) > 0 {
			return reader{readHubploy, func(tree fs.FS, commit string) (model.Process, error) {
				if err := inPlace(tree, found...); err != nil {
					return model.Process{}, err
				}
				return hubployProcess(tree, commit)
			}}, nil // as content, one that is wrong is its hub's trouble alone
		}
		return reader{}, model.WithHint(fmt.Errorf("%w: it has neither %s at its root nor %s", ErrNoHubs, FileName, hubployPattern), "create one with `hubship init`, or commit it to the branch")
	default:
		return reader{}, fmt.Errorf("look for %s: %w", FileName, err)
	}
}

// inPlace refuses files that are reached through symbolic links. These files say
// how changes are shipped, and a forge that leaves them to maintainers knows them
// by their names: it would not notice a change of what a link points to.
func inPlace(tree fs.FS, names ...string) error {
	links, ok := tree.(fs.ReadLinkFS)
	if !ok {
		return nil
	}
	for _, name := range names {
		for at := name; at != "."; at = path.Dir(at) {
			info, err := links.Lstat(at)
			if err != nil {
				return fmt.Errorf("look for %s: %w", name, err)
			}
			if info.Mode()&fs.ModeSymlink != 0 {
				return model.WithHint(fmt.Errorf("%s is a symbolic link", at), "put the file itself there: who may change it follows from its path")
			}
		}
	}
	return nil
}

// Load is ReadProposal for those who need none of the files.
func Load(tree fs.FS, commit string) (*model.Fleet, error) {
	c, err := ReadProposal(tree, commit)
	if err != nil {
		return nil, err
	}
	return c.Fleet, nil
}

// ReadProposal reads all that a deployment repository says at a commit, from
// its tree: content, and the process that it proposes. Nothing may be deployed
// by it. If anything is wrong the error is an *Error that lists all problems.
func ReadProposal(tree fs.FS, commit string) (*Config, error) {
	read, err := layout(tree)
	if err != nil {
		return nil, err
	}
	return read.content(tree, commit, nil)
}

// Read reads the content of a deployment repository at a commit under a
// process. What the commit says about the process, right or wrong, has no say.
// If the content is wrong the error is an *Error that lists all problems.
func Read(tree fs.FS, commit string, p model.Process) (*Config, error) {
	read, err := layout(tree)
	if err != nil {
		return nil, err
	}
	return read.content(tree, commit, &p)
}

// ReadProcess reads the process that a deployment repository says at a commit;
// its content has no say. If the process is wrong the error is an *Error that
// lists all problems.
func ReadProcess(tree fs.FS, commit string) (model.Process, error) {
	read, err := layout(tree)
	if err != nil {
		return model.Process{}, err
	}
	return read.process(tree, commit)
}

// correct is what to do about problems of hubship.yaml.
const correct = "fix these lines; `hubship schema` prints the format for editors"

// open decodes hubship.yaml, and keeps what is wrong with the parts of it that
// count.
func open(tree fs.FS, commit string, counts func(field string) bool) (*checker, error) {
	found := &problems{}
	data, err := readFile(tree, FileName)
	if err != nil {
		found.add(Problem{File: FileName, Message: "cannot be read: " + err.Error()})
		return nil, found.err()
	}
	f, d := decode(FileName, data, found)
	found.list = slices.DeleteFunc(found.list, func(p Problem) bool { return !counts(p.Field) })
	return &checker{d: d, f: f, tree: tree, fleet: &model.Fleet{Commit: commit, Layout: model.LayoutHubship}, hubProblems: map[string][]HubProblem{}}, nil
}

// readHubship reads a repository that has a hubship.yaml.
func readHubship(tree fs.FS, commit string, under *model.Process) (*Config, error) {
	counts := func(string) bool { return true }
	if under != nil {
		counts = isContent
	}
	c, err := open(tree, commit, counts)
	if err != nil {
		return nil, err
	}
	c.version()
	// Checks of what could not even be read would only repeat that.
	if len(c.d.found.list) == 0 || c.f.Hubs.Path != "" {
		if c.under = under != nil; c.under {
			c.fleet.Under(*under)
		} else {
			c.process()
		}
		c.hubs()
		c.images()
		if under != nil {
			placeReleases(c.fleet, c.holdBack)
		} else {
			c.releases()
		}
		c.files()
		c.checks()
	}
	if err := c.d.found.err(); err != nil {
		return nil, model.WithHint(err, correct)
	}
	markInvalid(c.fleet, c.hubProblems)
	return &Config{Fleet: c.fleet, Patterns: c.f.Hubs.Values, HubProblems: c.hubProblems, secrets: c.f.Hubs.Secrets, optional: c.f.Hubs.Optional, tree: tree}, nil
}

// holdBack lets a problem hold back one hub.
func (c *checker) holdBack(hub string, p Problem) {
	c.hubProblems[hub] = append(c.hubProblems[hub], HubProblem{Problem: p})
}

// hubshipProcess reads the process of a repository that has a hubship.yaml.
func hubshipProcess(tree fs.FS, commit string) (model.Process, error) {
	c, err := open(tree, commit, isProcess)
	if err != nil {
		return model.Process{}, err
	}
	c.version()
	if len(c.d.found.list) == 0 || len(c.f.Environments) > 0 {
		c.process()
		c.apart()
	}
	if err := c.d.found.err(); err != nil {
		return model.Process{}, model.WithHint(err, correct)
	}
	// Which hubs there are only says which clusters are named by {hub}; what is
	// wrong with the content is told where that is read.
	c.d.found = &problems{}
	c.hubs()
	return processOf(c.fleet), nil
}

// processOf is the process that a fleet says.
func processOf(f *model.Fleet) model.Process {
	p := model.Process{
		Commit: f.Commit, Layout: f.Layout, Environments: f.Environments,
		Review: f.Review, Revert: f.Revert, Verify: f.Verify, Places: f.Places,
	}
	for _, e := range f.Environments {
		if e.Cluster != "" && !strings.Contains(e.Cluster, "{hub}") {
			p.Clusters = append(p.Clusters, e.Cluster)
		}
		for _, h := range f.Hubs {
			if name := p.Cluster(e, h.Name); h.In(e.Name) && name != "" {
				p.Clusters = append(p.Clusters, name)
			}
		}
	}
	slices.Sort(p.Clusters)
	p.Clusters = slices.Compact(p.Clusters)
	return p
}

// Release returns the files that the hub's release in the environment is made
// of. Secrets files that do not exist are left out.
func (c *Config) Release(hub, env string) (Release, error) {
	h, ok := c.Fleet.Hub(hub)
	if !ok {
		return Release{}, fmt.Errorf("hub %q is not in the deployment repository at %.12s", hub, c.Fleet.Commit)
	}
	if _, ok := c.Fleet.Environment(env); !ok {
		return Release{}, fmt.Errorf("environment %q is not in the deployment repository at %.12s", env, c.Fleet.Commit)
	}
	r := Release{Chart: c.Fleet.ChartOf(h)}
	for _, pattern := range c.Patterns {
		name := fileOf(pattern, h, env)
		if c.optional {
			if ok, err := c.exists(name); err != nil {
				return Release{}, fmt.Errorf("hub %s in %s: %w", hub, env, err)
			} else if !ok {
				continue
			}
		}
		r.Values = append(r.Values, name)
		if strings.Contains(pattern, "{env}") {
			r.Own = append(r.Own, name)
		} else {
			r.Shared = append(r.Shared, name)
		}
	}
	for _, pattern := range c.secrets {
		name := fileOf(pattern, h, env)
		ok, err := c.exists(name)
		if err != nil {
			return Release{}, fmt.Errorf("hub %s in %s: %w", hub, env, err)
		}
		if ok {
			r.Secrets = append(r.Secrets, name)
			if !strings.Contains(pattern, "{env}") {
				r.SharedSecrets = append(r.SharedSecrets, name)
			}
		}
	}
	return r, nil
}

// fileOf returns the file that a pattern names for a hub: within the hub's
// folder or, with a slash at the start, from the root of the repository.
func fileOf(pattern string, h model.Hub, env string) string {
	name := model.Expand(pattern, h.Name, env)
	if rooted, ok := strings.CutPrefix(name, "/"); ok {
		return path.Clean(rooted)
	}
	return path.Join(h.Path, name)
}

func (c *Config) exists(name string) (bool, error) {
	_, err := fs.Stat(c.tree, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// markInvalid puts the first of each hub's problems beside the hub, and the first
// of each of its releases.
func markInvalid(fleet *model.Fleet, problems map[string][]HubProblem) {
	for i := range fleet.Hubs {
		h := &fleet.Hubs[i]
		for _, p := range problems[h.Name] {
			switch {
			case p.Environment == "" && h.Invalid == "":
				h.Invalid = p.String()
			case p.Environment != "" && h.InvalidIn[p.Environment] == "":
				if h.InvalidIn == nil {
					h.InvalidIn = map[string]string{}
				}
				h.InvalidIn[p.Environment] = p.String()
			}
		}
	}
}
