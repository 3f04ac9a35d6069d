package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/git"
)

// landed finds the history that a merge put on its base branch: the commits at
// which the branch was before and after. A pull request is merged by a merge
// commit, by one commit that holds all of it (squash), by its commits made
// anew (rebase), or by a push that brought the very commits.
//
// had is a commit at which the base was before, as the forge says, or "". What is
// in it was not brought: commits can be made to look like others', so that to
// take them back would take those back.
func landed(ctx context.Context, g *git.Repo, merge, had string, commits []forge.Commit) (before, after string, err error) {
	wrap := func(err error) error { return fmt.Errorf("find what the merge %.12s brought: %w", merge, err) }
	own := map[string]bool{}
	for _, c := range commits {
		own[c.ID] = true
	}
	if own[merge] {
		before, err = outside(ctx, g, merge, own)
		if err != nil {
			return "", "", wrap(err)
		}
		return before, merge, nil
	}
	// A rebase leaves out merges, and what the base had already.
	history, err := g.Details(ctx, merge, git.DetailOptions{Limit: len(commits) + 1})
	if err != nil {
		return "", "", wrap(err)
	}
	if len(history) == 0 || len(history[0].Parents) == 0 {
		return "", "", wrap(fmt.Errorf("nothing was before it"))
	}
	if len(history[0].Parents) > 1 {
		return history[0].Parents[0], merge, nil
	}
	older, err := beforeIt(ctx, g, merge, had)
	if err != nil {
		return "", "", wrap(err)
	}
	at, todo := history, commits
	for len(at) > 0 && len(at[0].Parents) == 1 {
		if is, err := older(at[0].ID); err != nil {
			return "", "", wrap(err)
		} else if is {
			break
		}
		n := len(todo) - 1
		for n >= 0 && !sameChange(at[0], todo[n]) {
			n--
		}
		if n < 0 {
			break
		}
		before, todo, at = at[0].Parents[0], todo[:n], at[1:]
	}
	if before == "" { // a squash
		before = history[0].Parents[0]
	}
	return before, merge, nil
}

// beforeIt says of a commit whether the base had it before a merge. A commit of
// the base that is not known, or that has the merge, tells nothing.
func beforeIt(ctx context.Context, g *git.Repo, merge, had string) (func(string) (bool, error), error) {
	nothing := func(string) (bool, error) { return false, nil }
	if had == "" {
		return nothing, nil
	}
	switch later, err := g.IsAncestor(ctx, merge, had); {
	case errors.Is(err, git.ErrNotFound):
		return nothing, nil
	case err != nil || later:
		return nothing, err
	}
	return func(commit string) (bool, error) { return g.IsAncestor(ctx, commit, had) }, nil
}

// sameChange says that a commit is another one made anew on top of something
// else: author, time of authorship and message stay.
func sameChange(d git.Detail, c forge.Commit) bool {
	return d.Author.When.Unix() == c.Date.Unix() && d.Author.Name == c.Author &&
		strings.TrimSpace(d.Message) == strings.TrimSpace(c.Message)
}

// outside is the commit at which a branch was before it was moved forward to
// head: of the parents of the commits that it got, the one that has all the
// others.
func outside(ctx context.Context, g *git.Repo, head string, own map[string]bool) (string, error) {
	details, err := g.Details(ctx, head, git.DetailOptions{Limit: 4*git.MaxRebase + len(own)})
	if err != nil {
		return "", err
	}
	best := ""
	for _, d := range details {
		if !own[d.ID] {
			continue
		}
		for _, parent := range d.Parents {
			if own[parent] || parent == best {
				continue
			}
			if best != "" {
				older, err := g.IsAncestor(ctx, parent, best)
				if err != nil {
					return "", err
				}
				if older {
					continue
				}
			}
			best = parent
		}
	}
	if best == "" {
		return "", fmt.Errorf("nothing was before it")
	}
	return best, nil
}
