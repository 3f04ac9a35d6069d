package pulls

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hubship/hubship/internal/forge"
)

// once does something at the forge, unless exactly this was done before under
// the same key. do gets the forge's id of what was done before, or "", and
// returns it. An id that it returns together with an error is of something that
// was begun: it is remembered, so that the next attempt does not begin anew.
func (c *Controller) once(ctx context.Context, key, content string, do func(ref string) (string, error)) error {
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:16])
	before, ref, err := c.o.Reports.Reported(ctx, key)
	if err != nil || before == digest {
		return err
	}
	next, err := do(ref)
	if err != nil {
		if next != "" && next != ref {
			err = errors.Join(err, c.o.Reports.SetReported(context.WithoutCancel(ctx), key, begun, next))
		}
		return err
	}
	ref = next
	// It is done, whatever happens to the process: forgetting would only mean
	// to do it again.
	return c.o.Reports.SetReported(context.WithoutCancel(ctx), key, digest, ref)
}

// begun stands for the digest of something that was begun and not finished.
const begun = "begun"

// statusKey is what a status is remembered under: those of one commit's merges into
// several branches are several.
func statusKey(commit string, s forge.Status) string {
	key := "status/" + commit + "/" + s.Context
	if s.Base.Branch != "" {
		key += "/" + s.Base.Branch
	}
	return key
}

// statusPrefix begins the contexts of all statuses.
const statusPrefix = "hubship/"

func statusOf(part string) string { return statusPrefix + part }

// status sets a status of a commit.
func (c *Controller) status(ctx context.Context, commit string, s forge.Status) error {
	s.Description = forge.Shorten(strings.Join(strings.Fields(s.Description), " "), forge.MaxDescription)
	return c.once(ctx, statusKey(commit, s), strings.Join([]string{s.State, s.Description, s.URL, s.Base.Commit}, "\x00"), func(string) (string, error) {
		err := c.o.Forge.SetStatus(ctx, commit, s)
		if gone(err) && !c.proposed(commit) {
			return "", nil
		}
		return "", err
	})
}

// gone says that what was to be reported about is not there any more: a
// commit that a force-push removed. Then nobody misses the report.
func gone(err error) bool {
	return errors.Is(err, forge.ErrNotFound) || errors.Is(err, forge.ErrInvalid)
}

// proposed says whether a commit is the head of an open pull request: then it is
// there, and somebody waits for what is said about it.
func (c *Controller) proposed(commit string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pr := range c.open {
		if pr.Head.Commit == commit {
			return true
		}
	}
	return false
}

// marker begins every comment of hubship's, so that it is found again when the
// memory is lost.
func marker(about string) string { return "<!-- hubship:" + about + " -->" }

// comment writes a comment on a pull request, the same one each time.
func (c *Controller) comment(ctx context.Context, number int, about, body string) error {
	body = marker(about) + "\n" + body
	return c.once(ctx, fmt.Sprintf("comment/%d/%s", number, about), body, func(ref string) (string, error) {
		id, err := strconv.ParseInt(ref, 10, 64)
		if err != nil {
			if id, err = c.findComment(ctx, number, about); err != nil {
				return "", err
			}
		}
		if id > 0 {
			done, err := c.o.Forge.EditComment(ctx, id, body)
			if !errors.Is(err, forge.ErrNotFound) {
				return strconv.FormatInt(done.ID, 10), err
			}
		}
		done, err := c.o.Forge.Comment(ctx, number, body)
		return strconv.FormatInt(done.ID, 10), err
	})
}

// findComment returns the id of hubship's own comment about something, or 0.
func (c *Controller) findComment(ctx context.Context, number int, about string) (int64, error) {
	self, err := c.self(ctx)
	if err != nil {
		return 0, err
	}
	comments, err := c.o.Forge.Comments(ctx, number)
	if err != nil {
		return 0, err
	}
	for _, comment := range comments {
		if comment.Author == self && strings.HasPrefix(comment.Body, marker(about)) {
			return comment.ID, nil
		}
	}
	return 0, nil
}
