package pages

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
)

// pullData is what all pages of a pull request show.
type pullData struct {
	PR       *gh.PullRequest
	Number   int
	State    string // open, draft, merged or closed
	Counts   struct{ Commits, Files int }
	Statuses []statusRow
	Checked  string // what the statuses and check runs come to; empty when there is none
	Busy     bool   // something of it is under way
	checks   []*gh.CheckRun

	Body     template.HTML
	Talk     []entry
	Verdict  host.Verdict
	Methods  []method
	Asked    []store.Account
	People   []store.Account // who may be asked for a review
	Author   bool            // the visitor wrote it
	MayClose bool
	Behind   bool
	Revert   bool // the visitor may have hubship revert it
	Asks     bool // the visitor did, and hubship has not answered yet

	Commits []*gh.RepositoryCommit
	Files   []fileDiff
	More    int
	Remarks []remark
	Threads []*thread // of files that the change does not have any more

	Checks []checkRow
	Runs   []run
}

// method is a way to merge.
type method struct{ Name, Text string }

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
	if d.checks, err = v.checks(d.PR.GetHead().GetSHA()); err != nil {
		return d, stored, err
	}
	d.Checked, d.Busy = summed(d.Statuses, d.checks)
	return d, stored, nil
}

// refresh is how many seconds are between two looks at the pull request.
func (d pullData) refresh() int {
	switch {
	case d.Asks:
		return 3
	case d.State == "closed", d.State == "merged" && time.Since(d.PR.GetMergedAt().Time) > 24*time.Hour:
		return 0
	case d.Checked == "" || d.Busy:
		return 3
	}
	return 10 // what people do
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
	d.Revert = d.State == "merged" && v.writes && v.drives() && (rules == nil || len(rules.Heads) == 0)
	d.Asks = d.Revert && v.asksRevert(d.Talk)
	if rules != nil && len(rules.Heads) > 0 {
		d.Methods = d.Methods[:1]
	}
	return view{Page: "pull", Title: d.title(), Tab: "talk", Refresh: d.refresh(), Data: d}, nil
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
	remarks, err := v.remarks(d.checks)
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
		// What the comment asks for is hubship's to decide.
		if !v.writes || !v.drives() {
			return view{}, refuse(http.StatusForbidden, "You cannot revert this.", "ask somebody with write access to this repository")
		}
		_, _, err = v.api.Issues.CreateComment(v.ctx, v.owner, v.name, n, &gh.IssueComment{Body: new(revertCommand)})
	default:
		return view{}, store.ErrNotFound
	}
	if state != "" {
		_, _, err = v.api.PullRequests.Edit(v.ctx, v.owner, v.name, n, &gh.PullRequest{State: &state})
	}
	return to, err
}
