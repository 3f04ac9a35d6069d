package helm

import (
	"bytes"
	"io"
	"log"
	"sync"
)

// muteValues keeps values out of the program's log: the SDK warns there of
// values that do not fit a chart's, and quotes them. There is no other way to
// the SDK's warnings than the standard logger's output.
var muteValues = sync.OnceFunc(func() { log.SetOutput(&withoutValues{next: log.Writer(), said: map[string]bool{}}) })

// withoutValues cuts the value off the SDK's warnings, and says each once: the
// releases of a fleet have the same. Each message is one write.
type withoutValues struct {
	next io.Writer

	mu   sync.Mutex
	said map[string]bool // at most maxSaid
}

// maxSaid bounds the different warnings that are said.
const maxSaid = 50

var (
	quoting = [][]byte{[]byte("skipping unknown hooks"), []byte("warning: cannot overwrite table with non table for "), []byte("is a table. Ignoring non-table value")}
	opening = []byte(" (")
)

// Write passes a message on.
func (w *withoutValues) Write(p []byte) (int, error) {
	for _, q := range quoting {
		at := bytes.Index(p, q)
		if at < 0 {
			continue
		}
		head, _, _ := bytes.Cut(p, opening)
		head, _, _ = bytes.Cut(head, []byte(" hookTypes="))
		head = append(bytes.Clone(bytes.TrimSuffix(head, []byte("\n"))), '\n')
		if !w.first(head) {
			return len(p), nil
		}
		_, err := w.next.Write(head)
		return len(p), err
	}
	if bytes.Contains(p, []byte("Warning: ")) && !w.first(p) {
		return len(p), nil
	}
	return w.next.Write(p)
}

// first says whether a warning, whatever its time, was not said before.
func (w *withoutValues) first(line []byte) bool {
	text := string(line)
	if i := bytes.Index(line, []byte("arning:")); i >= 0 {
		text = text[i:]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said[text] || len(w.said) >= maxSaid {
		return false
	}
	w.said[text] = true
	return true
}
