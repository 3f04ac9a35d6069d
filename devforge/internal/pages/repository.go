package pages

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/markdown"
	"github.com/hubship/hubship/devforge/internal/store"
)

// pageSize is how many of something a page lists.
const pageSize = 100

// repositoryRow is a repository in a list.
type repositoryRow struct {
	Name, Parent, Description string
	Pulls                     int
	Pushed                    store.Time
}

func (v *visit) repositories() (view, error) {
	all, err := v.o.Host.Store.Repositories(v.ctx)
	if err != nil {
		return view{}, err
	}
	only := v.r.PathValue("owner")
	var rows []repositoryRow
	for _, r := range all {
		name := v.fullName(v.ctx, r.ID)
		if owner, _, _ := strings.Cut(name, "/"); only != "" && !strings.EqualFold(owner, only) {
			continue
		}
		_, open, err := v.o.Host.Store.Pulls(v.ctx, store.PullFilter{Repository: r.ID, State: "open", Limit: 1})
		if err != nil {
			return view{}, err
		}
		row := repositoryRow{Name: name, Description: r.Description, Pulls: open, Pushed: r.Pushed}
		if r.Parent != nil {
			row.Parent = v.fullName(v.ctx, *r.Parent)
		}
		rows = append(rows, row)
	}
	if only != "" && len(rows) == 0 {
		return view{}, store.ErrNotFound
	}
	return view{Page: "repositories", Title: "Repositories", Data: rows}, nil
}

// ref is a branch or commit within a path that begins with it.
type ref struct {
	Ref, Path string
}

// split finds the branch at the beginning of a path: names of branches have
// slashes too.
func (v *visit) split(at string) (ref, error) {
	at = strings.Trim(at, "/")
	if at == "" {
		return ref{Ref: v.repo.DefaultBranch}, nil
	}
	list, err := v.branchNames()
	if err != nil {
		return ref{}, err
	}
	best := ""
	for _, b := range list {
		if (at == b || strings.HasPrefix(at, b+"/")) && len(b) > len(best) {
			best = b
		}
	}
	if best == "" {
		best, _, _ = strings.Cut(at, "/")
	}
	return ref{Ref: best, Path: strings.Trim(strings.TrimPrefix(at, best), "/")}, nil
}

func (v *visit) branchNames() ([]string, error) {
	list, err := v.branchList(v.owner, v.name)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, b := range list {
		names = append(names, b.GetName())
	}
	return names, nil
}

func (v *visit) branchList(owner, name string) ([]*gh.Branch, error) {
	opts := &gh.BranchListOptions{ListOptions: gh.ListOptions{PerPage: 100}}
	var all []*gh.Branch
	for range 10 {
		list, resp, err := v.api.Repositories.ListBranches(v.ctx, owner, name, opts)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if opts.Page = resp.NextPage; opts.Page == 0 {
			break
		}
	}
	return all, nil
}

// treeData is a folder of a branch.
type treeData struct {
	ref
	Branches []string
	Crumbs   []crumb
	Entries  []*gh.RepositoryContent
	Readme   template.HTML
	Clone    string
	Own      string // OWNER/NAME of the visitor's own fork
	Empty    bool
	Last     *gh.RepositoryCommit
}

// crumb is a folder on the way to a file.
type crumb struct{ Name, Path string }

func crumbs(at string) []crumb {
	var all []crumb
	for i, part := range strings.Split(at, "/") {
		if part != "" {
			all = append(all, crumb{part, strings.Join(strings.Split(at, "/")[:i+1], "/")})
		}
	}
	return all
}

func (v *visit) repository() (view, error) { return v.folder(ref{Ref: v.repo.DefaultBranch}) }

func (v *visit) tree() (view, error) {
	at, err := v.split(v.r.PathValue("path"))
	if err != nil {
		return view{}, err
	}
	return v.folder(at)
}

func (v *visit) folder(at ref) (view, error) {
	d := treeData{ref: at, Crumbs: crumbs(at.Path), Clone: v.o.GitURL + "/" + v.owner + "/" + v.name + ".git"}
	var err error
	if d.Branches, err = v.branchNames(); err != nil {
		return view{}, err
	}
	title := v.owner + "/" + v.name
	if d.Own, err = v.ownFork(); err != nil {
		return view{}, err
	}
	if len(d.Branches) == 0 {
		d.Empty = true
		return view{Page: "repository", Title: title, Tab: "files", Data: d}, nil
	}
	file, list, _, err := v.api.Repositories.GetContents(v.ctx, v.owner, v.name, at.Path, &gh.RepositoryContentGetOptions{Ref: at.Ref})
	if err != nil {
		return view{}, err
	}
	if file != nil {
		return v.file(d, file)
	}
	slices.SortStableFunc(list, func(a, b *gh.RepositoryContent) int {
		if (a.GetType() == "dir") != (b.GetType() == "dir") {
			if a.GetType() == "dir" {
				return -1
			}
			return 1
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
	d.Entries = list
	last, _, err := v.api.Repositories.ListCommits(v.ctx, v.owner, v.name, &gh.CommitsListOptions{SHA: at.Ref, ListOptions: gh.ListOptions{PerPage: 1}})
	if err != nil {
		return view{}, err
	}
	if len(last) > 0 {
		d.Last = last[0]
	}
	for _, e := range list {
		if strings.EqualFold(e.GetName(), "README.md") && e.GetType() == "file" {
			readme, _, _, err := v.api.Repositories.GetContents(v.ctx, v.owner, v.name, e.GetPath(), &gh.RepositoryContentGetOptions{Ref: at.Ref})
			if err == nil && readme != nil {
				if text, err := readme.GetContent(); err == nil {
					d.Readme = markdown.HTML(v.path(), v.path("blob", escaped(at.Ref), escaped(at.Path)), text)
				}
			}
		}
	}
	return view{Page: "repository", Title: title, Tab: "files", Data: d}, nil
}

// ownFork is the visitor's own fork of the repository, "" when there is none.
func (v *visit) ownFork() (string, error) {
	forks, err := v.o.Host.Store.Forks(v.ctx, v.repo.ID)
	for _, f := range forks {
		if f.Owner == v.who.ID {
			return v.fullName(v.ctx, f.ID), err
		}
	}
	return "", err
}

// fileData is one file.
type fileData struct {
	treeData
	Lines  []string
	HTML   template.HTML // of Markdown
	Size   int
	Binary bool
	Plain  bool // shown as text although it could be rendered
}

// maxFile is how much of a file a page shows, in bytes.
const maxFile = 512 << 10

func (v *visit) file(d treeData, f *gh.RepositoryContent) (view, error) {
	out := fileData{treeData: d, Size: f.GetSize(), Plain: v.r.URL.Query().Has("plain")}
	text, err := f.GetContent()
	switch {
	case err != nil, out.Size > maxFile, !utf8.ValidString(text), strings.Contains(text, "\x00"):
		out.Binary = true
	case strings.EqualFold(path.Ext(d.Path), ".md") && !out.Plain:
		out.HTML = markdown.HTML(v.path(), v.path("blob", escaped(d.Ref), escaped(path.Dir(d.Path))), text)
	default:
		out.Lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	return view{Page: "file", Title: d.Path + " at " + d.Ref, Tab: "files", Data: out}, nil
}

// commitsData is the history of a branch.
type commitsData struct {
	ref
	Commits []*gh.RepositoryCommit
	Next    int
}

func (v *visit) commits() (view, error) {
	at, err := v.split(v.r.PathValue("path"))
	if err != nil {
		return view{}, err
	}
	d := commitsData{ref: at}
	opts := &gh.CommitsListOptions{SHA: at.Ref, Path: at.Path, ListOptions: gh.ListOptions{PerPage: pageSize, Page: page(v.r)}}
	list, resp, err := v.api.Repositories.ListCommits(v.ctx, v.owner, v.name, opts)
	if err != nil {
		return view{}, err
	}
	d.Commits, d.Next = list, resp.NextPage
	return view{Page: "commits", Title: "Commits on " + at.Ref, Tab: "commits", Data: d}, nil
}

// page is the number of a page of a list, from 1.
func page(r *http.Request) int {
	n := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("page"), &n) // nonsense is the first page
	return min(max(n, 1), 100_000)
}

// commitData is one commit.
type commitData struct {
	Commit   *gh.RepositoryCommit
	Title    string
	Body     string
	Files    []fileDiff
	More     int // files that are not shown
	Statuses []statusRow
}

func (v *visit) commit() (view, error) {
	c, _, err := v.api.Repositories.GetCommit(v.ctx, v.owner, v.name, v.r.PathValue("sha"), &gh.ListOptions{PerPage: 300})
	if err != nil {
		return view{}, err
	}
	d := commitData{Commit: c, Files: diffs(c.Files), More: max(0, len(c.Files)-shownFiles)}
	d.Title, d.Body, _ = strings.Cut(c.GetCommit().GetMessage(), "\n")
	if d.Statuses, err = v.statuses(c.GetSHA()); err != nil {
		return view{}, err
	}
	return view{Page: "commit", Title: d.Title, Tab: "commits", Data: d}, nil
}

// branchRow is a branch in the list of them.
type branchRow struct {
	Name, Commit  string
	Protected     bool
	Behind, Ahead int // of the default branch
	Rules         *host.Protection
}

// compared bounds how many branches are compared with the default one.
const compared = 30

func (v *visit) branches() (view, error) {
	list, err := v.branchList(v.owner, v.name)
	if err != nil {
		return view{}, err
	}
	var rows []branchRow
	for i, b := range list {
		row := branchRow{Name: b.GetName(), Commit: b.GetCommit().GetSHA()}
		if row.Rules, err = v.o.Host.Protection(v.ctx, v.repo, row.Name); err != nil {
			return view{}, err
		}
		row.Protected = row.Rules != nil
		if i < compared && row.Name != v.repo.DefaultBranch {
			c, _, err := v.api.Repositories.CompareCommits(v.ctx, v.owner, v.name, v.repo.DefaultBranch, row.Name, &gh.ListOptions{PerPage: 1})
			if err == nil {
				row.Ahead, row.Behind = c.GetAheadBy(), c.GetBehindBy()
			}
		}
		rows = append(rows, row)
	}
	return view{Page: "branches", Title: "Branches", Tab: "branches", Data: rows}, nil
}

func (v *visit) fork() (view, error) {
	made, _, err := v.api.Repositories.CreateFork(v.ctx, v.owner, v.name, &gh.RepositoryCreateForkOptions{})
	var accepted *gh.AcceptedError // that is GitHub's way to say that it did
	if err != nil && !errors.As(err, &accepted) {
		return view{}, err
	}
	return view{Goto: v.base.Path + "/" + made.GetFullName()}, nil
}

func (v *visit) sync() (view, error) {
	branch := v.r.PostForm.Get("branch")
	_, _, err := v.api.Repositories.MergeUpstream(v.ctx, v.owner, v.name, &gh.RepoMergeUpstreamRequest{Branch: &branch})
	if err != nil {
		return view{}, err
	}
	return view{Goto: v.path("tree", escaped(branch))}, nil
}

// escaped is a branch or path within a URL's path.
func escaped(name string) string {
	parts := strings.Split(name, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
