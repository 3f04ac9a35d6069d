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
var muteValues = sync.OnceFunc(func() { log.SetOutput(withoutValues{log.Writer()}) })

// withoutValues cuts the value off the SDK's warnings. Each message is one
// write.
type withoutValues struct{ next io.Writer }

var (
	quoting = [][]byte{[]byte("warning: cannot overwrite table with non table for "), []byte("is a table. Ignoring non-table value")}
	opening = []byte(" (")
)

// Write passes a message on.
func (w withoutValues) Write(p []byte) (int, error) {
	for _, q := range quoting {
		if bytes.Contains(p, q) {
			head, _, cut := bytes.Cut(p, opening)
			if cut {
				head = append(bytes.Clone(head), '\n')
			}
			_, err := w.next.Write(head)
			return len(p), err
		}
	}
	return w.next.Write(p)
}
