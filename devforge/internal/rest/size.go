package rest

import (
	"context"

	"github.com/hubship/hubship/devforge/internal/store"
)

// maxSizes bounds the sizes that are remembered.
const maxSizes = 1000

// size is how much a pull request changes.
type size struct{ commits, files, additions, deletions int }

// between are the ends of a pull request. They are commits: what lies between
// them never changes, and counting it takes four processes.
type between struct {
	repository int64
	base, head string
}

// sizeOf counts what a pull request changes.
func (a *API) sizeOf(ctx context.Context, repo store.Repository, p store.Pull) (size, error) {
	key := between{repo.ID, p.BaseSHA, p.HeadSHA}
	if n, ok := a.sizes.Get(key); ok {
		return n, nil
	}
	g, err := a.host.Git(repo)
	if err != nil {
		return size{}, err
	}
	changes, err := pullChanges(ctx, g, p)
	if err != nil {
		return size{}, err
	}
	n := size{files: len(changes)}
	for _, f := range changes {
		n.additions, n.deletions = n.additions+f.Additions, n.deletions+f.Deletions
	}
	if n.commits, _, err = g.AheadBehind(ctx, p.BaseSHA, p.HeadSHA); err != nil {
		return size{}, err
	}
	a.sizes.Add(key, n)
	return n, nil
}
