package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// maxLineComments bounds the comments on lines of one review.
const maxLineComments = 200

func (a *API) lineRoutes() {
	const pulls = " /repos/{owner}/{repo}/pulls"
	a.handle("GET"+pulls+"/{number}/comments", (*call).listLineComments)
	a.handle("POST"+pulls+"/{number}/comments", (*call).createLineComment)
	a.handle("PATCH"+pulls+"/comments/{id}", (*call).editLineComment)
}

// numberOn is the number of a line on a side of the diff; 0 where it is not.
func numberOn(l git.PatchLine, side string) int {
	if side == store.Left {
		return l.Old
	}
	return l.New
}

// hunkAt is the index of the heading above a line.
func hunkAt(lines []git.PatchLine, i int) int {
	for i > 0 && lines[i].Kind != '@' {
		i--
	}
	return i
}

// lineInput is a comment on a line as clients write it.
type lineInput struct {
	Body      string `json:"body"`
	SHA       string `json:"commit_id"`
	Path      string `json:"path"`
	Side      string `json:"side"`
	Line      int    `json:"line"`
	StartSide string `json:"start_side"`
	StartLine int    `json:"start_line"`
	Position  int    `json:"position"`
	Subject   string `json:"subject_type"`
	ReplyTo   int64  `json:"in_reply_to"`
}

func invalidLine(field, message string) error {
	return invalid("PullRequestReviewComment", field, "custom", message)
}

func (in lineInput) check() error {
	switch {
	case strings.TrimSpace(in.Body) == "":
		return invalidLine("body", "body can't be blank")
	case len([]rune(in.Body)) > host.MaxBody:
		return invalidLine("body", fmt.Sprintf("body is too long (maximum is %d characters)", host.MaxBody))
	}
	return nil
}

// place finds the line in the changes, and returns the comment on it.
func (in lineInput) place(changes []git.FileChange) (*store.LineComment, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if in.Side == "" {
		in.Side = store.Right
	}
	if in.StartSide == "" {
		in.StartSide = in.Side
	}
	at := slices.IndexFunc(changes, func(f git.FileChange) bool { return f.Path == in.Path })
	switch {
	case in.Path == "":
		return nil, invalid("PullRequestReviewComment", "path", "missing_field", "")
	case at < 0:
		return nil, invalidLine("path", "path is not part of the change")
	case in.Subject == "file":
		return nil, invalidLine("subject_type", "comments on whole files are not supported here: choose a line")
	case in.Side != store.Left && in.Side != store.Right || in.StartSide != store.Left && in.StartSide != store.Right:
		return nil, invalidLine("side", "side must be LEFT or RIGHT")
	case in.Line < 1 && in.Position < 1:
		return nil, invalid("PullRequestReviewComment", "line", "missing_field", "")
	}
	f := changes[at]
	lines := git.PatchLines(f.Patch)
	if in.Line < 1 { // by its position: lines below the first @@, which clients counted by once
		if in.Position >= len(lines) || lines[in.Position].Old+lines[in.Position].New == 0 {
			return nil, invalidLine("position", "position must be part of the diff")
		}
		l := lines[in.Position]
		if in.Side, in.Line = store.Right, l.New; in.Line == 0 {
			in.Side, in.Line = store.Left, l.Old
		}
		in.StartLine = 0
	}
	end := slices.IndexFunc(lines, func(l git.PatchLine) bool { return numberOn(l, in.Side) == in.Line })
	if end < 0 {
		return nil, invalidLine("line", "line must be part of the diff")
	}
	hunk := hunkAt(lines, end)
	if in.StartLine > 0 {
		begin := slices.IndexFunc(lines, func(l git.PatchLine) bool { return numberOn(l, in.StartSide) == in.StartLine })
		if begin < 0 || begin > end || hunkAt(lines, begin) != hunk {
			return nil, invalidLine("start_line", "start_line must be above line in the same part of the diff")
		}
		if begin == end || in.StartSide != in.Side {
			in.StartLine = 0
		}
	}
	return &store.LineComment{Path: f.Path, Side: in.Side, Line: in.Line, StartLine: in.StartLine, Position: end, Blob: f.Blob, Body: in.Body,
		Hunk: strings.Join(strings.Split(f.Patch, "\n")[hunk:end+1], "\n")}, nil
}

// aboutCommit returns the commit that a review is about: the head, or one on the
// way to it.
func (c *call) aboutCommit(g *git.Repo, p store.Pull, sha string) (string, error) {
	if sha == "" || sha == p.HeadSHA {
		return p.HeadSHA, nil
	}
	if id, err := g.Resolve(c.ctx, sha); err != nil || id != sha {
		return "", plain("commit_id is not part of the pull request")
	}
	if ok, err := g.IsAncestor(c.ctx, sha, p.HeadSHA); err != nil || !ok {
		return "", plain("commit_id is not part of the pull request")
	}
	return sha, nil
}

// placeLines places the comments of a review.
func (c *call) placeLines(g *git.Repo, p store.Pull, sha string, in []lineInput) ([]*store.LineComment, error) {
	if len(in) == 0 {
		return nil, nil
	}
	if len(in) > maxLineComments {
		return nil, plain(fmt.Sprintf("a review can have at most %d comments on lines", maxLineComments))
	}
	p.HeadSHA = sha
	changes, err := pullChanges(c.ctx, g, p)
	if err != nil {
		return nil, err
	}
	var all []*store.LineComment
	for _, i := range in {
		m, err := i.place(changes)
		if err != nil {
			return nil, err
		}
		m.SHA = sha
		all = append(all, m)
	}
	return all, nil
}

// createLineComment adds a comment on a line, as a review of its own, or a reply
// to one.
func (c *call) createLineComment() error {
	var in lineInput
	if err := c.read(&in); err != nil {
		return err
	}
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	if in.ReplyTo != 0 {
		return c.reply(p, in.ReplyTo, in.Body)
	}
	g, err := c.git()
	if err != nil {
		return err
	}
	sha, err := c.aboutCommit(g, p, in.SHA)
	if err != nil {
		return err
	}
	placed, err := c.placeLines(g, p, sha, []lineInput{in})
	if err != nil {
		return err
	}
	return c.addLineComment(p, placed[0])
}

// reply adds to the thread of a comment.
func (c *call) reply(p store.Pull, to int64, body string) error {
	if err := (lineInput{Body: body}).check(); err != nil {
		return err
	}
	m, of, err := c.store.LineComment(c.ctx, c.repo.ID, to)
	if err != nil {
		return err
	}
	if of.ID != p.ID {
		return notFound()
	}
	if m.ReplyTo == 0 {
		m.ReplyTo = m.ID
	}
	m.ID, m.Body = 0, body
	return c.addLineComment(p, &m)
}

func (c *call) addLineComment(p store.Pull, m *store.LineComment) error {
	r := store.Review{Pull: p.ID, Author: c.who.ID, State: store.Commented, SHA: m.SHA, Submitted: store.Now()}
	if err := c.store.AddReview(c.ctx, &r, m); err != nil {
		return err
	}
	c.tellReview("submitted", p, r)
	c.tellLine("created", p, *m, "")
	return c.answerLineComment(http.StatusCreated, p, *m)
}

func (c *call) tellLine(action string, p store.Pull, m store.LineComment, before string) {
	c.host.Publish(c.ctx, host.Event{Name: "pull_request_review_comment", Action: action, Repo: c.repo, Sender: c.who, Pull: &p, Line: &m, Before: before})
}

func (c *call) editLineComment() error {
	var in lineInput
	if err := c.read(&in); err != nil {
		return err
	}
	if err := in.check(); err != nil {
		return err
	}
	id, err := c.number("id")
	if err != nil {
		return err
	}
	m, p, err := c.store.LineComment(c.ctx, c.repo.ID, id)
	if err != nil {
		return err
	}
	if err := c.may(authority.ChangeComment, m.Author); err != nil {
		return err
	}
	before := m.Body
	if err := c.store.SetLineComment(c.ctx, &m, in.Body); err != nil {
		return err
	}
	if before != in.Body {
		c.tellLine("edited", p, m, before)
	}
	return c.answerLineComment(http.StatusOK, p, m)
}

func (c *call) listLineComments() error {
	p, err := c.lookAt()
	if err != nil {
		return err
	}
	all, err := c.store.LineComments(c.ctx, p.ID)
	if err != nil {
		return err
	}
	q := c.r.URL.Query()
	if s := q.Get("since"); s != "" {
		since, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return invalid("PullRequestReviewComment", "since", "invalid", "")
		}
		all = slices.DeleteFunc(all, func(m store.LineComment) bool { return m.Updated.Before(since) })
	}
	if q.Get("sort") != "" && q.Get("direction") != "asc" {
		slices.Reverse(all)
	}
	return c.answerLines(p, all)
}

func (c *call) answerLines(p store.Pull, all []store.LineComment) error {
	part := cut(c, all)
	if len(part) == 0 {
		return c.answer(http.StatusOK, []obj{})
	}
	now, err := c.blobsOf(c.ctx, c.repo, p)
	if err != nil {
		return err
	}
	ctx := shared(c.ctx)
	list, err := each(part, func(m store.LineComment) (obj, error) { return c.lineComment(ctx, c.repo, p, m, now) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, list)
}

func (c *call) answerLineComment(status int, p store.Pull, m store.LineComment) error {
	now, err := c.blobsOf(c.ctx, c.repo, p)
	if err != nil {
		return err
	}
	o, err := c.lineComment(c.ctx, c.repo, p, m, now)
	if err != nil {
		return err
	}
	return c.answer(status, o)
}

// blobsOf are the files that a pull request changes, as they are now.
func (a *API) blobsOf(ctx context.Context, repo store.Repository, p store.Pull) (map[string]string, error) {
	g, err := a.host.Git(repo)
	if err != nil {
		return nil, err
	}
	changes, err := pullChanges(ctx, g, p)
	if err != nil {
		return nil, err
	}
	blobs := make(map[string]string, len(changes))
	for _, f := range changes {
		blobs[f.Path] = f.Blob
	}
	return blobs, nil
}

// lineComment renders a comment on a line. One whose file changed since is
// outdated: it has no line in the change as it is now.
func (a *API) lineComment(ctx context.Context, repo store.Repository, p store.Pull, m store.LineComment, now map[string]string) (obj, error) {
	at, err := a.placeOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	author, err := a.account(ctx, m.Author)
	if err != nil {
		return nil, err
	}
	association, err := a.association(repo, author)
	if err != nil {
		return nil, err
	}
	self, pull := fmt.Sprintf("%s/pulls/comments/%d", at, m.ID), fmt.Sprintf("%s/pulls/%d", at, p.Number)
	html := fmt.Sprintf("%s/pull/%d#discussion_r%d", a.htmlOf(at), p.Number, m.ID)
	o := obj{
		"id": m.ID, "node_id": nodeID("PullRequestReviewComment", m.ID), "url": self, "html_url": html, "pull_request_url": pull, "pull_request_review_id": m.Review,
		"diff_hunk": m.Hunk, "path": m.Path, "commit_id": m.SHA, "original_commit_id": m.SHA, "original_position": m.Position, "original_line": m.Line, "side": m.Side,
		"start_line": nil, "original_start_line": nil, "start_side": nil, "subject_type": "line",
		"user": a.user(author), "body": m.Body, "author_association": association, "created_at": stamp(m.Created), "updated_at": stamp(m.Updated), "reactions": reactions(self),
		"_links": obj{"self": obj{"href": self}, "html": obj{"href": html}, "pull_request": obj{"href": pull}},
	}
	current := now[m.Path] == m.Blob
	if current {
		o["line"], o["position"], o["commit_id"] = m.Line, m.Position, p.HeadSHA
	}
	if m.StartLine > 0 {
		o["original_start_line"], o["start_side"] = m.StartLine, m.Side
		if current {
			o["start_line"] = m.StartLine
		}
	}
	if m.ReplyTo > 0 {
		o["in_reply_to_id"] = m.ReplyTo
	}
	return o, nil
}
