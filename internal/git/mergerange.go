package git

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// MergeRange finds the history that a merge put on its base branch: the commits
// at which the branch was before and after. A pull request is merged by a merge
// commit, by one commit that holds all of it (squash), by its commits made
// anew (rebase), or by a push that brought the very commits. The commits of the
// pull request are given oldest first; ID, author and message of each are used.
//
// had is a commit at which the base was before, or "" if that is not known. What
// is in it was not brought: a commit can be made to look like another one, so
// that to revert it would revert that one too.
func (r *Repo) MergeRange(ctx context.Context, merge, had string, commits []Detail) (before, after string, err error) {
	wrap := func(err error) error { return fmt.Errorf("find what the merge %.12s brought: %w", merge, err) }
	own := map[string]bool{}
	for _, c := range commits {
		own[c.ID] = true
	}
	if own[merge] {
		before, err = r.outside(ctx, merge, own)
		if err != nil {
			return "", "", wrap(err)
		}
		return before, merge, nil
	}
	// A rebase leaves out merges, and what the base had already.
	history, err := r.Details(ctx, merge, DetailOptions{Limit: len(commits) + 1})
	if err != nil {
		return "", "", wrap(err)
	}
	if len(history) == 0 || len(history[0].Parents) == 0 {
		return "", "", wrap(fmt.Errorf("nothing was before it"))
	}
	if len(history[0].Parents) > 1 {
		return history[0].Parents[0], merge, nil
	}
	older, err := r.inBase(ctx, merge, had)
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

// inBase returns a function that says of a commit whether the base had it before
// a merge. Where the base was is not known, or is after the merge: then it knows
// of none.
func (r *Repo) inBase(ctx context.Context, merge, had string) (func(string) (bool, error), error) {
	nothing := func(string) (bool, error) { return false, nil }
	if had == "" {
		return nothing, nil
	}
	switch later, err := r.IsAncestor(ctx, merge, had); {
	case errors.Is(err, ErrNotFound):
		return nothing, nil
	case err != nil || later:
		return nothing, err
	}
	return func(commit string) (bool, error) { return r.IsAncestor(ctx, commit, had) }, nil
}

// sameChange says whether a commit is another one made anew on top of something
// else: author, time of authorship and message stay.
func sameChange(a, b Detail) bool {
	return a.Author.When.Unix() == b.Author.When.Unix() && a.Author.Name == b.Author.Name &&
		strings.TrimSpace(a.Message) == strings.TrimSpace(b.Message)
}

// outside is the commit at which a branch was before it was moved forward to
// head: of the parents of the commits that it got, the one that has all the
// others.
func (r *Repo) outside(ctx context.Context, head string, own map[string]bool) (string, error) {
	details, err := r.Details(ctx, head, DetailOptions{Limit: 4*MaxRebase + len(own)})
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
				older, err := r.IsAncestor(ctx, parent, best)
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
