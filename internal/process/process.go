// Package process owns the process: which branches drive which environments, in
// which order, on which clusters, behind which gates, and what a change needs on
// its way. It is read at the tip of one branch, the process branch, and nothing
// else has a say. Everybody who judges a commit asks here.
package process

import (
	"context"
	"errors"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
)

// ErrNone says that there is no process that could decide: its branch does not
// exist, or cannot be read as one. Then nothing is deployed, anywhere.
var ErrNone = errors.New("there is no process to follow")

// kept is how many commits are remembered by what they say of the process.
const kept = 64

// Owner answers what the process is. It is safe for concurrent use.
type Owner struct {
	git    *git.Repo
	branch string
	read   *lru.Cache[string, model.Process] // by commit
}

// New returns the owner of the process of a deployment repository. An empty
// branch is the repository's default branch, which HEAD names.
func New(g *git.Repo, branch string) *Owner {
	o := &Owner{git: g, branch: branch}
	o.read, _ = lru.New[string, model.Process](kept) // fails only for a size below 1
	return o
}

// Branch is the process branch.
func (o *Owner) Branch(ctx context.Context) (string, error) {
	if o.branch != "" {
		return o.branch, nil
	}
	branch, err := o.git.DefaultBranch(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNone, err)
	}
	return branch, nil
}

// Now is the process that holds at this moment. The error is ErrNone when the
// process branch is missing or unreadable; no other branch takes its place, and
// all that is returned beside the error is the branch's name.
func (o *Owner) Now(ctx context.Context) (model.Process, error) {
	branch, err := o.Branch(ctx)
	if err != nil {
		return model.Process{}, err
	}
	tip, err := o.git.Head(ctx, branch)
	if err != nil {
		return model.Process{Branch: branch}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if tip == "" {
		return model.Process{Branch: branch}, model.WithHint(fmt.Errorf("%w: the process branch %s does not exist", ErrNone, branch),
			"push it, or name another one with `hubship up --process-branch`")
	}
	p, err := o.At(ctx, tip)
	if err != nil {
		if ctx.Err() != nil {
			return model.Process{Branch: branch}, err
		}
		return model.Process{Branch: branch}, fmt.Errorf("%w: the process branch %s at %.12s: %w", ErrNone, branch, tip, err)
	}
	p.Branch = branch
	return p, nil
}

// At is the process that a commit says. Only Now says which one holds: of any
// other commit this is a proposal.
func (o *Owner) At(ctx context.Context, commit string) (model.Process, error) {
	if p, ok := o.read.Get(commit); ok {
		return p, nil
	}
	tree, err := o.git.Tree(ctx, commit)
	if err != nil {
		return model.Process{}, err
	}
	p, err := config.ReadProcess(tree.FS(), tree.Commit)
	if err != nil {
		return model.Process{}, err
	}
	o.read.Add(commit, p)
	return p, nil
}
