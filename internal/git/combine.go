package git

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// MaxRebase bounds the commits that RebaseCommits takes over.
const MaxRebase = 250

// MergeCommit writes a commit with both as parents, base first, and returns
// it, even where head alone would do. No reference moves. It is a
// *ConflictError if the two do not go together.
func (r *Repo) MergeCommit(ctx context.Context, base, head, message string, author Identity) (string, error) {
	tree, err := r.combined(ctx, base, head)
	if err != nil {
		return "", err
	}
	return r.commitTree(ctx, tree, []string{base, head}, message, author)
}

// SquashCommit writes one commit on base that holds all that head brings, and
// returns it. No reference moves. It is a *ConflictError if the two do not go
// together.
func (r *Repo) SquashCommit(ctx context.Context, base, head, message string, author, committer Identity) (string, error) {
	tree, err := r.combined(ctx, base, head)
	if err != nil {
		return "", err
	}
	return r.writeCommit(ctx, tree, base, message, Signature{author, time.Now()}, committer)
}

func (r *Repo) combined(ctx context.Context, base, head string) (string, error) {
	for _, id := range []string{base, head} {
		if !isObjectID(id) {
			return "", fmt.Errorf("merge: %q is not a commit id", id)
		}
	}
	if _, err := r.MergeBase(ctx, base, head); err != nil {
		return "", err
	}
	return r.mergeTree(ctx, short(base), base, short(head), head)
}

// RebaseCommits writes the commits that head has and base has not anew on top
// of base, oldest first, and returns the last of them; base itself if nothing
// is left to do. Merges are left out, and so is what base has already. Authors
// and times of authorship stay. No reference moves. It is a *ConflictError if a
// commit does not go onto what is before it.
func (r *Repo) RebaseCommits(ctx context.Context, base, head string, committer Identity) (string, error) {
	for _, id := range []string{base, head} {
		if !isObjectID(id) {
			return "", fmt.Errorf("rebase: %q is not a commit id", id)
		}
	}
	commits, err := r.Details(ctx, head, DetailOptions{Base: base, Limit: 4*MaxRebase + 1})
	if err != nil {
		return "", err
	}
	missing, err := r.notIn(ctx, base, head)
	if err != nil {
		return "", err
	}
	var todo []Detail // oldest first
	for i := len(commits) - 1; i >= 0; i-- {
		switch len(commits[i].Parents) {
		case 0:
			return "", fmt.Errorf("rebase: commit %s has no parent", short(commits[i].ID))
		case 1:
			if !missing[commits[i].ID] {
				continue
			}
			todo = append(todo, commits[i])
		}
	}
	if len(todo) > MaxRebase || len(commits) > 4*MaxRebase {
		return "", model.WithHint(fmt.Errorf("rebase: there are more than %d commits", MaxRebase), "merge or squash them")
	}
	onto := base
	ontoTree, err := r.root(ctx, base)
	if err != nil {
		return "", err
	}
	for _, c := range todo {
		tree, err := r.pick(ctx, ontoTree, c)
		if err != nil {
			return "", err
		}
		if tree == ontoTree {
			continue
		}
		if onto, err = r.writeCommit(ctx, tree, onto, c.Message, c.Author, committer); err != nil {
			return "", err
		}
		ontoTree = tree
	}
	return onto, nil
}

// notIn returns the commits of head whose changes base does not have, under
// whatever id.
func (r *Repo) notIn(ctx context.Context, base, head string) (map[string]bool, error) {
	out, err := r.git(ctx, "rev-list", "--cherry-pick", "--right-only", "--no-merges", "--end-of-options", base+"..."+head, "--")
	if err != nil {
		return nil, fmt.Errorf("compare %s and %s: %w", short(base), short(head), notFound(err))
	}
	set := map[string]bool{}
	for id := range strings.FieldsSeq(string(out)) {
		set[id] = true
	}
	return set, nil
}

// pick returns the tree that applying one commit to another tree results in:
// that of a merge whose common ancestor is the commit's parent.
func (r *Repo) pick(ctx context.Context, onto string, c Detail) (string, error) {
	ours, err := r.commitTree(ctx, onto, c.Parents[:1], "Base of a rebase", Hubship)
	if err != nil {
		return "", err
	}
	return r.mergeTree(ctx, "the base", ours, short(c.ID), c.ID)
}

// writeCommit is commitTree with an author and a committer.
func (r *Repo) writeCommit(ctx context.Context, tree, parent, message string, author Signature, committer Identity) (string, error) {
	author.Identity = presentable(author.Identity)
	if err := errors.Join(author.validate(), committer.validate()); err != nil {
		return "", err
	}
	if strings.TrimSpace(message) == "" {
		message = "(no message)"
	}
	out, err := r.exec(ctx, command{
		args:  []string{"commit-tree", "-F", "-", "-p", parent, tree},
		stdin: strings.NewReader(message + "\n"),
		env: []string{
			"GIT_AUTHOR_NAME=" + author.Name, "GIT_AUTHOR_EMAIL=" + author.Email,
			fmt.Sprintf("GIT_AUTHOR_DATE=@%d +0000", max(author.When.Unix(), 0)),
			"GIT_COMMITTER_NAME=" + committer.Name, "GIT_COMMITTER_EMAIL=" + committer.Email,
			fmt.Sprintf("GIT_COMMITTER_DATE=@%d +0000", time.Now().Unix()),
		},
	})
	if err != nil {
		return "", fmt.Errorf("record commit: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// presentable fills in what somebody else's commit may lack.
func presentable(i Identity) Identity {
	strip := func(s, empty string) string {
		s = strings.TrimSpace(strings.Map(func(c rune) rune {
			if strings.ContainsRune("<>\n\r\x00", c) {
				return -1
			}
			return c
		}, s))
		// git cuts these off at both ends, and refuses a name without others.
		if strings.Trim(s, ".,:;\"\\' ") == "" {
			return empty
		}
		return s
	}
	return Identity{Name: strip(i.Name, "unknown"), Email: strip(i.Email, "unknown@localhost")}
}
