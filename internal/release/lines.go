package release

import (
	"bufio"
	"bytes"
)

// newLineReader reads a document whose last line need not be terminated. A
// line reader may otherwise drop such a line when it fills its buffer exactly.
func newLineReader(data []byte) *bufio.Reader {
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(bytes.Clone(data), '\n')
	}
	return bufio.NewReader(bytes.NewReader(data))
}
