package pages

import (
	"cmp"
	"strconv"
	"strings"

	gh "github.com/google/go-github/v89/github"
)

// pullsData is a list of pull requests.
type pullsData struct {
	State string
	Pulls []*gh.PullRequest
	Next  int
}

func (v *visit) pulls() (view, error) {
	d := pullsData{State: v.r.URL.Query().Get("state")}
	if d.State != "closed" && d.State != "all" {
		d.State = "open"
	}
	list, resp, err := v.api.PullRequests.List(v.ctx, v.owner, v.name, &gh.PullRequestListOptions{State: d.State, Sort: "updated", Direction: "desc", ListOptions: gh.ListOptions{PerPage: 50, Page: page(v.r)}})
	if err != nil {
		return view{}, err
	}
	d.Pulls, d.Next = list, resp.NextPage
	return view{Page: "pulls", Title: "Pull requests", Tab: "pulls", Refresh: 10, Data: d}, nil
}

// compareData is what a pull request would be.
type compareData struct {
	Base, Head string
	Bases      []string
	Heads      []string // branches, those of forks as owner:branch
	Compared   *gh.CommitsComparison
	Files      []fileDiff
	More       int
	Title      string
	Failed     string
}

func (v *visit) compare() (view, error) {
	q := v.r.URL.Query()
	d := compareData{Base: q.Get("base"), Head: q.Get("head")}
	if spec := v.r.PathValue("spec"); spec != "" {
		var ok bool
		if d.Base, d.Head, ok = strings.Cut(spec, "..."); !ok {
			d.Base, d.Head = "", spec
		}
	}
	d.Base = cmp.Or(d.Base, v.repo.DefaultBranch)
	var err error
	if d.Bases, err = v.branchNames(); err != nil {
		return view{}, err
	}
	if d.Heads, err = v.heads(d.Bases); err != nil {
		return view{}, err
	}
	out := view{Page: "compare", Title: "Open a pull request", Tab: "pulls"}
	if d.Head == "" {
		out.Data = d
		return out, nil
	}
	c, _, err := v.api.Repositories.CompareCommits(v.ctx, v.owner, v.name, d.Base, d.Head, &gh.ListOptions{PerPage: 250})
	if err != nil {
		_, d.Failed, _ = v.explain(v.r, err)
		out.Data = d
		return out, nil
	}
	d.Compared, d.Files, d.More = c, diffs(c.Files), max(0, len(c.Files)-shownFiles)
	if n := len(c.Commits); n > 0 {
		d.Title, _, _ = strings.Cut(c.Commits[n-1].GetCommit().GetMessage(), "\n")
	}
	out.Data = d
	return out, nil
}

// heads are branches that a pull request may come from: the repository's own,
// and those of the visitor's fork first.
func (v *visit) heads(own []string) ([]string, error) {
	fork, err := v.ownFork()
	if err != nil {
		return nil, err
	}
	var all []string
	if owner, name, ok := strings.Cut(fork, "/"); ok {
		list, err := v.branchList(owner, name)
		if err != nil {
			return nil, err
		}
		for _, b := range list {
			all = append(all, owner+":"+b.GetName())
		}
	}
	return append(all, own...), nil
}

func (v *visit) openPull() (view, error) {
	f := v.r.PostForm
	title, body, head, base, draft := f.Get("title"), f.Get("body"), f.Get("head"), f.Get("base"), f.Get("draft") != ""
	pr, _, err := v.api.PullRequests.Create(v.ctx, v.owner, v.name, &gh.NewPullRequest{Title: &title, Body: &body, Head: &head, Base: &base, Draft: &draft})
	if err != nil {
		return view{}, err
	}
	return view{Goto: v.path("pull", strconv.Itoa(pr.GetNumber()))}, nil
}
