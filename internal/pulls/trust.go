package pulls

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Commands that people write as comments, each on a line of its own. An
// approval names the whole commit: another one that begins alike can be made.
var (
	approveCommand = regexp.MustCompile(`(?m)^ {0,3}/hubship approve ([0-9a-f]{40,64})\s*$`)
	againCommand   = regexp.MustCompile(`(?m)^ {0,3}/hubship check\s*$`)
)

// quoted are the parts of a comment that show text rather than say it: blocks
// between fences, of which one without an end goes on to the comment's, and what
// is hidden.
var quoted = regexp.MustCompile("(?ms)^ {0,3}(?:```.*?(?:^ {0,3}```|\\z)|~~~.*?(?:^ {0,3}~~~|\\z))|<!--.*?(?:-->|\\z)")

// said is what a person says with a comment: a command that it only shows, as
// whoever explains one does, is none. Four blanks make a block too, and a line
// that starts with them no command (see approveCommand).
func said(body string) string {
	return quoted.ReplaceAllString(strings.ReplaceAll(body, "\r\n", "\n"), "")
}

// Approval is the comment that lets hubship run what a head brings.
func Approval(head string) string { return "/hubship approve " + head }

// Again is the comment that has a check made once more.
const Again = "/hubship check"

// awaitingApproval says what the check of a pull request waits for, or "" when it need not
// wait: its head is a branch of the repository itself, or its author may write
// there, or had a pull request merged before; or somebody who may write
// approved just this head, by a comment or a review.
func (c *Controller) awaitingApproval(ctx context.Context, pr forge.PullRequest) (string, error) {
	if !pr.FromFork() {
		return "", nil
	}
	if known, err := c.writes(ctx, pr.Author); err != nil || known {
		return "", err
	}
	if known, err := c.trusts(ctx, pr.AuthorID); err != nil || known {
		return "", err
	}
	approved, err := c.approved(ctx, pr)
	if err != nil || approved {
		return "", err
	}
	return fmt.Sprintf("waiting for a maintainer: the first pull request by %s", pr.Author), nil
}

// TrustKey is what trust in an account is remembered under: the repository at
// its forge, and the account's number there. A login would not do: it can be
// renamed, and taken by somebody else.
func TrustKey(repo forge.Repository, account int64) string {
	return fmt.Sprintf("trusted/%s/%d", strings.ToLower(repo.String()), account)
}

// trust remembers that somebody had a pull request merged. An account that is
// gone (0) is nobody.
func (c *Controller) trust(ctx context.Context, account int64) error {
	if account == 0 {
		return nil
	}
	return c.o.Reports.SetReported(ctx, TrustKey(c.o.Forge.Repository(), account), "merged", "")
}

// earned trusts the author of a merged pull request, if somebody who may write
// approved this very head here. That a forge counts it as merged is not enough:
// it does so as soon as the base has the head, and anybody can propose a commit
// of somebody else's that is about to get there.
func (c *Controller) earned(ctx context.Context, pr forge.PullRequest) error {
	if known, err := c.trusts(ctx, pr.AuthorID); err != nil || known {
		return err
	}
	if pr.FromFork() {
		if approved, err := c.approved(ctx, pr); err != nil || !approved {
			return err
		}
	}
	return c.trust(ctx, pr.AuthorID)
}

// trusts says whether somebody had a pull request merged.
func (c *Controller) trusts(ctx context.Context, account int64) (bool, error) {
	if account == 0 {
		return false, nil
	}
	digest, _, err := c.o.Reports.Reported(ctx, TrustKey(c.o.Forge.Repository(), account))
	return digest != "", err
}

// writes says whether somebody may write to the repository.
func (c *Controller) writes(ctx context.Context, login string) (bool, error) {
	return c.may(ctx, login, forge.Write)
}

// permissions are those that were asked for at one look, by login: however many
// comments somebody writes, the forge is asked about them once.
type permissions map[string]forge.Permission

type permissionsKey struct{}

// askingOnce returns a context for one look at one pull request, by one goroutine.
func askingOnce(ctx context.Context) context.Context {
	if _, ok := ctx.Value(permissionsKey{}).(permissions); ok {
		return ctx
	}
	return context.WithValue(ctx, permissionsKey{}, permissions{})
}

// permission asks what somebody may do in the repository.
func (c *Controller) permission(ctx context.Context, login string) (forge.Permission, error) {
	known, ok := ctx.Value(permissionsKey{}).(permissions)
	if !ok {
		return c.o.Forge.Permission(ctx, login)
	}
	key := strings.ToLower(login)
	if p, ok := known[key]; ok {
		return p, nil
	}
	p, err := c.o.Forge.Permission(ctx, login)
	if err == nil {
		known[key] = p
	}
	return p, err
}

// may says whether somebody has a permission in the repository.
func (c *Controller) may(ctx context.Context, login string, what forge.Permission) (bool, error) {
	p, err := c.permission(ctx, login)
	if errors.Is(err, forge.ErrNotFound) || errors.Is(err, forge.ErrInvalid) {
		return false, nil
	}
	return err == nil && p.Includes(what), err
}

// people leaves hubship's own comments out: they tell the commands to people,
// and are none.
func (c *Controller) people(ctx context.Context, number int) ([]forge.Comment, error) {
	self, err := c.self(ctx)
	if err != nil {
		return nil, err
	}
	comments, err := c.o.Forge.Comments(ctx, number)
	return slices.DeleteFunc(comments, func(comment forge.Comment) bool { return strings.EqualFold(comment.Author, self) }), err
}

// approved says whether a person who may write approved the very head.
func (c *Controller) approved(ctx context.Context, pr forge.PullRequest) (bool, error) {
	self, err := c.self(ctx)
	if err != nil {
		return false, err
	}
	comments, err := c.people(ctx, pr.Number)
	if err != nil {
		return false, err
	}
	for _, comment := range comments {
		for _, m := range approveCommand.FindAllStringSubmatch(said(comment.Body), -1) {
			if same(comment.AuthorID, comment.Author, pr) || m[1] != pr.Head.Commit {
				continue
			}
			if ok, err := c.writes(ctx, comment.Author); err != nil || ok {
				return ok, err
			}
		}
	}
	reviews, err := c.o.Forge.Reviews(ctx, pr.Number)
	if err != nil {
		return false, err
	}
	for _, r := range forge.Verdicts(reviews) {
		if r.State != forge.Approved || r.Commit != pr.Head.Commit || same(r.AuthorID, r.Author, pr) || strings.EqualFold(r.Author, self) {
			continue
		}
		if ok, err := c.writes(ctx, r.Author); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// same says whether somebody is the author of a pull request.
func same(id int64, login string, pr forge.PullRequest) bool {
	return id != 0 && id == pr.AuthorID || strings.EqualFold(login, pr.Author)
}

// talk is what people asked for in the conversation of a pull request.
type talk struct {
	asked time.Time // newest request for another check; zero for none
	by    string
}

// talkAbout reads the conversation. The newest request counts; whoever may
// write or is the author may ask.
func (c *Controller) talkAbout(ctx context.Context, pr forge.PullRequest) (talk, error) {
	comments, err := c.people(ctx, pr.Number)
	if err != nil {
		return talk{}, err
	}
	for i := len(comments) - 1; i >= 0; i-- {
		comment := comments[i]
		if !againCommand.MatchString(said(comment.Body)) {
			continue
		}
		may := same(comment.AuthorID, comment.Author, pr)
		if !may {
			if may, err = c.writes(ctx, comment.Author); err != nil {
				return talk{}, err
			}
		}
		if may {
			return talk{asked: comment.Created, by: comment.Author}, nil
		}
	}
	return talk{}, nil
}

// again is why a check is made once more, or "".
func (t talk) again(r model.Run) string {
	// Forges tell times to the second.
	if t.asked.IsZero() || !t.asked.After(r.Created.Truncate(time.Second)) {
		return ""
	}
	return "requested by " + t.by
}

// Rerun has the newest check of a pull request made once more.
func (c *Controller) Rerun(ctx context.Context, number int, by string) error {
	pr, err := c.o.Forge.PullRequest(ctx, number)
	if err != nil {
		return err
	}
	if pr.State != forge.Open {
		return model.Usage(fmt.Errorf("pull request #%d is not open", number), "open it again first")
	}
	runs, err := c.checks(ctx, number)
	if err != nil {
		return err
	}
	if err := c.o.Repository.Fetch(ctx, number); err != nil {
		return err
	}
	base, err := c.o.Repository.Head(ctx, pr.Base.Branch)
	if err != nil {
		return err
	}
	now, err := c.o.Repository.Now(ctx)
	if err != nil && (ctx.Err() != nil || pr.Base.Branch != now.Branch) {
		return err
	}
	want, err := c.wanted(ctx, pr, base, now)
	if err != nil {
		return err
	}
	if _, err := c.check(ctx, runs, want, "requested by "+by); err != nil {
		return err
	}
	c.queue.Add(key{kind: keyPull, number: number})
	return nil
}

// again makes the check once more that somebody asked for at the forge.
func (c *Controller) again(e forge.CheckEvent) {
	ctx, cancel := context.WithTimeout(context.Background(), reconcileTimeout)
	defer cancel()
	c.mu.Lock()
	var numbers []int
	for n, pr := range c.open {
		if pr.Head.Commit == e.Commit {
			numbers = append(numbers, n)
		}
	}
	c.mu.Unlock()
	for _, n := range numbers {
		if err := c.Rerun(ctx, n, e.Sender); err != nil {
			c.o.Logger.Warn("pull requests: a check is not made again", "number", n, "error", err)
		}
	}
}
