package runs

import (
	"bytes"
	"sync"

	"github.com/hubship/hubship/internal/model"
)

// maxLine bounds a line of a run's log, in bytes.
const maxLine = 4000

// Output splits what a program writes into lines of a run's log.
type Output struct {
	mu   sync.Mutex
	rest []byte
	emit func(string)
}

// Output returns a writer whose lines go to a run's log as output of what it
// runs. Flush writes the last one.
func (j *Journal) Output(run, scope string) *Output {
	return &Output{emit: func(text string) { j.Say(run, scope, model.LevelDebug, "%s", text) }}
}

// Quote appends a text that explains an error to a run's log, indented.
func (j *Journal) Quote(run, scope, text string) {
	o := &Output{emit: func(text string) { j.Say(run, scope, model.LevelError, "  %s", text) }}
	_, _ = o.Write([]byte(text)) // never fails
	o.Flush()
}

// Write implements io.Writer. It never fails.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, p...)
	for {
		i := bytes.IndexByte(o.rest, '\n')
		if i < 0 && len(o.rest) < maxLine {
			return len(p), nil
		}
		if i < 0 || i > maxLine {
			i = maxLine
			o.emit(string(o.rest[:i]))
			o.rest = o.rest[i:]
			continue
		}
		o.emit(string(o.rest[:i]))
		o.rest = o.rest[i+1:]
	}
}

// Flush writes a last line that has no newline.
func (o *Output) Flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rest) > 0 {
		o.emit(string(o.rest))
		o.rest = nil
	}
}
