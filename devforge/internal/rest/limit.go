package rest

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limiter counts the requests of accounts, by the hour.
type limiter struct {
	max int

	mu   sync.Mutex
	seen map[int64]*window
}

type window struct {
	used  int
	reset time.Time
}

func newLimiter(limit int) *limiter { return &limiter{max: limit, seen: map[int64]*window{}} }

// take counts a request, and says in the header how many are left. There are as
// many windows as accounts that asked: a bounded number.
func (l *limiter) take(h http.Header, account int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, found := l.seen[account]
	if !found || !time.Now().Before(w.reset) {
		w = &window{reset: time.Now().Add(time.Hour).Truncate(time.Second)}
		l.seen[account] = w
	}
	ok := w.used < l.max
	if ok {
		w.used++
	}
	h.Set("X-RateLimit-Limit", strconv.Itoa(l.max))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(l.max-w.used))
	h.Set("X-RateLimit-Used", strconv.Itoa(w.used))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(w.reset.Unix(), 10))
	h.Set("X-RateLimit-Resource", "core")
	return ok
}
