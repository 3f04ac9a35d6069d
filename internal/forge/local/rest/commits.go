package rest

import (
	"net/http"
	"strings"

	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/git"
)

// maxLooked bounds the open pull requests that are searched for a commit.
const maxLooked = 100

// commitPulls answers with the pull requests that a commit belongs to: it is
// the head or the merge of one, or among the commits of one that is open.
func (c *call) commitPulls(sha string) error {
	found, _, err := c.store.Pulls(c.ctx, store.PullFilter{Repository: c.repo.ID, Commit: sha, State: "all", Limit: maxLooked})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if found, err = c.openWith(sha); err != nil {
			return err
		}
	}
	list, err := each(cut(c, found), func(p store.Pull) (obj, error) { return c.simplePull(c.ctx, c.repo, p) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

// openWith returns the open pull requests that would bring a commit.
func (c *call) openWith(sha string) ([]store.Pull, error) {
	g, err := c.git()
	if err != nil {
		return nil, err
	}
	open, _, err := c.store.Pulls(c.ctx, store.PullFilter{Repository: c.repo.ID, State: "open", Limit: maxLooked})
	if err != nil {
		return nil, err
	}
	var found []store.Pull
	for _, p := range open {
		in, err := g.IsAncestor(c.ctx, sha, p.HeadSHA)
		if err != nil || !in {
			continue // a head that is not here any more has no commits to look at
		}
		if merged, err := g.IsAncestor(c.ctx, sha, p.BaseSHA); err == nil && !merged {
			found = append(found, p)
		}
	}
	return found, nil
}

func (c *call) branchesWhereHead(sha string) error {
	list, err := c.branches(func(ref git.Ref, _ bool) bool { return ref.ID == sha })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, cut(c, list))
}

// branches renders the branches that wanted chooses.
func (c *call) branches(wanted func(ref git.Ref, protected bool) bool) ([]obj, error) {
	g, err := c.git()
	if err != nil {
		return nil, err
	}
	refs, err := g.Refs(c.ctx, "refs/heads/")
	if err != nil {
		return nil, err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return nil, err
	}
	rules, err := c.store.Protections(c.ctx, c.repo.ID)
	if err != nil {
		return nil, err
	}
	protected := map[string]bool{}
	for _, p := range rules {
		protected[p.Branch] = true
	}
	list := []obj{}
	for _, ref := range refs {
		name := strings.TrimPrefix(ref.Name, "refs/heads/")
		if wanted(ref, protected[name]) {
			list = append(list, obj{"name": name, "commit": obj{"sha": ref.ID, "url": at + "/commits/" + ref.ID}, "protected": protected[name]})
		}
	}
	return list, nil
}

// gitCommit renders a commit as Git has it.
func (a *API) gitCommit(at string, d git.Detail) obj {
	parents := []obj{}
	for _, p := range d.Parents {
		parents = append(parents, obj{"sha": p, "url": at + "/git/commits/" + p, "html_url": a.htmlOf(at) + "/commit/" + p})
	}
	return obj{
		"sha": d.ID, "node_id": nodeID("Commit", d.ID), "url": at + "/git/commits/" + d.ID, "html_url": a.htmlOf(at) + "/commit/" + d.ID,
		"author": signature(d.Author), "committer": signature(d.Committer), "message": d.Message, "parents": parents,
		"tree": obj{"sha": d.Tree, "url": at + "/git/trees/" + d.Tree}, "verification": unsigned(),
	}
}

func (c *call) getGitCommit() error {
	g, err := c.git()
	if err != nil {
		return err
	}
	sha := c.r.PathValue("sha")
	if id, err := g.Resolve(c.ctx, sha); err != nil || id != sha {
		return notFound()
	}
	d, err := one(c.ctx, g, sha)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, c.gitCommit(at, d))
}
