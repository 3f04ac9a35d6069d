package process

import (
	"strings"
	"sync"
	"testing"
)

// lines is the log of a test: kept, and shown where the test fails.
type lines struct {
	t    testing.TB
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	return len(p), nil
}

// String is what was written until now.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
