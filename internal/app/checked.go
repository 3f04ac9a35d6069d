package app

import (
	"context"
	"fmt"

	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/model"
)

// unchecked says why a pull request into a branch of the process was not
// checked as it would be merged now, or "". Statuses do not tell that: they are
// a commit's, whichever pull request has it, and stay while its base moves.
func (e *embedded) unchecked(ctx context.Context, repository store.Repository, p store.Pull) (string, error) {
	if repository.ID != e.repository.ID {
		return "", nil
	}
	runs, err := e.checks(ctx, model.RunFilter{Kind: model.CheckPull, Pull: int(p.Number), Limit: 20})
	if err != nil {
		return "", fmt.Errorf("look for the check of pull request %d: %w", p.Number, err)
	}
	for _, r := range runs {
		if r.Pull == nil || r.State == model.Superseded {
			continue
		}
		if c := r.Pull; r.State == model.Done && c.Head == p.HeadSHA && c.Base == p.BaseRef && c.BaseCommit == p.TestBase {
			return "", nil
		}
		break
	}
	return fmt.Sprintf("hubship has not yet checked the merge of %.12s into %s at %.12s", p.HeadSHA, p.BaseRef, p.TestBase), nil
}
