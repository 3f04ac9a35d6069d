package server

import (
	"context"
	"sync"
	"time"
)

// memo asks for something at most once in a while, however many want to know.
// While an answer takes long, those who ask get the one before.
type memo[T any] struct {
	ask      func(context.Context) (T, error)
	ttl      time.Duration // how long an answer is believed
	patience time.Duration // how long to wait for a newer one

	mu       sync.Mutex
	value    T
	err      error
	answered time.Time     // zero before the first answer
	asking   chan struct{} // closed when the answer under way is there; nil when none is
}

// get returns the newest answer that there is in time.
func (m *memo[T]) get(ctx context.Context) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.answered.IsZero() && time.Since(m.answered) < m.ttl {
		return m.value, m.err
	}
	if m.asking == nil {
		m.asking = make(chan struct{})
		go m.refresh(m.asking)
	}
	asking := m.asking
	var enough <-chan time.Time
	if !m.answered.IsZero() {
		enough = time.After(m.patience)
	}
	m.mu.Unlock()
	var gone error
	select {
	case <-asking:
	case <-enough:
	case <-ctx.Done():
		gone = ctx.Err()
	}
	m.mu.Lock()
	if gone != nil {
		var none T
		return none, gone
	}
	return m.value, m.err
}

// refresh asks on behalf of everybody who waits, so it does not end with any
// one of them.
func (m *memo[T]) refresh(asking chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	value, err := m.ask(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value, m.err, m.answered, m.asking = value, err, time.Now(), nil
	close(asking)
}
