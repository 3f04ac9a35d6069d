package deploy

import (
	"sync"
	"time"
)

// patience is how long what nobody answered is left alone before it is tried
// again: longer each time. It is lost with the process, which then tries at
// once.
type patience struct {
	mu   sync.Mutex
	wait map[string]waiting // by release and commit
}

type waiting struct {
	until time.Time
	last  time.Duration
}

// Bounds of a wait.
const (
	firstWait = 15 * time.Second
	maxWait   = 5 * time.Minute
)

func (p *patience) note(key, commit string, unknown bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !unknown {
		delete(p.wait, key+commit)
		return
	}
	if p.wait == nil {
		p.wait = map[string]waiting{}
	}
	w := p.wait[key+commit]
	w.last = min(max(2*w.last, firstWait), maxWait)
	w.until = time.Now().Add(w.last)
	p.wait[key+commit] = w
}

func (p *patience) waits(key, commit string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.wait[key+commit].until)
}
