package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// Bounds of what people write.
const (
	MaxTitle = 256
	MaxBody  = 65536 // characters, as on GitHub
)

// HeadRef is where a pull request's head is, in the repository of its base.
func HeadRef(number int64) string { return fmt.Sprintf("refs/pull/%d/head", number) }

// MergeRef is where its test merge is, if head and base go together.
func MergeRef(number int64) string { return fmt.Sprintf("refs/pull/%d/merge", number) }

// NewPull are the settings of a pull request that is opened.
type NewPull struct {
	Title, Body string
	Base        string // branch
	Head        string // branch, or OWNER:BRANCH of a fork
	HeadRepo    string // name of the fork, where its owner has several; may be empty
	Draft       bool
	CanModify   bool
}

// OpenPull opens a pull request.
func (h *Host) OpenPull(ctx context.Context, repo store.Repository, by store.Account, n NewPull) (store.Pull, error) {
	p, err := h.newPull(ctx, repo, by, n)
	if err != nil {
		return store.Pull{}, err
	}
	unlock := h.lock(repo.ID)
	defer unlock()
	base, err := h.Git(repo)
	if err != nil {
		return store.Pull{}, err
	}
	head, err := h.Store.Repository(ctx, *p.HeadRepo)
	if err != nil {
		return store.Pull{}, err
	}
	source, err := h.Git(head)
	if err != nil {
		return store.Pull{}, err
	}
	if p.BaseSHA, err = base.Head(ctx, p.BaseRef); err != nil || p.BaseSHA == "" {
		return store.Pull{}, errors.Join(err, fail(ErrInvalid, "The base branch %q does not exist.", p.BaseRef))
	}
	if p.HeadSHA, err = source.Head(ctx, p.HeadRef); err != nil || p.HeadSHA == "" {
		return store.Pull{}, errors.Join(err, fail(ErrInvalid, "The head branch %q does not exist.", n.Head))
	}
	if err := base.CopyObjects(ctx, source, p.HeadSHA); err != nil {
		return store.Pull{}, err
	}
	if contained, err := base.IsAncestor(ctx, p.HeadSHA, p.BaseSHA); err != nil {
		return store.Pull{}, err
	} else if contained {
		return store.Pull{}, fail(ErrInvalid, "No commits between %s and %s", p.BaseRef, n.Head)
	}
	if _, err := base.MergeBase(ctx, p.BaseSHA, p.HeadSHA); errors.Is(err, git.ErrNotFound) {
		return store.Pull{}, fail(ErrInvalid, "The %s branch has no history in common with %s", n.Head, p.BaseRef)
	} else if err != nil {
		return store.Pull{}, err
	}
	if err := h.Store.AddPull(ctx, &p); err != nil {
		return store.Pull{}, err
	}
	if err := h.notePushersBefore(ctx, p); err != nil {
		return store.Pull{}, err
	}
	if err := h.record(ctx, repo, HeadRef(p.Number), p.HeadSHA); err != nil {
		return store.Pull{}, err
	}
	p, events, err := h.refreshLocked(ctx, repo, p, by)
	if err != nil {
		return store.Pull{}, err
	}
	h.tell(ctx, append([]Event{{Name: "pull_request", Action: "opened", Repo: repo, Sender: by, Pull: &p}}, events...)...)
	return p, nil
}

// newPull checks what is asked for, as far as the database knows.
func (h *Host) newPull(ctx context.Context, repo store.Repository, by store.Account, n NewPull) (store.Pull, error) {
	n.Title = OneLine(n.Title)
	p := store.Pull{Repository: repo.ID, Title: n.Title, Body: n.Body, Author: by.ID, Draft: n.Draft, BaseRef: n.Base, CanModify: n.CanModify}
	if err := CheckText(n.Title, n.Body); err != nil {
		return p, err
	}
	head, branch := repo, n.Head
	if owner, ref, ok := strings.Cut(n.Head, ":"); ok {
		branch = ref
		var err error
		if head, err = h.headRepository(ctx, repo, owner, n.HeadRepo); err != nil {
			return p, err
		}
	}
	if errors.Join(git.CheckBranchName(n.Base), git.CheckBranchName(branch)) != nil {
		return p, fail(ErrInvalid, "The base %q or the head %q is not a valid branch name.", n.Base, n.Head)
	}
	if head.ID == repo.ID {
		if branch == n.Base {
			return p, fail(ErrInvalid, "There are no commits between a branch and itself.")
		}
		// As on GitHub: who opens it can write the head.
		if err := h.RequireRole(by, repo, store.Reviewer); err != nil {
			return p, fail(ErrForbidden, "You cannot push to this repository: fork it, and open the pull request from there.")
		}
	}
	p.HeadRepo, p.HeadOwner, p.HeadRef = &head.ID, head.Owner, branch
	return p, nil
}

// CheckText holds what people write to its bounds.
func CheckText(title, body string) error {
	switch {
	case strings.TrimSpace(title) == "":
		return fail(ErrInvalid, "title can't be blank")
	case len([]rune(title)) > MaxTitle:
		return fail(ErrInvalid, "title is too long (maximum is %d characters)", MaxTitle)
	case len([]rune(body)) > MaxBody:
		return fail(ErrInvalid, "body is too long (maximum is %d characters)", MaxBody)
	}
	return nil
}

// headRepository finds the repository of an owner in the same network.
func (h *Host) headRepository(ctx context.Context, repo store.Repository, owner, name string) (store.Repository, error) {
	root, err := h.rootOf(ctx, repo)
	if err != nil {
		return store.Repository{}, err
	}
	a, err := h.Store.AccountByLogin(ctx, owner)
	if errors.Is(err, store.ErrNotFound) {
		return store.Repository{}, fail(ErrInvalid, "The head's owner %q does not exist.", owner)
	} else if err != nil {
		return store.Repository{}, err
	}
	if a.ID == repo.Owner && (name == "" || name == repo.Name) {
		return repo, nil
	}
	all, err := h.Store.Repositories(ctx)
	if err != nil {
		return store.Repository{}, err
	}
	for _, r := range all {
		if r.Owner != a.ID || (name != "" && r.Name != name) {
			continue
		}
		if other, err := h.rootOf(ctx, r); err != nil || other == root {
			return r, err
		}
	}
	return store.Repository{}, fail(ErrInvalid, "%s has no fork of this repository.", owner)
}

// rootOf returns the repository that a fork comes from in the end.
func (h *Host) rootOf(ctx context.Context, repo store.Repository) (int64, error) {
	for range 16 {
		if repo.Parent == nil {
			break
		}
		var err error
		if repo, err = h.Store.Repository(ctx, *repo.Parent); err != nil {
			return 0, err
		}
	}
	return repo.ID, nil
}

// Refresh brings a pull request up to date with its branches, whatever was
// missed: a new head, a base that moved, a merge by hand, a branch that is
// gone. It is cheap when nothing happened.
func (h *Host) Refresh(ctx context.Context, repo store.Repository, number int64, by store.Account) (store.Pull, error) {
	unlock := h.lock(repo.ID)
	defer unlock()
	p, err := h.Store.Pull(ctx, repo.ID, number)
	if err != nil {
		return store.Pull{}, err
	}
	p, events, err := h.refreshLocked(ctx, repo, p, by)
	h.tell(ctx, events...)
	return p, err
}

// refreshLocked is Refresh for a caller that has the lock of the repository.
func (h *Host) refreshLocked(ctx context.Context, repo store.Repository, p store.Pull, by store.Account) (store.Pull, []Event, error) {
	if !p.Open() {
		return p, nil, nil
	}
	base, err := h.Git(repo)
	if err != nil {
		return p, nil, err
	}
	baseSHA, err := base.Head(ctx, p.BaseRef)
	if err != nil {
		return p, nil, err
	}
	headSHA, err := h.bringHead(ctx, base, p)
	if err != nil {
		return p, nil, err
	}
	if settled(p, baseSHA, headSHA) {
		return p, nil, nil
	}
	if baseSHA != "" {
		commit, gone, err := mergedBy(ctx, base, p, baseSHA, headSHA)
		switch {
		case err != nil:
			return p, nil, err
		case commit != "":
			return h.markMerged(ctx, repo, p, commit, by)
		case gone:
			return h.close(ctx, repo, p, by)
		}
	}
	if baseSHA == "" || headSHA == "" {
		return h.close(ctx, repo, p, by)
	}
	return h.track(ctx, repo, base, p, baseSHA, headSHA, by)
}

// bringHead returns the commit that the head's branch is at, with its objects
// in the base's repository; "" when the branch or its repository is gone.
func (h *Host) bringHead(ctx context.Context, base *git.Repo, p store.Pull) (string, error) {
	if p.HeadRepo == nil {
		return "", nil
	}
	headRepo, err := h.Store.Repository(ctx, *p.HeadRepo)
	if err != nil {
		return "", err
	}
	source, err := h.Git(headRepo)
	if err != nil {
		return "", err
	}
	sha, err := source.Head(ctx, p.HeadRef)
	if err != nil || sha == "" || sha == p.HeadSHA {
		return sha, err
	}
	return sha, base.CopyObjects(ctx, source, sha)
}

// mergedBy returns the commit by which the base got the head, if it did: a
// merge that was under way when the process ended, or a push. A head that was
// set back into the base is no merge, but nothing is left to do: gone.
func mergedBy(ctx context.Context, base *git.Repo, p store.Pull, baseSHA, headSHA string) (commit string, gone bool, err error) {
	if p.MergeSHA != "" {
		if done, err := base.IsAncestor(ctx, p.MergeSHA, baseSHA); err == nil && done {
			return p.MergeSHA, false, nil
		} else if err != nil && !errors.Is(err, git.ErrNotFound) {
			return "", false, err
		}
	}
	known, err := base.IsAncestor(ctx, p.HeadSHA, baseSHA)
	if err != nil || headSHA == "" || headSHA == p.HeadSHA {
		if !known {
			baseSHA = ""
		}
		return baseSHA, false, err
	}
	contained, err := base.IsAncestor(ctx, headSHA, baseSHA)
	if err != nil || !contained {
		return "", false, err
	}
	if !known {
		return "", true, nil
	}
	return baseSHA, false, nil
}

func (h *Host) markMerged(ctx context.Context, repo store.Repository, p store.Pull, commit string, by store.Account) (store.Pull, []Event, error) {
	p, err := h.Store.EditPull(ctx, repo.ID, p.Number, func(p *store.Pull) error {
		p.Merged, p.MergeSHA = store.Now(), commit
		p.Closed, p.Updated = p.Merged, p.Merged
		if p.MergedBy == nil {
			p.MergedBy = &by.ID
		}
		return nil
	})
	if err != nil {
		return p, nil, err
	}
	return p, []Event{{Name: "pull_request", Action: "closed", Repo: repo, Sender: by, Pull: &p}}, h.dropMergeRef(ctx, repo, p)
}

func (h *Host) close(ctx context.Context, repo store.Repository, p store.Pull, by store.Account) (store.Pull, []Event, error) {
	p, err := h.Store.EditPull(ctx, repo.ID, p.Number, func(p *store.Pull) error {
		p.Closed = store.Now()
		p.Updated, p.MergeSHA = p.Closed, ""
		return nil
	})
	if err != nil {
		return p, nil, err
	}
	return p, []Event{{Name: "pull_request", Action: "closed", Repo: repo, Sender: by, Pull: &p}}, h.dropMergeRef(ctx, repo, p)
}

func (h *Host) dropMergeRef(ctx context.Context, repo store.Repository, p store.Pull) error {
	return h.record(ctx, repo, MergeRef(p.Number), "")
}

// track follows the two branches of an open pull request and makes the test
// merge of where they are.
func (h *Host) track(ctx context.Context, repo store.Repository, base *git.Repo, p store.Pull, baseSHA, headSHA string, by store.Account) (store.Pull, []Event, error) {
	before := p.HeadSHA
	if p.TestHead != headSHA { // it is recorded after the reference is set
		if err := h.record(ctx, repo, HeadRef(p.Number), headSHA); err != nil {
			return p, nil, err
		}
	}
	test := p.TestSHA
	if p.TestBase != baseSHA || p.TestHead != headSHA {
		var err error
		test, err = base.MergeCommit(ctx, baseSHA, headSHA, fmt.Sprintf("Merge %s into %s", headSHA, baseSHA), git.Identity{Name: "hubship", Email: "hubship@localhost"})
		if git.IsConflict(err) || errors.Is(err, git.ErrNotFound) {
			test, err = "", nil
		}
		if err != nil {
			return p, nil, err
		}
	}
	if err := h.record(ctx, repo, MergeRef(p.Number), test); err != nil {
		return p, nil, err
	}
	p, err := h.Store.EditPull(ctx, repo.ID, p.Number, func(p *store.Pull) error {
		p.BaseSHA, p.HeadSHA, p.TestBase, p.TestHead, p.TestSHA, p.MergeSHA = baseSHA, headSHA, baseSHA, headSHA, test, ""
		if before != headSHA {
			p.Updated = store.Now()
		}
		return nil
	})
	if err != nil || before == headSHA {
		return p, nil, err
	}
	if err := h.dismissStale(ctx, repo, p); err != nil {
		return p, nil, err
	}
	return p, []Event{{Name: "pull_request", Action: "synchronize", Repo: repo, Sender: by, Pull: &p, Before: before}}, nil
}

// dismissStale ends the approvals of an older head where the branch says so.
func (h *Host) dismissStale(ctx context.Context, repo store.Repository, p store.Pull) error {
	rules, err := h.Protection(ctx, repo, p.BaseRef)
	if err != nil || rules == nil || rules.Reviews == nil || !rules.Reviews.DismissStale {
		return err
	}
	return h.dropApprovals(ctx, p, func(r store.Review) bool { return r.SHA != p.HeadSHA })
}

func (h *Host) dropApprovals(ctx context.Context, p store.Pull, which func(store.Review) bool) error {
	list, err := h.Store.Reviews(ctx, p.ID)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.State != store.Approved || !which(r) {
			continue
		}
		if _, err := h.Store.EditReview(ctx, p.ID, r.ID, func(r *store.Review) error {
			r.State = store.Dismissed
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// RefreshAll is Refresh for all open pull requests of a repository.
func (h *Host) RefreshAll(ctx context.Context, repo store.Repository, by store.Account) error {
	return h.refreshThose(ctx, store.PullFilter{Repository: repo.ID, State: "open"}, by)
}

// Look is Refresh for who reads: what is found counts as the author's, and a
// pull request whose branches cannot be read, because a fork is damaged, is
// returned as it was last seen.
func (h *Host) Look(ctx context.Context, repo store.Repository, number int64) (store.Pull, error) {
	p, err := h.Store.Pull(ctx, repo.ID, number)
	if err != nil || !p.Open() {
		return p, err
	}
	author, err := h.Store.Account(ctx, p.Author)
	if err != nil {
		return p, err
	}
	fresh, err := h.Refresh(ctx, repo, number, author)
	if err != nil && ctx.Err() == nil {
		h.opts.Log.Error("embedded forge: a pull request could not be updated and is shown as last seen", "repository", repo.Name, "number", number, "error", err)
		return p, nil
	}
	return fresh, err
}

// EditPull changes a pull request while nothing else happens to it, a merge
// above all. Where it goes to another branch by that, its approvals end: they
// were of the change to the branch that it was for. They end before, so that an
// error leaves none for the new branch, and once more after, for those that came
// in between. edit may be called twice.
func (h *Host) EditPull(ctx context.Context, repo store.Repository, number int64, edit func(*store.Pull) error) (store.Pull, error) {
	defer h.lock(repo.ID)()
	p, err := h.Store.Pull(ctx, repo.ID, number)
	if err != nil {
		return p, err
	}
	base := p.BaseRef
	if err := edit(&p); err != nil {
		return p, err
	}
	end := func() error { return nil }
	if p.BaseRef != base {
		end = func() error { return h.dropApprovals(ctx, p, func(store.Review) bool { return true }) }
	}
	if err := end(); err != nil {
		return p, err
	}
	p, err = h.Store.EditPull(ctx, repo.ID, number, edit)
	return p, errors.Join(err, end())
}

// ClosePull closes an open pull request without merging it.
func (h *Host) ClosePull(ctx context.Context, repo store.Repository, number int64, by store.Account) (store.Pull, error) {
	unlock := h.lock(repo.ID)
	defer unlock()
	p, err := h.Store.Pull(ctx, repo.ID, number)
	if err != nil || !p.Open() {
		return p, err
	}
	p, events, err := h.close(ctx, repo, p, by)
	h.tell(ctx, events...)
	return p, err
}

// ReopenPull opens a closed pull request again, if its branches are there.
func (h *Host) ReopenPull(ctx context.Context, repo store.Repository, number int64, by store.Account) (store.Pull, error) {
	unlock := h.lock(repo.ID)
	defer unlock()
	p, err := h.Store.Pull(ctx, repo.ID, number)
	switch {
	case err != nil:
		return p, err
	case p.Open():
		return p, nil
	case !p.Merged.IsZero():
		return p, fail(ErrInvalid, "The pull request cannot be reopened: it was merged.")
	}
	same, _, err := h.Store.Pulls(ctx, store.PullFilter{Repository: repo.ID, HeadOwner: p.HeadOwner, HeadRef: p.HeadRef, BaseRef: p.BaseRef, State: "open"})
	if err != nil {
		return p, err
	}
	if len(same) > 0 {
		return p, fail(ErrInvalid, "A pull request for these branches is already open: #%d.", same[0].Number)
	}
	if p.HeadRepo == nil {
		return p, fail(ErrInvalid, "The pull request cannot be reopened: its head repository was deleted.")
	}
	if p, err = h.Store.EditPull(ctx, repo.ID, number, func(p *store.Pull) error {
		p.Closed, p.Updated = store.Time{}, store.Now()
		return nil
	}); err != nil {
		return p, err
	}
	if err := h.notePushersBefore(ctx, p); err != nil {
		return p, err
	}
	p, events, err := h.refreshLocked(ctx, repo, p, by)
	if err == nil && p.Open() {
		events = append(events, Event{Name: "pull_request", Action: "reopened", Repo: repo, Sender: by, Pull: &p})
	}
	h.tell(ctx, events...)
	return p, err
}
