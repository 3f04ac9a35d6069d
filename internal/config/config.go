// Package config reads what a deployment repository says about itself:
// hubship.yaml at its root or, where there is none, hubploy's layout. It reads
// strictly and reports everything that is wrong at once, with file, line and
// column, what was expected and a hint.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Config is what a deployment repository says at one commit.
type Config struct {
	Fleet *model.Fleet
	// Patterns are the values files as they are listed, lowest precedence
	// first: within a hub's folder or, with a slash at the start, from the
	// root. Those with {env} belong to one environment.
	Patterns []string
	// HubProblems is what is wrong with one hub alone, by its name: it holds
	// that hub back and no other.
	HubProblems map[string][]Problem

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
}

// ErrNoHubs says that a repository does not describe itself in any way that
// hubship knows.
var ErrNoHubs = errors.New("the deployment repository describes no hubs")

// reader reads one layout of deployment repositories.
type reader func(tree fs.FS, commit string) (*Config, error)

// layout chooses how a deployment repository is read. Support for a layout
// that has no hubship.yaml begins here.
func layout(tree fs.FS) (reader, error) {
	_, err := fs.Stat(tree, FileName)
	switch {
	case err == nil:
		return readHubship, nil
	case errors.Is(err, fs.ErrNotExist):
		if found, err := fs.Glob(tree, hubployPattern); err == nil && len(found) > 0 {
			return readHubploy, nil
		}
		return nil, model.WithHint(fmt.Errorf("%w: it has neither %s at its root nor %s", ErrNoHubs, FileName, hubployPattern), "make one with `hubship init`, or commit it to the branch")
	default:
		return nil, fmt.Errorf("look for %s: %w", FileName, err)
	}
}

// Load reads what a deployment repository describes, from the tree of a
// commit. If the configuration is wrong the error is an *Error that lists all
// problems.
func Load(tree fs.FS, commit string) (*model.Fleet, error) {
	c, err := Read(tree, commit)
	if err != nil {
		return nil, err
	}
	return c.Fleet, nil
}

// Read is like Load and keeps what is needed to find the files of each release.
func Read(tree fs.FS, commit string) (*Config, error) {
	read, err := layout(tree)
	if err != nil {
		return nil, err
	}
	return read(tree, commit)
}

// readHubship reads a repository that has a hubship.yaml.
func readHubship(tree fs.FS, commit string) (*Config, error) {
	found := &problems{}
	data, err := readFile(tree, FileName)
	if err != nil {
		found.add(Problem{File: FileName, Message: "cannot be read: " + err.Error()})
		return nil, found.err()
	}
	f, d := decode(FileName, data, found)
	c := &checker{d: d, f: f, tree: tree, fleet: &model.Fleet{Commit: commit, Layout: model.LayoutHubship, Registry: f.Registry}, hubProblems: map[string][]Problem{}}
	c.header()
	// Checks of what could not even be read would only repeat that.
	if len(found.list) == 0 || f.Hubs.Path != "" {
		c.clusters()
		c.environments()
		c.hubs()
		c.images()
		c.releases()
		c.process()
	}
	if err := found.err(); err != nil {
		return nil, model.WithHint(err, "correct the lines named; `hubship schema` prints the format for editors")
	}
	markInvalid(c.fleet, c.hubProblems)
	return &Config{Fleet: c.fleet, Patterns: f.Hubs.Values, HubProblems: c.hubProblems, secrets: f.Hubs.Secrets, optional: f.Hubs.Optional, tree: tree}, nil
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

// markInvalid puts the first of each hub's problems beside the hub.
func markInvalid(fleet *model.Fleet, problems map[string][]Problem) {
	for i := range fleet.Hubs {
		if list := problems[fleet.Hubs[i].Name]; len(list) > 0 {
			fleet.Hubs[i].Invalid = list[0].String()
		}
	}
}
