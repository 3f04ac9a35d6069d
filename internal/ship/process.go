package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hubship/hubship/internal/model"
)

// fleet reads the content of a commit under the process of now. A fleet that is
// under no process is a proposal: nothing is judged by it.
func (e *Engine) fleet(ctx context.Context, commit string) (*model.Fleet, error) {
	fleet, err := e.Repository.Fleet(ctx, commit)
	if err != nil {
		return nil, err
	}
	if fleet.Process == "" {
		return nil, fmt.Errorf("what %.12s says is a proposal: no process holds for it", commit)
	}
	return fleet, nil
}

// environment returns an environment of the process, the head of its branch,
// and what that head is made of.
func (e *Engine) environment(ctx context.Context, name string) (*model.Fleet, model.Environment, string, error) {
	now, err := e.Repository.Now(ctx)
	if err != nil {
		return nil, model.Environment{}, "", err
	}
	env, ok := now.Environment(name)
	if !ok {
		return nil, env, "", model.Usage(fmt.Errorf("there is no environment %q", name), "`hubship status` lists them")
	}
	head, err := e.Repository.Head(ctx, env.Branch)
	if err != nil {
		return nil, env, "", err
	}
	if head == "" {
		return nil, env, "", model.WithHint(fmt.Errorf("the branch %s of environment %s does not exist", env.Branch, name), "push it to the deployment repository")
	}
	fleet, err := e.fleet(ctx, head)
	if err != nil {
		return nil, env, "", fmt.Errorf("read the deployment repository at %s (%.12s): %w", env.Branch, head, err)
	}
	if again, ok := fleet.Environment(name); !ok || again != env {
		return nil, env, "", model.WithHint(fmt.Errorf("what environment %s is has changed just now", name), "try again")
	}
	return fleet, env, head, nil
}

// cluster returns the cluster that a release is on. The process says its name,
// and the installation how it is reached.
func (e *Engine) cluster(ctx context.Context, t model.Target) (model.Cluster, error) {
	if t.Cluster == "" {
		return model.Cluster{}, model.WithHint(fmt.Errorf("the process does not say which cluster %s is on: %w", t.Key(), model.ErrUnknownCluster),
			"name it on the process branch: `cluster` of the environment in hubship.yaml, or of the hub in hubploy.yaml")
	}
	c, err := e.Clusters.Cluster(ctx, t.Cluster)
	if errors.Is(err, model.ErrUnknownCluster) {
		return c, model.WithHint(fmt.Errorf("cluster %s of %s: %w", t.Cluster, t.Key(), err),
			fmt.Sprintf("register it on the server: `hubship cluster add %s --kubeconfig FILE --context CONTEXT`", t.Cluster))
	}
	if err != nil {
		return c, fmt.Errorf("cluster %s of %s: %w", t.Cluster, t.Key(), err)
	}
	return c, nil
}

// astray says why a commit may not be deployed to an environment whatever is
// proved of it, or "": it is not, and was not, what the environment's branch is
// at.
func (e *Engine) astray(ctx context.Context, env model.Environment, commit string) (string, error) {
	head, err := e.Repository.Head(ctx, env.Branch)
	if err != nil {
		return "", err
	}
	if head == "" {
		return fmt.Sprintf("the branch %s of %s does not exist", env.Branch, env.Name), nil
	}
	on, err := e.Repository.IsAncestor(ctx, commit, head)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err != nil || !on {
		return fmt.Sprintf("%.12s is not on the branch %s, which is what %s gets", commit, env.Branch, env.Name), nil
	}
	return "", nil
}

// neighbours are the places that other environments' releases have, as their
// own branches are at: a hub whose name leads into one of them is held back.
// Where a branch cannot be read, the hubs of the fleet stand for its hubs.
func (e *Engine) neighbours(ctx context.Context, fleet *model.Fleet, env model.Environment) (map[string]string, error) {
	taken := map[string]string{}
	for _, other := range fleet.Environments {
		if other.Name == env.Name {
			continue
		}
		head, err := e.Repository.Head(ctx, other.Branch)
		if err != nil {
			return nil, err
		}
		if head == "" {
			continue
		}
		there, err := e.fleet(ctx, head)
		if err != nil {
			there = fleet
		}
		for _, h := range there.Hubs {
			if t, err := there.Target(h.Name, other.Name); err == nil && h.In(other.Name) {
				taken[placeOf(t)] = t.Key()
			}
		}
	}
	return taken, nil
}

func placeOf(t model.Target) string { return t.Cluster + "/" + t.Namespace }
