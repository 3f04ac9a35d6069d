// Package repository is the deployment repository as the controller of pull
// requests needs it: kept in line with the forge's, and able to push branches with
// reverts.
package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/pulls"
	"github.com/hubship/hubship/internal/repo"
)

// Repository is the deployment repository of an installation. It is safe for
// concurrent use.
type Repository struct {
	*repo.Repository
	Forge forge.Forge
}

var _ pulls.Repository = Repository{}

// remote is where git reaches the forge now.
func (r Repository) remote(ctx context.Context) (git.Remote, error) {
	at, err := r.Forge.Remote(ctx)
	if err != nil {
		return git.Remote{}, err
	}
	return git.Remote{URL: at.URL, Env: at.Env()}, nil
}

// passing marks failures of the network as the forge's own are marked.
func passing(err error) error {
	if errors.Is(err, git.ErrUnreachable) {
		return fmt.Errorf("%w: %w", forge.ErrUnavailable, err)
	}
	return err
}

// Fetch implements pulls.Repository.
func (r Repository) Fetch(ctx context.Context, numbers ...int) error {
	remote, err := r.remote(ctx)
	if err != nil {
		return err
	}
	var refs []string
	for _, n := range numbers {
		refs = append(refs, forge.PullHead(n))
	}
	return passing(r.Git().Fetch(ctx, remote, refs...))
}

// Follow implements pulls.Repository. HEAD keeps what the forge said last, for
// when the forge cannot be reached.
func (r Repository) Follow(ctx context.Context, branch string) (bool, error) {
	if branch == "" {
		return false, nil
	}
	was, err := r.Git().DefaultBranch(ctx)
	if err != nil || was == branch {
		return false, err
	}
	return true, r.Git().SetDefaultBranch(ctx, branch)
}

// MergeRange implements pulls.Repository.
func (r Repository) MergeRange(ctx context.Context, merge, had string, commits []forge.Commit) (before, after string, err error) {
	list := make([]git.Detail, len(commits))
	for i, c := range commits {
		list[i] = git.Detail{ID: c.ID, Message: c.Message, Author: git.Signature{Identity: git.Identity{Name: c.Author}, When: c.Date}}
	}
	return r.Git().MergeRange(ctx, merge, had, list)
}

// FetchPull implements pulls.Repository.
func (r Repository) FetchPull(ctx context.Context, number int, head string) error {
	at, err := r.Git().Ref(ctx, forge.PullHead(number))
	if err == nil && at.ID == head {
		return nil
	}
	if err != nil && !errors.Is(err, git.ErrNotFound) {
		return err
	}
	return r.Fetch(ctx, number)
}

// Revert implements pulls.Repository. The branch is pushed like anybody else's, so
// that everybody who should hear of it does.
func (r Repository) Revert(ctx context.Context, q pulls.Revert) (string, error) {
	commit, err := r.Git().RevertCommit(ctx, q.Onto, q.Before, q.After, q.Message, git.Hubship)
	if err != nil {
		return "", err
	}
	there, err := r.Forge.Branch(ctx, q.Branch)
	if err != nil && !errors.Is(err, forge.ErrNotFound) {
		return "", err
	}
	if there != "" {
		same, over, err := r.reverts(ctx, there, q)
		switch {
		case err != nil:
			return "", err
		case same && !over:
			return there, nil
		case !over:
			return "", fmt.Errorf("the branch %s already exists with different content: delete it first", q.Branch)
		}
		// It was merged; the change came again, and is taken back again.
	}
	remote, err := r.remote(ctx)
	if err != nil {
		return "", err
	}
	return commit, passing(r.Git().Push(ctx, remote, q.Branch, commit, there))
}

// reverts says whether a commit takes back what is asked for, whatever the
// branch was at when it did, and whether the base has it already.
func (r Repository) reverts(ctx context.Context, commit string, q pulls.Revert) (same, over bool, err error) {
	if err := r.Fetch(ctx); err != nil {
		return false, false, err
	}
	if over, err = r.IsAncestor(ctx, commit, q.Onto); err != nil || over {
		return false, over, err
	}
	at, err := r.Git().Details(ctx, commit, git.DetailOptions{Limit: 1})
	if err != nil || len(at) == 0 || len(at[0].Parents) != 1 {
		return false, false, err
	}
	if on, err := r.IsAncestor(ctx, at[0].Parents[0], q.Onto); err != nil || !on {
		return false, false, err
	}
	again, err := r.Git().RevertCommit(ctx, at[0].Parents[0], q.Before, q.After, q.Message, git.Hubship)
	if err != nil {
		return false, false, nil //nolint:nilerr // what cannot be made again is something else
	}
	tree, err := r.Git().TreeOf(ctx, again)
	return tree == at[0].Tree, false, err
}
