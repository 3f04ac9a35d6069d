// Package config reads what a deployment repository says about itself:
// hubship.yaml at its root. It reads strictly and reports everything that is
// wrong at once, with file, line and column, what was expected and a hint.
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
	// Patterns are the values files within a hub's folder as they are listed,
	// lowest precedence first; those with {env} belong to one environment.
	Patterns []string

	secrets []string // patterns
	tree    fs.FS
}

// Release is the files that a release is made of.
type Release struct {
	Chart   string   // folder of the chart
	Values  []string // values files, lowest precedence first
	Shared  []string // those of Values that all environments share
	Own     []string // those of Values that belong to this environment
	Secrets []string // encrypted values files that exist, applied after Values
}

// reader reads one layout of deployment repositories.
type reader func(tree fs.FS, commit string) (*Config, error)

// layout chooses how a deployment repository is read. Support for a layout
// that has no hubship.yaml begins here.
func layout(tree fs.FS) (reader, error) {
	_, err := fs.Stat(tree, FileName)
	switch {
	case err == nil:
		return readFile, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, model.WithHint(fmt.Errorf("%s: the deployment repository has none at its root", FileName), "make one with `hubship init`, or commit it to the branch")
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

// readFile reads a repository that has a hubship.yaml.
func readFile(tree fs.FS, commit string) (*Config, error) {
	data, err := fs.ReadFile(tree, FileName)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", FileName, err)
	}
	found := &problems{}
	f, d := decode(FileName, data, found)
	c := &checker{d: d, f: f, tree: tree, fleet: &model.Fleet{Commit: commit, Registry: f.Registry}}
	c.header()
	// Checks of what could not even be read would only repeat that.
	if len(found.list) == 0 || f.Hubs.Path != "" {
		c.clusters()
		c.environments()
		c.hubs()
		c.images()
		c.releases()
	}
	if err := found.err(); err != nil {
		return nil, model.WithHint(err, "correct the lines named; `hubship schema` prints the format for editors")
	}
	return &Config{Fleet: c.fleet, Patterns: f.Hubs.Values, secrets: f.Hubs.Secrets, tree: tree}, nil
}

// Release returns the files that the hub's release in the environment is made
// of. Secrets files that do not exist are left out.
func (c *Config) Release(hub, env string) (Release, error) {
	h, ok := c.Fleet.Hub(hub)
	if !ok {
		return Release{}, fmt.Errorf("hub %q is not in the deployment repository at %.12s", hub, c.Fleet.Commit)
	}
	if _, ok := c.Fleet.Environment(env); !ok {
		return Release{}, fmt.Errorf("environment %q is not in %s", env, FileName)
	}
	r := Release{Chart: c.Fleet.Chart}
	for _, pattern := range c.Patterns {
		name := path.Join(h.Path, model.Expand(pattern, hub, env))
		r.Values = append(r.Values, name)
		if strings.Contains(pattern, "{env}") {
			r.Own = append(r.Own, name)
		} else {
			r.Shared = append(r.Shared, name)
		}
	}
	for _, pattern := range c.secrets {
		name := path.Join(h.Path, model.Expand(pattern, hub, env))
		switch _, err := fs.Stat(c.tree, name); {
		case err == nil:
			r.Secrets = append(r.Secrets, name)
		case !errors.Is(err, fs.ErrNotExist):
			return Release{}, fmt.Errorf("hub %s in %s: %w", hub, env, err)
		}
	}
	return r, nil
}
