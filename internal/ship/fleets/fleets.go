// Package fleets reads what the deployment repository says under the current
// process, and where that places releases.
package fleets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hubship/hubship/internal/model"
)

// Repository is the deployment repository. internal/ship says what each method
// does.
type Repository interface {
	Now(ctx context.Context) (model.Process, error)
	Head(ctx context.Context, branch string) (string, error)
	Fleet(ctx context.Context, commit string) (*model.Fleet, error)
	IsAncestor(ctx context.Context, old, new string) (bool, error)
}

// Clusters are those of the installation.
type Clusters interface {
	// Cluster returns the cluster of that name; model.ErrUnknownCluster when
	// there is none.
	Cluster(ctx context.Context, name string) (model.Cluster, error)
}

// Reader reads fleets.
type Reader struct {
	Repository Repository
	Clusters   Clusters
}

// At reads the content of a commit under the current process. A fleet without a
// process is a proposal: nothing is judged by it.
func (r Reader) At(ctx context.Context, commit string) (*model.Fleet, error) {
	fleet, err := r.Repository.Fleet(ctx, commit)
	if err != nil {
		return nil, err
	}
	if fleet.Process == "" {
		return nil, fmt.Errorf("what %.12s says is only a proposal: no process is in force", commit)
	}
	return fleet, nil
}

// Tip is an environment of the process, with what the head of its branch says.
type Tip struct {
	model.Environment
	Head  string // full commit id
	Fleet *model.Fleet
}

// Tip returns an environment of the process at the head of its branch. An unknown
// environment is a usage error.
func (r Reader) Tip(ctx context.Context, name string) (Tip, error) {
	now, err := r.Repository.Now(ctx)
	if err != nil {
		return Tip{}, err
	}
	env, ok := now.Environment(name)
	if !ok {
		return Tip{}, model.Usage(fmt.Errorf("environment %q does not exist", name), "`hubship status` lists the environments")
	}
	head, err := r.Repository.Head(ctx, env.Branch)
	if err != nil {
		return Tip{}, err
	}
	if head == "" {
		return Tip{}, model.WithHint(fmt.Errorf("the branch %s of environment %s does not exist", env.Branch, name), "push it to the deployment repository")
	}
	fleet, err := r.At(ctx, head)
	if err != nil {
		return Tip{}, fmt.Errorf("read the deployment repository at %s (%.12s): %w", env.Branch, head, err)
	}
	if again, ok := fleet.Environment(name); !ok || again != env {
		return Tip{}, model.WithHint(fmt.Errorf("the definition of environment %s has just changed", name), "try again")
	}
	return Tip{Environment: env, Head: head, Fleet: fleet}, nil
}

// Cluster returns the cluster that a release is on. The process gives its name,
// and the installation says how to reach it. The error is model.ErrUnknownCluster
// when one of them does not.
func (r Reader) Cluster(ctx context.Context, t model.Target) (model.Cluster, error) {
	if t.Cluster == "" {
		return model.Cluster{}, model.WithHint(fmt.Errorf("the process does not name the cluster of %s: %w", t.Key(), model.ErrUnknownCluster),
			"set it on the process branch: `cluster` of the environment in hubship.yaml, or of the hub in hubploy.yaml")
	}
	c, err := r.Clusters.Cluster(ctx, t.Cluster)
	if errors.Is(err, model.ErrUnknownCluster) {
		return c, model.WithHint(fmt.Errorf("cluster %s of %s: %w", t.Cluster, t.Key(), err),
			fmt.Sprintf("register it on the server: `hubship cluster add %s --kubeconfig FILE --context CONTEXT`", t.Cluster))
	}
	if err != nil {
		return c, fmt.Errorf("cluster %s of %s: %w", t.Cluster, t.Key(), err)
	}
	return c, nil
}

// Astray says why a commit may not be deployed to an environment, whatever has
// been proved about it, or "": it must be on the environment's branch.
func (r Reader) Astray(ctx context.Context, env model.Environment, commit string) (string, error) {
	head, err := r.Repository.Head(ctx, env.Branch)
	if err != nil {
		return "", err
	}
	if head == "" {
		return fmt.Sprintf("the branch %s of %s does not exist", env.Branch, env.Name), nil
	}
	on, err := r.Repository.IsAncestor(ctx, commit, head)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err != nil || !on {
		return fmt.Sprintf("%.12s is not on the branch %s, from which %s is deployed", commit, env.Branch, env.Name), nil
	}
	return "", nil
}

// Taken returns the places of other environments' releases, as of the heads of
// their branches: a hub whose name leads into one of them is held back. The
// values are the keys of those releases. If a branch cannot be read, the hubs
// of the fleet stand in for its hubs.
func (r Reader) Taken(ctx context.Context, fleet *model.Fleet, env string) (map[Place]string, error) {
	taken := map[Place]string{}
	for _, other := range fleet.Environments {
		if other.Name == env {
			continue
		}
		head, err := r.Repository.Head(ctx, other.Branch)
		if err != nil {
			return nil, err
		}
		if head == "" {
			continue
		}
		there, err := r.At(ctx, head)
		if err != nil {
			there = fleet
		}
		for _, h := range there.Hubs {
			if t, err := there.Target(h.Name, other.Name); err == nil && h.In(other.Name) {
				taken[PlaceOf(t)] = t.Key()
			}
		}
	}
	return taken, nil
}

// Place is a namespace of a cluster.
type Place struct{ Cluster, Namespace string }

// PlaceOf returns where a release lives.
func PlaceOf(t model.Target) Place { return Place{t.Cluster, t.Namespace} }
