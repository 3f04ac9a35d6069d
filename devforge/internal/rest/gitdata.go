package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// Bounds of what one answer holds, as on GitHub.
const (
	maxFiles   = 300 // of a commit or comparison
	maxCommits = 250 // of a pull request or comparison
)

func (a *API) gitRoutes() {
	const repo = " /repos/{owner}/{repo}"
	a.handle("GET"+repo+"/branches", (*call).listBranches)
	// Names of branches have slashes, escaped or not.
	a.handle("GET"+repo+"/branches/{rest...}", (*call).branchPath)
	a.handle("PUT"+repo+"/branches/{rest...}", (*call).branchPath)
	a.handle("DELETE"+repo+"/branches/{rest...}", (*call).branchPath)
	a.handle("POST"+repo+"/git/refs", (*call).createRef)
	a.handle("GET"+repo+"/commits", (*call).listCommits)
	a.handle("GET"+repo+"/commits/{rest...}", (*call).commitPath)
	a.handle("GET"+repo+"/compare/{basehead...}", (*call).compare)
	a.handle("GET"+repo+"/contents/{path...}", (*call).contents)
	a.handle("PUT"+repo+"/contents/{path...}", (*call).putContents)
}

func (c *call) git() (*git.Repo, error) { return c.host.Git(c.repo) }

// htmlOf turns an address of the API into one of the pages.
func (a *API) htmlOf(at string) string {
	return strings.Replace(at, a.opts.URL+"/repos", a.opts.WebURL, 1)
}

func one(ctx context.Context, g *git.Repo, id string) (git.Detail, error) {
	list, err := g.Details(ctx, id, git.DetailOptions{Limit: 1})
	if err == nil && len(list) == 0 {
		err = git.ErrNotFound
	}
	if err != nil {
		return git.Detail{}, err
	}
	return list[0], nil
}

func signature(s git.Signature) obj {
	return obj{"name": s.Name, "email": s.Email, "date": s.When.Format(time.RFC3339)}
}

func unsigned() obj {
	return obj{"verified": false, "reason": "unsigned", "signature": nil, "payload": nil, "verified_at": nil}
}

func (a *API) commit(ctx context.Context, repo store.Repository, d git.Detail) (obj, error) {
	at, err := a.placeOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	account := func(s git.Signature) (any, error) {
		return once(ctx, func(m *memo) map[string]any { return m.authors }, s.Email, func() (any, error) {
			u, err := a.store.AccountByEmail(ctx, s.Email)
			if errors.Is(err, store.ErrNotFound) {
				return nil, nil
			}
			return a.user(u), err
		})
	}
	author, err := account(d.Author)
	if err != nil {
		return nil, err
	}
	committer, err := account(d.Committer)
	if err != nil {
		return nil, err
	}
	parents := []obj{}
	for _, p := range d.Parents {
		parents = append(parents, obj{"sha": p, "url": at + "/commits/" + p, "html_url": a.htmlOf(at) + "/commit/" + p})
	}
	return obj{
		"sha": d.ID, "node_id": nodeID("Commit", d.ID), "url": at + "/commits/" + d.ID, "html_url": a.htmlOf(at) + "/commit/" + d.ID,
		"comments_url": at + "/commits/" + d.ID + "/comments", "author": author, "committer": committer, "parents": parents,
		"commit": obj{
			"url": at + "/git/commits/" + d.ID, "author": signature(d.Author), "committer": signature(d.Committer), "message": d.Message, "comment_count": 0,
			"tree":         obj{"sha": d.Tree, "url": at + "/git/trees/" + d.Tree},
			"verification": unsigned(),
		},
	}, nil
}

func (a *API) file(at, head string, f git.FileChange) obj {
	o := obj{
		"sha": f.Blob, "filename": f.Path, "status": f.Status, "additions": f.Additions, "deletions": f.Deletions, "changes": f.Additions + f.Deletions,
		"blob_url": a.htmlOf(at) + "/blob/" + head + "/" + escape(f.Path), "raw_url": a.htmlOf(at) + "/raw/" + head + "/" + escape(f.Path),
		"contents_url": at + "/contents/" + escape(f.Path) + "?ref=" + head,
	}
	if f.Patch != "" {
		o["patch"] = f.Patch
	}
	if f.Previous != "" {
		o["previous_filename"] = f.Previous
	}
	return o
}

func (c *call) listCommits() error {
	q := c.r.URL.Query()
	rev := q.Get("sha")
	if rev == "" {
		rev = c.repo.DefaultBranch
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	id, err := c.resolve(g, rev)
	if err != nil {
		return err
	}
	// One more than the page has says whether there is a next one.
	p := c.page()
	details, err := g.Details(c.ctx, id, git.DetailOptions{Skip: p.offset(), Limit: p.size + 1, Path: strings.Trim(q.Get("path"), "/")})
	if err != nil {
		return err
	}
	total := p.offset() + len(details)
	c.link(p, total)
	ctx := shared(c.ctx)
	list, err := each(details[:min(p.size, len(details))], func(d git.Detail) (obj, error) { return c.commit(ctx, c.repo, d) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

// resolve finds a commit by a branch, a tag or an id.
func (c *call) resolve(g *git.Repo, rev string) (string, error) {
	rev = strings.TrimPrefix(rev, "refs/")
	// heads/ and tags/ name the one kind; anything with ~ or ^ is git's, not
	// GitHub's.
	if strings.ContainsAny(rev, "~^@{}") && git.CheckBranchName(rev) != nil {
		return "", notFound()
	}
	for _, kind := range []string{"heads/", "tags/"} {
		if strings.HasPrefix(rev, kind) {
			if ref, err := g.Ref(c.ctx, "refs/"+rev); err == nil {
				return g.Resolve(c.ctx, ref.ID)
			}
		}
	}
	id, err := g.Resolve(c.ctx, rev)
	if err != nil {
		return "", &httpError{status: http.StatusNotFound, message: "No commit found for SHA: " + rev}
	}
	return id, nil
}

// commitPath answers what is about one commit, whose name may have slashes.
func (c *call) commitPath() error {
	rest := c.r.PathValue("rest")
	g, err := c.git()
	if err != nil {
		return err
	}
	for suffix, fn := range map[string]func(*call, string) error{
		"/status": (*call).combinedStatus, "/check-runs": (*call).listChecks,
	} {
		if rev, ok := strings.CutSuffix(rest, suffix); ok {
			id, err := c.resolve(g, rev)
			if err != nil {
				return err
			}
			return fn(c, id)
		}
	}
	if sha, _, below := strings.Cut(rest, "/"); below && commitID.MatchString(sha) {
		return notFound() // something of a commit that is not served here
	}
	id, err := c.resolve(g, rest)
	if err != nil {
		if e := (*httpError)(nil); errors.As(err, &e) {
			e.status = http.StatusUnprocessableEntity // what GitHub says of a commit by itself
		}
		return err
	}
	d, err := one(c.ctx, g, id)
	if err != nil {
		return err
	}
	parent := ""
	if len(d.Parents) > 0 {
		parent = d.Parents[0]
	}
	if c.wantsDiff() {
		return c.answerDiff(g, parent, parent, id)
	}
	o, err := c.commit(c.ctx, c.repo, d)
	if err != nil {
		return err
	}
	files, err := g.Changes(c.ctx, parent, id)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	additions, deletions, shown := 0, 0, []obj{}
	for i, f := range files {
		additions, deletions = additions+f.Additions, deletions+f.Deletions
		if i < maxFiles {
			shown = append(shown, c.file(at, id, f))
		}
	}
	o["stats"] = obj{"additions": additions, "deletions": deletions, "total": additions + deletions}
	o["files"] = shown
	return c.answer(http.StatusOK, o)
}

// side resolves one side of a comparison: a revision, or OWNER:BRANCH.
func (c *call) side(g *git.Repo, name string) (string, error) {
	owner, branch, ok := strings.Cut(name, ":")
	if !ok {
		return c.resolve(g, name)
	}
	other, err := c.host.Related(c.ctx, c.repo, owner)
	if err != nil {
		return "", notFound()
	}
	from, err := c.host.Git(other)
	if err != nil {
		return "", err
	}
	id, err := from.Head(c.ctx, branch)
	if err != nil || id == "" {
		return "", notFound()
	}
	return id, g.CopyObjects(c.ctx, from, id)
}

func (c *call) compare() error {
	left, right, ok := strings.Cut(c.r.PathValue("basehead"), "...")
	if !ok {
		return notFound()
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	base, err := c.side(g, left)
	if err != nil {
		return err
	}
	head, err := c.side(g, right)
	if err != nil {
		return err
	}
	common, err := g.MergeBase(c.ctx, base, head)
	if err != nil {
		return err
	}
	if c.wantsDiff() {
		return c.answerDiff(g, common, base, head)
	}
	ahead, behind, err := g.AheadBehind(c.ctx, base, head)
	if err != nil {
		return err
	}
	status := "diverged"
	switch {
	case ahead == 0 && behind == 0:
		status = "identical"
	case behind == 0:
		status = "ahead"
	case ahead == 0:
		status = "behind"
	}
	details, err := oldestFirst(c.ctx, g, base, head)
	if err != nil {
		return err
	}
	ctx := shared(c.ctx)
	commits, err := each(details, func(d git.Detail) (obj, error) { return c.commit(ctx, c.repo, d) })
	if err != nil {
		return err
	}
	changes, err := g.Changes(c.ctx, common, head)
	if err != nil {
		return err
	}
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	files := []obj{}
	for _, f := range changes[:min(len(changes), maxFiles)] {
		files = append(files, c.file(at, head, f))
	}
	o := obj{"status": status, "ahead_by": ahead, "behind_by": behind, "total_commits": ahead, "commits": commits, "files": files}
	for name, id := range map[string]string{"base_commit": base, "merge_base_commit": common} {
		d, err := one(c.ctx, g, id)
		if err == nil {
			o[name], err = c.commit(c.ctx, c.repo, d)
		}
		if err != nil {
			return err
		}
	}
	path := "/compare/" + url.PathEscape(left) + "..." + url.PathEscape(right)
	html := c.htmlOf(at) + path
	o["url"], o["html_url"], o["permalink_url"], o["diff_url"], o["patch_url"] = at+path, html, c.htmlOf(at)+"/compare/"+base+"..."+head, html+".diff", html+".patch"
	return c.answer(http.StatusOK, o)
}

// oldestFirst returns the first commits of a pull request or comparison.
func oldestFirst(ctx context.Context, g *git.Repo, base, head string) ([]git.Detail, error) {
	details, err := g.Details(ctx, head, git.DetailOptions{Base: base, Limit: 10_000})
	for i, j := 0, len(details)-1; i < j; i, j = i+1, j-1 {
		details[i], details[j] = details[j], details[i]
	}
	return details[:min(len(details), maxCommits)], err
}
