package host

import (
	"context"
	"errors"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/git"
)

// NewCommit is a change of files that is made without a clone.
type NewCommit struct {
	Branch  string            // made now if Head is empty
	Head    string            // where the branch has to be
	Files   map[string][]byte // by path; nil removes the file
	Message string
	Author  git.Identity // empty for the account itself
}

// Commit records a commit on a branch by the rules of a push, and returns it.
// The error is ErrConflict when the branch moved.
func (h *Host) Commit(ctx context.Context, repo store.Repository, by store.Account, n NewCommit) (string, error) {
	if git.CheckBranchName(n.Branch) != nil {
		return "", fail(ErrInvalid, "%q is no name of a branch", n.Branch)
	}
	move := RefMove{Ref: "refs/heads/" + n.Branch, Old: n.Head}
	if refused, err := h.AllowPush(ctx, repo, by, []RefMove{move}); err != nil {
		return "", err
	} else if reason := refused[move.Ref]; reason != "" {
		return "", fail(ErrForbidden, "%s", reason)
	}
	g, err := h.Git(repo)
	if err != nil {
		return "", err
	}
	if n.Author == (git.Identity{}) {
		n.Author = git.Identity{Name: by.Name, Email: by.Email}
	}
	id, err := g.CommitFiles(ctx, n.Branch, n.Head, n.Files, nil, commitMessage(n.Message, ""), n.Author)
	if errors.Is(err, git.ErrMoved) {
		return "", fail(ErrConflict, "The branch %s moved meanwhile: try again.", n.Branch)
	} else if err != nil {
		return "", err
	}
	h.pushedHere(ctx, repo, by, forge.RefUpdate{Branch: n.Branch, Old: n.Head, New: id})
	return id, nil
}

// pushedHere tells of a branch that the host moved as a push would. An empty
// Old stands for none.
func (h *Host) pushedHere(ctx context.Context, repo store.Repository, by store.Account, u forge.RefUpdate) {
	if u.Old == "" {
		u.Old = forge.ZeroID
	}
	h.tell(ctx, pushEvents(repo, by, u)...)
	h.moved(ctx, repo, by, u)
}

// pushEvents are those of a branch that moved. As on GitHub, one that comes or
// goes is told of twice.
func pushEvents(repo store.Repository, by store.Account, u forge.RefUpdate) []Event {
	events := []Event{{Name: "push", Repo: repo, Sender: by, Update: &u}}
	switch {
	case u.Created():
		events = append(events, Event{Name: "create", Repo: repo, Sender: by, Update: &u})
	case u.Deleted():
		events = append(events, Event{Name: "delete", Repo: repo, Sender: by, Update: &u})
	}
	return events
}

// OneLine makes a title one line of text: what would steer a terminal or end
// the line becomes a space.
func OneLine(title string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, title))
}
