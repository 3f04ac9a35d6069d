package pages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge/local/authority"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/model"
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

// pullData is what all pages of a pull request show.
type pullData struct {
	PR       *gh.PullRequest
	Number   int
	State    string // open, draft, merged or closed
	Counts   struct{ Commits, Files int }
	Statuses []statusRow
	Check    *model.Run

	Body     template.HTML
	Talk     []entry
	Verdict  host.Verdict
	Methods  []method
	Asked    []store.Account
	People   []store.Account // who may be asked for a review
	Author   bool            // the visitor wrote it
	MayClose bool
	Behind   bool
	Revert   bool

	Commits []*gh.RepositoryCommit
	Files   []fileDiff
	More    int
	Remarks []remark
	Threads []*thread // of files that the change does not have any more

	Lines  []model.Line
	After  int64
	Before bool // there are lines before those that are shown
	Final  bool
}

// method is a way to merge.
type method struct{ Name, Text string }

// statusRow is a status or a check run of a commit.
type statusRow struct{ State, Name, Text, URL string }

// entry is something in a conversation.
type entry struct {
	At    time.Time
	Who   string
	Kind  string // comment, approved, changes, commented, dismissed, merged, closed, line
	Body  template.HTML
	Extra string
	ID    string
	On    *thread // of a line
}

func (v *visit) statuses(sha string) ([]statusRow, error) {
	var rows []statusRow
	combined, _, err := v.api.Repositories.GetCombinedStatus(v.ctx, v.owner, v.name, sha, &gh.ListOptions{PerPage: 100})
	if err != nil {
		return nil, err
	}
	for _, s := range combined.Statuses {
		rows = append(rows, statusRow{s.GetState(), s.GetContext(), s.GetDescription(), s.GetTargetURL()})
	}
	slices.SortFunc(rows, func(a, b statusRow) int { return cmp.Compare(a.Name, b.Name) })
	return rows, nil
}

// look reads what all pages of a pull request show.
func (v *visit) look() (pullData, store.Pull, error) {
	var d pullData
	n, err := strconv.Atoi(v.r.PathValue("number"))
	if err != nil {
		return d, store.Pull{}, store.ErrNotFound
	}
	d.Number = n
	stored, err := v.o.Host.Look(v.ctx, v.repo, int64(n))
	if err != nil {
		return d, stored, err
	}
	if d.PR, _, err = v.api.PullRequests.Get(v.ctx, v.owner, v.name, n); err != nil {
		return d, stored, err
	}
	d.Counts.Commits, d.Counts.Files = d.PR.GetCommits(), d.PR.GetChangedFiles()
	switch {
	case d.PR.GetMerged():
		d.State = "merged"
	case d.PR.GetState() == "closed":
		d.State = "closed"
	case d.PR.GetDraft():
		d.State = "draft"
	default:
		d.State = "open"
	}
	if d.Statuses, err = v.statuses(d.PR.GetHead().GetSHA()); err != nil {
		return d, stored, err
	}
	if v.drives() && v.o.Check != nil {
		run, ok, err := v.o.Check(v.ctx, n)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d, stored, err
		}
		if ok {
			d.Check = &run
		}
	}
	return d, stored, nil
}

func (d pullData) title() string { return fmt.Sprintf("%s #%d", d.PR.GetTitle(), d.Number) }

// asText is a pull request as `git apply` or `git am` takes it, at its address
// with .diff or .patch.
func (v *visit) asText(number string, how gh.RawType) (view, error) {
	n, err := strconv.Atoi(number)
	if err != nil {
		return view{}, store.ErrNotFound
	}
	text, _, err := v.api.PullRequests.GetRaw(v.ctx, v.owner, v.name, n, gh.RawOptions{Type: how})
	return view{Text: text}, err
}

func (v *visit) pull() (view, error) {
	for suffix, how := range map[string]gh.RawType{".diff": gh.Diff, ".patch": gh.Patch} {
		if number, ok := strings.CutSuffix(v.r.PathValue("number"), suffix); ok {
			return v.asText(number, how)
		}
	}
	d, stored, err := v.look()
	if err != nil {
		return view{}, err
	}
	d.Body = v.markdown(d.PR.GetBody())
	if d.Talk, err = v.talk(d.PR); err != nil {
		return view{}, err
	}
	d.Author = stored.Author == v.who.ID
	d.MayClose = d.Author || v.writes
	d.Methods = []method{{"merge", "Merge commit"}, {"squash", "Squash"}, {"rebase", "Rebase"}}
	if d.State == "open" || d.State == "draft" {
		if d.Verdict, err = v.o.Host.Judge(v.ctx, v.repo, stored); err != nil {
			return view{}, err
		}
		d.Behind = v.behind(d.PR)
		if d.Asked, err = v.o.Host.Store.RequestedReviewers(v.ctx, stored.ID); err != nil {
			return view{}, err
		}
		if d.People, err = v.reviewers(stored); err != nil {
			return view{}, err
		}
	}
	rules, err := v.o.Host.Protection(v.ctx, v.repo, stored.BaseRef)
	if err != nil {
		return view{}, err
	}
	// Where changes come from another branch alone, they are taken back there.
	d.Revert = d.State == "merged" && v.writes && v.drives() && v.o.Revert != nil && (rules == nil || len(rules.Heads) == 0)
	if rules != nil && len(rules.Heads) > 0 {
		d.Methods = d.Methods[:1]
	}
	out := view{Page: "pull", Title: d.title(), Tab: "talk", Refresh: 3, Data: d}
	if d.Check != nil && d.Check.State.Final() {
		out.Refresh = 10 // what people do
	}
	if d.State == "closed" || d.State == "merged" && time.Since(d.PR.GetMergedAt().Time) > 24*time.Hour {
		out.Refresh = 0
	}
	return out, nil
}

// behind says that the base has what the head has not.
func (v *visit) behind(pr *gh.PullRequest) bool {
	c, _, err := v.api.Repositories.CompareCommits(v.ctx, v.owner, v.name, pr.GetBase().GetRef(), pr.GetHead().GetSHA(), &gh.ListOptions{PerPage: 1})
	return err == nil && c.GetBehindBy() > 0
}

// reviewers are those whose review counts, but for the author.
func (v *visit) reviewers(p store.Pull) ([]store.Account, error) {
	all, err := v.o.Host.Store.Accounts(v.ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(a store.Account) bool {
		role, err := v.o.Host.Role(a, v.repo)
		return err != nil || a.Kind != store.User || a.Disabled || a.ID == p.Author || a.Login == v.o.Own || !host.Writes(role)
	}), nil
}

// talk is the conversation, oldest first.
func (v *visit) talk(pr *gh.PullRequest) ([]entry, error) {
	var all []entry
	comments := &gh.IssueListCommentsOptions{ListOptions: gh.ListOptions{PerPage: 100}}
	for range 10 {
		list, resp, err := v.api.Issues.ListComments(v.ctx, v.owner, v.name, pr.GetNumber(), comments)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			e := entry{At: c.GetCreatedAt().Time, Who: c.GetUser().GetLogin(), Kind: "comment", Body: v.markdown(c.GetBody()), ID: fmt.Sprintf("issuecomment-%d", c.GetID())}
			if u := c.GetUpdatedAt().Time; u.Sub(e.At) > time.Minute {
				e.Extra = "edited"
			}
			all = append(all, e)
		}
		if comments.Page = resp.NextPage; comments.Page == 0 {
			break
		}
	}
	kinds := map[string]string{"APPROVED": "approved", "CHANGES_REQUESTED": "changes", "COMMENTED": "commented", "DISMISSED": "dismissed"}
	reviews := &gh.ListOptions{PerPage: 100}
	for range 10 {
		list, resp, err := v.api.PullRequests.ListReviews(v.ctx, v.owner, v.name, pr.GetNumber(), reviews)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			kind, ok := kinds[r.GetState()]
			if !ok || kind == "commented" && r.GetBody() == "" { // that has comments on lines alone
				continue
			}
			all = append(all, entry{At: r.GetSubmittedAt().Time, Who: r.GetUser().GetLogin(), Kind: kind, Body: v.markdown(r.GetBody()), Extra: r.GetCommitID(), ID: fmt.Sprintf("pullrequestreview-%d", r.GetID())})
		}
		if reviews.Page = resp.NextPage; reviews.Page == 0 {
			break
		}
	}
	threads, err := v.threads(pr.GetNumber())
	if err != nil {
		return nil, err
	}
	for _, t := range threads {
		all = append(all, entry{At: t.Said[0].At, Kind: "line", ID: fmt.Sprintf("discussion_r%d", t.ID), On: t})
	}
	switch {
	case pr.GetMerged():
		all = append(all, entry{At: pr.GetMergedAt().Time, Who: pr.GetMergedBy().GetLogin(), Kind: "merged", Extra: pr.GetMergeCommitSHA()})
	case pr.GetState() == "closed":
		all = append(all, entry{At: pr.GetClosedAt().Time, Kind: "closed"})
	}
	slices.SortStableFunc(all, func(a, b entry) int { return a.At.Compare(b.At) })
	return all, nil
}

func (v *visit) pullCommits() (view, error) {
	d, _, err := v.look()
	if err != nil {
		return view{}, err
	}
	opts := &gh.ListOptions{PerPage: 100}
	for range 3 {
		list, resp, err := v.api.PullRequests.ListCommits(v.ctx, v.owner, v.name, d.Number, opts)
		if err != nil {
			return view{}, err
		}
		d.Commits = append(d.Commits, list...)
		if opts.Page = resp.NextPage; opts.Page == 0 {
			break
		}
	}
	return view{Page: "pull", Title: d.title(), Tab: "commits", Data: d}, nil
}

func (v *visit) pullFiles() (view, error) {
	d, _, err := v.look()
	if err != nil {
		return view{}, err
	}
	var files []*gh.CommitFile
	opts := &gh.ListOptions{PerPage: 100}
	for len(files) < shownFiles {
		list, resp, err := v.api.PullRequests.ListFiles(v.ctx, v.owner, v.name, d.Number, opts)
		if err != nil {
			return view{}, err
		}
		files = append(files, list...)
		if opts.Page = resp.NextPage; opts.Page == 0 {
			break
		}
	}
	d.Files = diffs(files)
	d.More = max(0, d.Counts.Files-len(d.Files))
	remarks, err := v.remarks(d.PR.GetHead().GetSHA())
	if err != nil {
		return view{}, err
	}
	remarked(d.Files, remarks)
	threads, err := v.threads(d.Number)
	if err != nil {
		return view{}, err
	}
	var forms *lineForms
	if d.State == "open" || d.State == "draft" {
		forms = &lineForms{At: v.path("pull", strconv.Itoa(d.Number)), Form: v.session.Form, Head: d.PR.GetHead().GetSHA()}
	}
	d.Threads = talked(d.Files, threads, forms)
	if q := v.r.URL.Query(); forms != nil {
		write(d.Files, q.Get("path"), q.Get("line"))
	}
	return view{Page: "pull", Title: d.title(), Tab: "files", Data: d}, nil
}

// shownLines is how much of a log the page of a check shows.
const shownLines = 1000

func (v *visit) pullChecks() (view, error) {
	d, _, err := v.look()
	if err != nil {
		return view{}, err
	}
	if d.Remarks, err = v.remarks(d.PR.GetHead().GetSHA()); err != nil {
		return view{}, err
	}
	out := view{Page: "pull", Title: d.title(), Tab: "checks", Data: d}
	if d.Check == nil {
		out.Refresh = 3
		return out, nil
	}
	d.Final = d.Check.State.Final()
	if !d.Final {
		out.Refresh = 3
	}
	if v.o.Lines != nil {
		if err := v.log(v.ctx, &d); err != nil {
			return view{}, err
		}
	}
	out.Data = d
	return out, nil
}

// log reads the end of a check's log.
func (v *visit) log(ctx context.Context, d *pullData) error {
	for {
		lines, err := v.o.Lines(ctx, d.Check.ID, d.After, 1000)
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			return nil
		}
		d.After = lines[len(lines)-1].Seq
		if d.Lines = append(d.Lines, lines...); len(d.Lines) > shownLines {
			d.Lines, d.Before = d.Lines[len(d.Lines)-shownLines:], true
		}
	}
}

// act does what a form of a pull request asks for.
func (v *visit) act() (view, error) {
	n, err := strconv.Atoi(v.r.PathValue("number"))
	if err != nil {
		return view{}, store.ErrNotFound
	}
	f := v.r.PostForm
	body, head := strings.TrimSpace(strings.ReplaceAll(f.Get("body"), "\r\n", "\n")), f.Get("head")
	to := view{Goto: v.path("pull", strconv.Itoa(n))}
	state := ""
	switch v.r.PathValue("what") {
	case "comment":
		_, _, err = v.api.Issues.CreateComment(v.ctx, v.owner, v.name, n, &gh.IssueComment{Body: &body})
	case "line":
		var id int64
		if id, err = v.sayOfLine(n, body, head); err == nil {
			to.Goto += fmt.Sprintf("/files#discussion_r%d", id)
		}
	case "review":
		event := f.Get("event")
		review := &gh.PullRequestReviewRequest{Event: &event, CommitID: &head}
		if body != "" {
			review.Body = &body
		}
		_, _, err = v.api.PullRequests.CreateReview(v.ctx, v.owner, v.name, n, review)
	case "request":
		_, _, err = v.api.PullRequests.RequestReviewers(v.ctx, v.owner, v.name, n, gh.ReviewersRequest{Reviewers: []string{f.Get("reviewer")}})
	case "merge":
		_, _, err = v.api.PullRequests.Merge(v.ctx, v.owner, v.name, n, "", &gh.PullRequestOptions{SHA: head, MergeMethod: f.Get("method")})
	case "update":
		_, _, err = v.api.PullRequests.UpdateBranch(v.ctx, v.owner, v.name, n, &gh.PullRequestBranchUpdateOptions{ExpectedHeadSHA: &head})
		var accepted *gh.AcceptedError // that is GitHub's way to say that it did
		if errors.As(err, &accepted) {
			err = nil
		}
	case "edit":
		title := strings.TrimSpace(f.Get("title"))
		_, _, err = v.api.PullRequests.Edit(v.ctx, v.owner, v.name, n, &gh.PullRequest{Title: &title})
	case "close":
		state = "closed"
	case "reopen":
		state = "open"
	case "revert":
		if v.ask(authority.Actions[authority.Revert]) != nil || !v.drives() || v.o.Revert == nil {
			return view{}, refuse(http.StatusForbidden, "You may not take this back.", "ask somebody who may write to this repository")
		}
		var opened int
		if opened, err = v.o.Revert(v.ctx, n, v.who.Login); err == nil {
			to.Goto = v.path("pull", strconv.Itoa(opened))
		}
	default:
		return view{}, store.ErrNotFound
	}
	if state != "" {
		_, _, err = v.api.PullRequests.Edit(v.ctx, v.owner, v.name, n, &gh.PullRequest{State: &state})
	}
	return to, err
}
