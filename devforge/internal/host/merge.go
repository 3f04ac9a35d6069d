package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// MergeOptions say how a pull request is merged.
type MergeOptions struct {
	Method  string // merge, squash or rebase; empty for merge
	SHA     string // the head has to be here; empty for wherever it is
	Title   string // of the commit; empty for one that names the pull request
	Message string // after the title
}

// Merge merges a pull request into its base and returns the commit that the
// base is at then. Of several at once one wins, and so it is between a merge
// and a push. The error is ErrConflict when a branch moved, ErrNotMergeable when
// a rule or a conflict is in the way.
func (h *Host) Merge(ctx context.Context, repo store.Repository, number int64, by store.Account, o MergeOptions) (store.Pull, error) {
	if o.Method == "" {
		o.Method = "merge"
	}
	if !slices.Contains([]string{"merge", "squash", "rebase"}, o.Method) {
		return store.Pull{}, fail(ErrInvalid, "merge_method must be merge, squash or rebase")
	}
	if err := h.RequireRole(by, repo, store.Reviewer); err != nil {
		return store.Pull{}, err
	}
	p, events, err := h.mergeLocked(ctx, repo, number, by, o)
	if err != nil {
		h.tell(ctx, events...)
		return p, err
	}
	update := refs.Update{Branch: p.BaseRef, Old: p.BaseSHA, New: p.MergeSHA}
	h.tell(ctx, events...)
	h.pushedHere(ctx, repo, by, update)
	return p, nil
}

func (h *Host) mergeLocked(ctx context.Context, repo store.Repository, number int64, by store.Account, o MergeOptions) (store.Pull, []Event, error) {
	unlock := h.lock(repo.ID)
	defer unlock()
	p, err := h.Store.Pull(ctx, repo.ID, number)
	if err != nil {
		return p, nil, err
	}
	p, events, err := h.refreshLocked(ctx, repo, p, by)
	if err != nil {
		return p, events, err
	}
	if err := h.mayMerge(ctx, repo, p, by, o); err != nil {
		return p, events, err
	}
	g, err := h.Git(repo)
	if err != nil {
		return p, events, err
	}
	commit, err := h.mergeCommit(ctx, repo, g, p, by, o)
	if git.IsConflict(err) {
		return p, events, fail(ErrNotMergeable, "This branch can't be rebased")
	} else if err != nil {
		return p, events, err
	}
	// The intent is stored first: if the process ends after the branch moved,
	// the next look at the pull request finds it merged by this commit.
	judged := p
	if p, err = h.Store.EditPull(ctx, repo.ID, number, func(p *store.Pull) error {
		if !p.Open() || p.BaseRef != judged.BaseRef || p.HeadSHA != judged.HeadSHA || p.TestBase != judged.TestBase {
			return fail(ErrConflict, "The pull request has changed in the meantime. Review and try the merge again.")
		}
		p.MergeSHA, p.MergedBy = commit, &by.ID
		return nil
	}); err != nil {
		return judged, events, err
	}
	q := asked{door: authority.DoorMerge, by: by.ID, merge: &judged, how: o}
	if err := h.moveOne(ctx, repo, q, RefMove{heads + p.BaseRef, p.TestBase, commit}); err != nil {
		// A call that was cut off may have moved it nevertheless.
		if head, headErr := g.Head(context.WithoutCancel(ctx), p.BaseRef); headErr != nil || head == commit {
			return p, events, errors.Join(fmt.Errorf("merge pull request %d: it may have been merged; reload to find out: %w", p.Number, err), headErr)
		}
		_, undo := h.Store.EditPull(ctx, repo.ID, number, func(p *store.Pull) error {
			p.MergeSHA, p.MergedBy = "", nil
			return nil
		})
		if errors.Is(err, ErrConflict) && undo == nil {
			return p, events, fail(ErrConflict, "Base branch was modified. Review and try the merge again.")
		}
		return p, events, errors.Join(err, undo)
	}
	p, more, err := h.markMerged(context.WithoutCancel(ctx), repo, p, commit, by)
	return p, append(events, more...), err
}

// mayMerge says why a pull request cannot be merged now.
func (h *Host) mayMerge(ctx context.Context, repo store.Repository, p store.Pull, by store.Account, o MergeOptions) error {
	if !p.Open() {
		return fail(ErrNotMergeable, "Pull Request is not mergeable: it is closed")
	}
	if o.SHA != "" && o.SHA != p.HeadSHA {
		return fail(ErrConflict, "Head branch was modified. Review and try the merge again.")
	}
	f := facts{Host: h, repo: repo, asked: asked{by: by.ID}}
	who, err := f.asker(ctx)
	if err != nil {
		return err
	}
	rules, err := h.Protection(ctx, repo, p.BaseRef)
	if err != nil {
		return err
	}
	merge, err := h.mergeFacts(ctx, repo, p, rules, o)
	if err != nil {
		return err
	}
	// What it would move to is not known yet: the process is asked about when it
	// does.
	return refusal(authority.Decide(authority.Movement{
		Who: who, Repository: authority.Repository{ID: repo.ID, Owner: repo.Owner}, Ref: heads + p.BaseRef,
		Kind: authority.Forward, Door: authority.DoorMerge, Protection: rules, Merge: merge,
	}))
}

// mergeCommit writes what the base will be at.
func (h *Host) mergeCommit(ctx context.Context, repo store.Repository, g *git.Repo, p store.Pull, by store.Account, o MergeOptions) (string, error) {
	who := git.Identity{Name: by.Name, Email: by.Email}
	title, message := o.Title, o.Message
	switch o.Method {
	case "rebase":
		commit, err := g.RebaseCommits(ctx, p.TestBase, p.HeadSHA, who)
		if err == nil && commit == p.TestBase {
			return "", fail(ErrNotMergeable, "No commits are left after a rebase")
		}
		return commit, err
	case "squash":
		author, err := h.Store.Account(ctx, p.Author)
		if err != nil {
			return "", err
		}
		if title == "" {
			title = fmt.Sprintf("%s (#%d)", p.Title, p.Number)
		}
		if message == "" {
			message = p.Body
		}
		return g.SquashCommit(ctx, p.TestBase, p.HeadSHA, commitMessage(title, message), git.Identity{Name: author.Name, Email: author.Email}, who)
	}
	if title == "" {
		owner, err := h.Store.Account(ctx, p.HeadOwner)
		if err != nil {
			return "", err
		}
		title = fmt.Sprintf("Merge pull request #%d from %s/%s", p.Number, owner.Login, p.HeadRef)
	}
	if message == "" {
		message = p.Title
	}
	return g.MergeCommit(ctx, p.TestBase, p.HeadSHA, commitMessage(title, message), who)
}

func commitMessage(title, message string) string {
	text := strings.TrimSpace(title)
	if message = strings.TrimSpace(message); message != "" {
		text += "\n\n" + message
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\x00", "")
}

// moved tells of branches that the host moved, and looks at the pull requests
// that they concern.
func (h *Host) moved(ctx context.Context, repo store.Repository, by store.Account, update refs.Update) {
	ctx = context.WithoutCancel(ctx)
	if h.opts.Moved != nil {
		h.opts.Moved(ctx, repo, []refs.Update{update}, by.Login)
	}
	if err := h.refreshAround(ctx, repo, by, update.Branch); err != nil {
		h.opts.Log.Error("embedded forge: pull requests could not be updated; they will be the next time they are read", "repository", repo.Name, "error", err)
	}
}

// refreshAround looks at the open pull requests whose head a branch is, and
// has those looked at whose base it is: of these there may be many, and nobody
// who pushes or merges should wait for them. Whoever reads one meanwhile looks
// at it themselves.
func (h *Host) refreshAround(ctx context.Context, repo store.Repository, by store.Account, branch string) error {
	h.background.Go(func() {
		err := h.refreshThose(h.alive, store.PullFilter{Repository: repo.ID, BaseRef: branch, State: "open"}, by)
		if err != nil && h.alive.Err() == nil {
			h.opts.Log.Error("embedded forge: pull requests could not be updated; they will be the next time they are read", "repository", repo.Name, "error", err)
		}
	})
	return h.refreshThose(ctx, store.PullFilter{HeadRepo: repo.ID, HeadRef: branch, State: "open"}, by)
}

func (h *Host) refreshThose(ctx context.Context, f store.PullFilter, by store.Account) error {
	list, _, err := h.Store.Pulls(ctx, f)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		base, err := h.Store.Repository(ctx, p.Repository)
		if err == nil {
			_, err = h.Refresh(ctx, base, p.Number, by)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Pushed is told of a push that went through.
func (h *Host) Pushed(ctx context.Context, repo store.Repository, updates []refs.Update, by store.Account) error {
	errs := []error{h.Store.SetPushed(ctx, repo.ID)}
	for _, u := range updates {
		h.tell(ctx, pushEvents(repo, by, u)...)
		errs = append(errs, h.refreshAround(ctx, repo, by, u.Branch))
	}
	return errors.Join(errs...)
}

// Sync brings a branch of a fork up to date with the branch of the same name
// that it was forked from, and says how: none, fast-forward or merge.
func (h *Host) Sync(ctx context.Context, fork store.Repository, branch string, by store.Account) (how string, err error) {
	if fork.Parent == nil {
		return "", fail(ErrInvalid, "This repository is not a fork.")
	}
	if git.CheckBranchName(branch) != nil {
		return "", fail(ErrInvalid, "%q is not a valid branch name.", branch)
	}
	parent, err := h.Store.Repository(ctx, *fork.Parent)
	if err != nil {
		return "", err
	}
	upstream, err := h.Git(parent)
	if err != nil {
		return "", err
	}
	g, err := h.Git(fork)
	if err != nil {
		return "", err
	}
	theirs, err := upstream.Head(ctx, branch)
	if err != nil {
		return "", err
	}
	ours, err := g.Head(ctx, branch)
	if err != nil {
		return "", err
	}
	if err := h.mayMove(ctx, fork, asked{door: authority.DoorSync, by: by.ID}, branch, ours); err != nil {
		return "", err
	}
	if theirs == "" {
		return "", fail(ErrInvalid, "The branch %q does not exist upstream.", branch)
	}
	owner, err := h.Store.Account(ctx, parent.Owner)
	if err != nil {
		return "", err
	}
	title := fmt.Sprintf("Merge branch '%s:%s' into %s", owner.Login, branch, branch)
	return h.bring(ctx, fork, g, upstream, bringOptions{door: authority.DoorSync, branch: branch, ours: ours, theirs: theirs, title: title, by: by})
}

// bringOptions say what to bring into a branch.
type bringOptions struct {
	door         authority.Door
	branch       string // that moves
	ours, theirs string // where it is, and what it gets
	title        string // of a merge
	always       bool   // merge even where a fast-forward would do
	by           store.Account
}

// bring moves a branch to contain a commit of another repository.
func (h *Host) bring(ctx context.Context, repo store.Repository, g, from *git.Repo, o bringOptions) (how string, err error) {
	if o.ours == o.theirs {
		return "none", nil
	}
	if err := g.CopyObjects(ctx, from, o.theirs); err != nil {
		return "", err
	}
	next, how := o.theirs, "fast-forward"
	if o.ours != "" {
		if contained, err := g.IsAncestor(ctx, o.theirs, o.ours); err != nil || contained {
			return "none", err
		}
		forward, err := g.IsAncestor(ctx, o.ours, o.theirs)
		if err != nil {
			return "", err
		}
		if !forward || o.always {
			how = "merge"
			next, err = g.MergeCommit(ctx, o.ours, o.theirs, o.title, git.Identity{Name: o.by.Name, Email: o.by.Email})
			if git.IsConflict(err) {
				return "", fail(ErrConflict, "There are merge conflicts: resolve them in a clone.")
			} else if err != nil {
				return "", err
			}
		}
	}
	if err := h.moveOne(ctx, repo, asked{door: o.door, by: o.by.ID}, RefMove{heads + o.branch, o.ours, next}); err != nil {
		return "", err
	}
	h.pushedHere(ctx, repo, o.by, refs.Update{Branch: o.branch, Old: o.ours, New: next})
	return how, nil
}

// UpdateBranch merges the base of a pull request into its head.
func (h *Host) UpdateBranch(ctx context.Context, repo store.Repository, number int64, by store.Account, expected string) error {
	p, err := h.Refresh(ctx, repo, number, by)
	if err != nil {
		return err
	}
	if !p.Open() || p.HeadRepo == nil {
		return fail(ErrInvalid, "The pull request is closed.")
	}
	if expected != "" && expected != p.HeadSHA {
		return fail(ErrInvalid, "expected head sha didn't match current head ref.")
	}
	head, err := h.Store.Repository(ctx, *p.HeadRepo)
	if err != nil {
		return err
	}
	if err := h.mayMove(ctx, head, asked{door: authority.DoorUpdate, by: by.ID}, p.HeadRef, p.HeadSHA); errors.Is(err, ErrForbidden) {
		return fail(ErrForbidden, "You cannot push to the head branch: %s.", err)
	} else if err != nil {
		return err
	}
	g, err := h.Git(head)
	if err != nil {
		return err
	}
	upstream, err := h.Git(repo)
	if err != nil {
		return err
	}
	how, err := h.bring(ctx, head, g, upstream, bringOptions{door: authority.DoorUpdate, branch: p.HeadRef, ours: p.HeadSHA, theirs: p.TestBase, always: true, by: by,
		title: fmt.Sprintf("Merge branch '%s' into %s", p.BaseRef, p.HeadRef)})
	if errors.Is(err, ErrConflict) {
		return fail(ErrInvalid, "merge conflict between base and head")
	}

	if err == nil && how == "none" {
		return fail(ErrInvalid, "There are no new commits on the base branch.")
	}
	return err
}

// Related returns the repository of an owner that has the same root.
func (h *Host) Related(ctx context.Context, repo store.Repository, owner string) (store.Repository, error) {
	return h.headRepository(ctx, repo, owner, "")
}
