package host

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// facts gathers what authority.Decide has to know about movements in one
// repository that were asked for at once.
type facts struct {
	*Host
	asked
	repo   store.Repository
	git    *git.Repo
	unseen bool // the objects are not there yet

	who       *authority.Who
	ancestors []int64
	names     []git.Ref // all branches and tags, once they were asked for
}

// place checks that a movement names objects that are there.
func (f *facts) place(_ context.Context, m RefMove) (RefMove, error) {
	m.Old, m.New = zero(m.Old), zero(m.New)
	if m.Old == m.New {
		return m, fail(ErrInvalid, "%s is already as requested.", m.Ref)
	}
	if git.CheckRefName(m.Ref) != nil {
		return m, fail(ErrInvalid, "%q is not a valid reference name.", m.Ref)
	}
	if strings.HasPrefix(m.Ref, heads) && m.New != authority.Zero && !f.git.HasCommit(m.New) {
		return m, fail(ErrInvalid, "A branch must point to a commit, and %s is not one.", m.New)
	}
	return m, nil
}

// gather finds the facts about a movement.
func (f *facts) gather(ctx context.Context, m RefMove) (authority.Movement, error) {
	out := authority.Movement{Ref: m.Ref, Old: m.Old, New: m.New, Door: f.door, Force: f.force}
	if f.door == authority.DoorRecord {
		return out, nil
	}
	var err error
	if out.Kind, err = f.kind(ctx, m); err != nil {
		return out, err
	}
	if out.Who, err = f.asker(ctx); err != nil {
		return out, err
	}
	if f.ancestors == nil {
		if f.ancestors, err = f.ancestorsOf(ctx, f.repo); err != nil {
			return out, err
		}
	}
	out.Repository = authority.Repository{ID: f.repo.ID, Owner: f.repo.Owner, Ancestors: f.ancestors}
	if out.Kind == authority.Create {
		if out.Alike, err = f.alike(ctx, m.Ref); err != nil {
			return out, err
		}
	}
	branch, isBranch := strings.CutPrefix(m.Ref, heads)
	if !isBranch {
		return out, nil
	}
	out.Default = branch == f.repo.DefaultBranch
	if out.Protection, err = f.Protection(ctx, f.repo, branch); err != nil {
		return out, err
	}
	if !out.Who.Role.Writes() {
		if out.Proposals, err = f.proposals(ctx, branch, out.Who.Account); err != nil {
			return out, err
		}
	}
	if f.merge != nil {
		if out.Merge, err = f.mergeFacts(ctx, f.repo, *f.merge, out.Protection, f.how); err != nil {
			return out, err
		}
		if out.Merge.Other, err = f.other(ctx, m); err != nil {
			return out, err
		}
	}
	if !f.unseen && (out.Who.Role != authority.Maintainer || out.Who.Own) {
		out.Maintained = f.maintained(ctx, out.Protection, m)
	}
	return out, nil
}

// kind says how a reference moves.
func (f *facts) kind(ctx context.Context, m RefMove) (authority.Kind, error) {
	switch {
	case m.New == authority.Zero:
		return authority.Delete, nil
	case m.Old == authority.Zero:
		return authority.Create, nil
	case !strings.HasPrefix(m.Ref, heads):
		return authority.Rewrite, nil
	case f.unseen:
		return authority.Forward, nil
	}
	forward, err := f.git.IsAncestor(ctx, m.Old, m.New)
	if errors.Is(err, git.ErrNotFound) {
		return "", fail(ErrConflict, "The reference is not at %s.", m.Old)
	}
	if err != nil || forward {
		return authority.Forward, err
	}
	return authority.Rewrite, nil
}

// asker is who asks, as the database has them now. That their token lends the
// right to write was seen where they came in.
func (f *facts) asker(ctx context.Context) (authority.Who, error) {
	if f.who != nil {
		return *f.who, nil
	}
	a, err := f.Store.Account(ctx, f.by)
	if err != nil {
		return authority.Who{}, err
	}
	role, err := f.Role(a, f.repo)
	if err != nil {
		return authority.Who{}, err
	}
	f.who = &authority.Who{Account: a.ID, Login: a.Login, Role: role, Disabled: a.Disabled, Lends: true, Own: f.IsOwn(a)}
	return *f.who, nil
}

// ancestorsOf returns what a repository was forked from, the nearest first.
func (h *Host) ancestorsOf(ctx context.Context, repo store.Repository) ([]int64, error) {
	list := []int64{}
	for range 16 {
		if repo.Parent == nil {
			break
		}
		list = append(list, *repo.Parent)
		var err error
		if repo, err = h.Store.Repository(ctx, *repo.Parent); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// alike finds a branch or a tag that a new one could be taken for: one of the
// same name, whatever its case and whichever of the two it is.
func (f *facts) alike(ctx context.Context, ref string) (string, error) {
	if f.names == nil {
		var err error
		if f.names, err = f.git.Refs(ctx, "refs/"); err != nil {
			return "", err
		}
	}
	short := func(name string) string {
		return strings.TrimPrefix(strings.TrimPrefix(name, heads), "refs/tags/")
	}
	for _, r := range f.names {
		if (strings.HasPrefix(r.Name, heads) || strings.HasPrefix(r.Name, "refs/tags/")) && r.Name != ref && strings.EqualFold(short(r.Name), short(ref)) {
			return r.Name, nil
		}
	}
	// A protected branch keeps its name also while it is not there.
	protected, err := f.Store.Protections(ctx, f.repo.ID)
	if err != nil {
		return "", err
	}
	for _, p := range protected {
		if heads+p.Branch != ref && strings.EqualFold(p.Branch, short(ref)) {
			return heads + p.Branch, nil
		}
	}
	return "", nil
}

// proposals are the open pull requests whose head a branch of this repository
// is.
func (f *facts) proposals(ctx context.Context, branch string, account int64) ([]authority.Proposal, error) {
	list, _, err := f.Store.Pulls(ctx, store.PullFilter{HeadRepo: f.repo.ID, HeadRef: branch, State: "open"})
	if err != nil {
		return nil, err
	}
	var out []authority.Proposal
	for _, p := range list {
		base, err := f.Store.Repository(ctx, p.Repository)
		if err != nil {
			return nil, err
		}
		a, err := f.Store.Account(ctx, account)
		if err != nil {
			return nil, err
		}
		role, err := f.Role(a, base)
		if err != nil {
			return nil, err
		}
		out = append(out, authority.Proposal{Base: p.Repository, Author: p.Author, CanModify: p.CanModify, WritesBase: role.Writes()})
	}
	return out, nil
}

// maintained finds which of a branch's maintained files a movement changes.
func (f *facts) maintained(ctx context.Context, p *Protection, m RefMove) authority.Maintained {
	if p == nil || len(p.Maintained) == 0 || f.repo.Parent != nil {
		return authority.Maintained{}
	}
	if m.Old == authority.Zero || m.New == authority.Zero {
		return authority.Maintained{Files: p.Maintained} // the branch with all that is in it
	}
	changed, err := f.git.ChangedPaths(ctx, m.Old, m.New)
	if err != nil {
		return authority.Maintained{Unknown: err.Error()}
	}
	var out authority.Maintained
	for _, name := range changed {
		for _, pattern := range p.Maintained {
			if ok, err := path.Match(pattern, name); err != nil {
				return authority.Maintained{Unknown: fmt.Sprintf("pattern %q: %v", pattern, err)}
			} else if ok {
				out.Files = append(out.Files, name)
				break
			}
		}
	}
	return out
}

// other says whether a merge brings other files than the test merge has.
func (f *facts) other(ctx context.Context, m RefMove) (bool, error) {
	if f.merge.TestSHA == "" {
		return true, nil
	}
	seen, err := f.git.TreeOf(ctx, f.merge.TestSHA)
	if err != nil {
		return false, err
	}
	now, err := f.git.TreeOf(ctx, m.New)
	return err == nil && now != seen, err
}

// mergeFacts are those about a pull request that is to be merged.
func (h *Host) mergeFacts(ctx context.Context, repo store.Repository, p store.Pull, rules *Protection, o MergeOptions) (*authority.Merge, error) {
	v, err := h.Judge(ctx, repo, p)
	if err != nil {
		return nil, err
	}
	out := &authority.Merge{Method: o.Method, Head: p.HeadRef, Unknown: v.State == "unknown", Reasons: v.Reasons, Final: v.Barred || v.State == "dirty" || v.State == "draft"}
	if rules != nil && rules.Checks != nil && rules.Checks.Merge && len(rules.Checks.Contexts) > 0 {
		missing, err := h.missingChecks(ctx, repo, rules, p)
		if err != nil {
			return nil, err
		}
		out.Checked = len(missing) == 0
	}
	return out, nil
}
