package signin

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"sync"
	"time"
)

// Bounds of attempts to sign in that fail, of one address within the time. They
// are kept, so that a restart is no new beginning.
const (
	triesTime = 10 * time.Minute
	triesMax  = 20
)

// tries counts attempts that failed.
type tries struct {
	keep Keep
	now  func() time.Time
	mu   sync.Mutex // one count at a time
}

type count struct {
	N     int       `json:"n"`
	Until time.Time `json:"until"`
}

// key is what attempts are counted under. A household has a whole /64 of IPv6.
func tryKey(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

func (t *tries) read(ctx context.Context, key string) (count, error) {
	body, err := t.keep.Kept(ctx, kindTries, key)
	if errors.Is(err, fs.ErrNotExist) {
		return count{}, nil
	}
	var c count
	if err != nil {
		return c, err
	}
	if json.Unmarshal([]byte(body), &c) != nil || !t.now().Before(c.Until) {
		return count{}, nil
	}
	return c, nil
}

// tooMany says whether an address has to wait. What cannot be read refuses.
func (t *tries) tooMany(ctx context.Context, a netip.Addr) (bool, error) {
	c, err := t.read(ctx, tryKey(a))
	return c.N >= triesMax, err
}

// failed counts an attempt.
func (t *tries) failed(ctx context.Context, a netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, err := t.read(ctx, tryKey(a))
	if err != nil {
		return err
	}
	if c.N == 0 {
		c.Until = t.now().Add(triesTime)
	}
	c.N++
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return t.keep.Keep(ctx, kindTries, tryKey(a), string(raw), c.Until)
}
