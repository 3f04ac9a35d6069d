package pulls

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/report"
)

// RevertCommand is the comment that has hubship revert a merged pull request.
const RevertCommand = "/hubship revert"

var revertCommand = regexp.MustCompile(`(?m)^ {0,3}/hubship revert\s*$`)

// revertAsked opens the reverts that people asked for in comments on a merged
// pull request, and answers there. What people wrote before the merge was about
// something else.
func (c *Controller) revertAsked(ctx context.Context, pr forge.PullRequest) error {
	comments, err := c.people(ctx, pr.Number)
	if err != nil {
		return err
	}
	ctx = askingOnce(ctx)
	for _, comment := range comments {
		if comment.Created.Before(pr.MergedAt.Truncate(time.Second)) || !revertCommand.MatchString(said(comment.Body)) {
			continue
		}
		if err := c.answerRevert(ctx, pr, comment); err != nil {
			return err
		}
	}
	return nil
}

// answerRevert does once what a comment asks for. It is remembered by the
// comment, and the answer names it, too, for when the memory is lost. So what
// was answered opens nothing any more, whatever became of the revert since.
func (c *Controller) answerRevert(ctx context.Context, pr forge.PullRequest, asked forge.Comment) error {
	done := fmt.Sprintf("command/%d", asked.ID)
	if digest, _, err := c.o.Reports.Reported(ctx, done); err != nil || digest != "" {
		return err
	}
	about := fmt.Sprintf("revert-%d", asked.ID)
	if answered, err := c.findComment(ctx, pr.Number, about); err != nil {
		return err
	} else if answered == 0 {
		// Whoever may write now, not at some later look.
		may := false
		if asked.AuthorID != 0 { // the account is not gone
			if may, err = c.writes(ctx, asked.Author); err != nil {
				return err
			}
		}
		note := "Only somebody with write access to this repository can have hubship revert this change."
		if may {
			if note, err = c.obeyRevert(ctx, pr, asked); err != nil {
				return err
			}
		} else {
			about = "revert-refused" // one answer for all, or anybody could have hubship write without end
		}
		if err := c.comment(ctx, pr.Number, about, note+"\n"); err != nil {
			return err
		}
	}
	return c.o.Reports.SetReported(context.WithoutCancel(ctx), done, "answered", "")
}

// obeyRevert opens the revert, and returns what to say. An error is one that
// passes.
func (c *Controller) obeyRevert(ctx context.Context, pr forge.PullRequest, asked forge.Comment) (string, error) {
	opened, err := c.revertedSince(ctx, pr, asked.Created)
	if err == nil && opened == 0 {
		opened, err = c.revertMerged(ctx, pr, asked.Author)
	}
	switch {
	case err == nil:
		return fmt.Sprintf("#%d reverts this change.", opened), nil
	case forgeWill(err), errors.Is(err, forge.ErrConflict), ctx.Err() != nil:
		return "", err // a conflict is one with a revert that the forge does not list yet
	}
	return "hubship could not revert this change: " + report.Escape(describe(err)), nil
}

// revertedSince finds the revert that was opened since somebody asked, by a
// process that ended before it could say so; 0 for none. It may be closed or
// merged by now.
func (c *Controller) revertedSince(ctx context.Context, pr forge.PullRequest, asked time.Time) (int, error) {
	list, err := c.o.Forge.PullRequests(ctx, forge.Filter{State: forge.All, Base: pr.Base.Branch, Head: c.revertHead(pr.Number)})
	if err != nil {
		return 0, err
	}
	self, err := c.self(ctx)
	if err != nil {
		return 0, err
	}
	for _, p := range list {
		if strings.EqualFold(p.Author, self) && !p.Created.Before(asked.Truncate(time.Second)) {
			return p.Number, nil
		}
	}
	return 0, nil
}
