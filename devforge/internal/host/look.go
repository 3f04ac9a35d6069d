package host

import (
	"context"

	"github.com/hubship/hubship/devforge/internal/store"
)

// settled says that nothing happened to a pull request since it was last looked
// at: its branches are where they were, and no merge was begun.
func settled(p store.Pull, baseSHA, headSHA string) bool {
	return p.MergeSHA == "" && baseSHA != "" && p.TestBase == baseSHA && p.TestHead == headSHA && p.BaseSHA == baseSHA && p.HeadSHA == headSHA
}

// LookAll is Look for several pull requests of a repository. It asks git once
// for each repository that takes part, and not for each pull request.
func (h *Host) LookAll(ctx context.Context, repo store.Repository, list []store.Pull) ([]store.Pull, error) {
	branches := map[int64]map[string]string{}
	head := func(id int64, branch string) string {
		if known, ok := branches[id]; ok {
			return known[branch]
		}
		branches[id] = h.branchesOf(ctx, id)
		return branches[id][branch]
	}
	out := make([]store.Pull, 0, len(list))
	for _, p := range list {
		if !p.Open() || (p.HeadRepo != nil && settled(p, head(repo.ID, p.BaseRef), head(*p.HeadRepo, p.HeadRef))) {
			out = append(out, p)
			continue
		}
		fresh, err := h.Look(ctx, repo, p.Number)
		if err != nil {
			return nil, err
		}
		out = append(out, fresh)
	}
	return out, nil
}

// branchesOf returns where the branches of a repository are; none if that cannot
// be read, and Look will say why.
func (h *Host) branchesOf(ctx context.Context, id int64) map[string]string {
	repo, err := h.Store.Repository(ctx, id)
	if err != nil {
		return nil
	}
	g, err := h.Git(repo)
	if err != nil {
		return nil
	}
	branches, err := g.Branches(ctx)
	if err != nil {
		return nil
	}
	return branches
}
