package rest

import (
	"context"
	"sync"

	"github.com/hubship/hubship/internal/forge/local/store"
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

// sizes remembers what was counted.
type sizes struct {
	mu   sync.Mutex
	seen map[between]size
}

func (s *sizes) get(key between) (size, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.seen[key]
	return known, ok
}

func (s *sizes) put(key between, n size) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil || len(s.seen) >= maxSizes { // begin again: it is counted anew when it is asked for
		s.seen = map[between]size{}
	}
	s.seen[key] = n
}

// sizeOf counts what a pull request changes.
func (a *API) sizeOf(ctx context.Context, repo store.Repository, p store.Pull) (size, error) {
	key := between{repo.ID, p.BaseSHA, p.HeadSHA}
	if n, ok := a.sizes.get(key); ok {
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
	a.sizes.put(key, n)
	return n, nil
}
