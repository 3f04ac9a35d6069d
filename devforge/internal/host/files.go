package host

import (
	"context"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// NewCommit is a change of files that is made without a clone.
type NewCommit struct {
	Branch  string            // made now if Head is empty
	Head    string            // where the branch has to be
	Files   map[string][]byte // by path
	Message string
	Author  git.Identity // empty for the account itself
}

// Commit records a commit on a branch by the rules of a push, and returns it.
// The error is ErrConflict when the branch moved.
func (h *Host) Commit(ctx context.Context, repo store.Repository, by store.Account, n NewCommit) (string, error) {
	if git.CheckBranchName(n.Branch) != nil {
		return "", fail(ErrInvalid, "%q is not a valid branch name", n.Branch)
	}
	if err := h.mayMove(ctx, repo, asked{door: authority.DoorFiles, by: by.ID}, n.Branch, n.Head); err != nil {
		return "", err
	}
	g, err := h.Git(repo)
	if err != nil {
		return "", err
	}
	if n.Author == (git.Identity{}) {
		n.Author = git.Identity{Name: by.Name, Email: by.Email}
	}
	id, err := g.FilesCommit(ctx, n.Head, n.Files, nil, commitMessage(n.Message, ""), n.Author)
	if err != nil {
		return "", err
	}
	m := RefMove{heads + n.Branch, n.Head, id}
	if err := h.moveOne(ctx, repo, asked{door: authority.DoorFiles, by: by.ID}, m); err != nil {
		return "", err
	}
	h.pushedHere(ctx, repo, by, updateOf(n.Branch, m))
	return id, nil
}

// updateOf is a movement of a branch as listeners hear of it.
func updateOf(branch string, m RefMove) refs.Update {
	return refs.Update{Branch: branch, Old: zero(m.Old), New: zero(m.New)}
}

// pushedHere tells of a branch that the host moved as a push would. An empty
// Old stands for none.
func (h *Host) pushedHere(ctx context.Context, repo store.Repository, by store.Account, u refs.Update) {
	if u.Old == "" {
		u.Old = refs.ZeroID
	}
	h.tell(ctx, pushEvents(repo, by, u)...)
	h.moved(ctx, repo, by, u)
}

// pushEvents are those of a branch that moved. As on GitHub, one that comes or
// goes is told of twice.
func pushEvents(repo store.Repository, by store.Account, u refs.Update) []Event {
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
