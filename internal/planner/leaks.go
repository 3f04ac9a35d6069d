package planner

import (
	"context"
	"fmt"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// Credentials searches the lines that head adds to where it left base for
// credentials, as Plan does, and reads nothing else of it. What it returns contains
// none of them. Possible credentials, and files that could not be searched, are left
// to Plan, which warns about them.
func (p *Planner) Credentials(ctx context.Context, base, head string) ([]model.Remark, error) {
	w := &work{Planner: p, q: Request{Base: base, Head: head}}
	fork, err := p.git.MergeBase(ctx, base, head)
	if err != nil {
		return nil, fmt.Errorf("search for credentials: %w", err)
	}
	w.base.commit, w.head.commit = fork, head
	for _, s := range []*revision{&w.base, &w.head} {
		if s.tree, err = p.o.Repository.Tree(ctx, s.commit); err != nil {
			return nil, fmt.Errorf("search for credentials: %w", err)
		}
	}
	if w.changed, err = p.git.ChangedPaths(ctx, fork, head); err != nil {
		return nil, fmt.Errorf("search for credentials: %w", err)
	}
	// The rules are the base's of now: a change must not excuse itself, nor
	// bring back older ones.
	if w.base.tree, err = p.o.Repository.Tree(ctx, base); err != nil {
		return nil, fmt.Errorf("search for credentials: %w", err)
	}
	if err := w.credentials(ctx); err != nil {
		return nil, err
	}
	var found []model.Remark
	for _, q := range w.problems {
		if q.Check == check.CheckCredential && q.Severity == plan.Error {
			found = append(found, model.Remark{Path: q.File, Line: q.Line, Message: q.Message, Hint: q.Hint})
		}
	}
	return found, nil
}
