package pulls

import (
	"context"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// agreed returns a check with its part about the process as it stands now: a
// change of the process waits until a maintainer has approved its very head. It
// follows from what the forge says at this moment, so that an approval that
// comes later, or goes, needs no other check.
//
//	| the change               | approved by                         | the part |
//	|--------------------------|-------------------------------------|----------|
//	| leaves the process alone |                                     | passed   |
//	| breaks it                | whoever                             | failed   |
//	| alters it                | nobody, or of another commit        | waiting  |
//	|                          | its author, or hubship itself       | waiting  |
//	|                          | somebody who is no maintainer (now) | waiting  |
//	|                          | a maintainer, of this very commit   | passed   |
func (c *Controller) agreed(ctx context.Context, pr forge.PullRequest, r model.Run) (model.Run, error) {
	part := r.Pull.Part(model.PartProcess)
	if part == nil || part.State != model.PartWaiting || r.Pull.Process == nil || !r.Pull.Process.Altered() || r.Pull.Head != pr.Head.Commit {
		return r, nil
	}
	by, err := c.maintainer(ctx, pr)
	if err != nil || by == "" {
		return r, err
	}
	copied := *r.Pull
	copied.Parts = slices.Clone(copied.Parts)
	r.Pull = &copied
	part = r.Pull.Part(model.PartProcess)
	part.State, part.Summary = model.PartPassed, "approved by "+by+": "+r.Pull.Process.Summary()
	return r, nil
}

// maintainer returns a maintainer who approved the very head of a pull request
// and is not its author, or "".
func (c *Controller) maintainer(ctx context.Context, pr forge.PullRequest) (string, error) {
	self, err := c.self(ctx)
	if err != nil {
		return "", err
	}
	reviews, err := c.o.Forge.Reviews(ctx, pr.Number)
	if err != nil {
		return "", err
	}
	for _, r := range forge.Verdicts(reviews) {
		if r.State != forge.Approved || r.Commit != pr.Head.Commit || strings.EqualFold(r.Author, pr.Author) || strings.EqualFold(r.Author, self) {
			continue
		}
		may, err := c.may(ctx, r.Author, forge.Maintain)
		if err != nil {
			return "", err
		}
		if may {
			return r.Author, nil
		}
	}
	return "", nil
}
