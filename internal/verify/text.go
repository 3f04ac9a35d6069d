package verify

import (
	"strings"
	"unicode/utf8"
)

// oneLine joins the lines of a text.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// lastBytes keeps the end of a text, from the beginning of a line if one is
// near.
func lastBytes(text string, n int) string {
	text = strings.TrimRight(text, "\n ")
	if len(text) <= n {
		return text
	}
	text = text[len(text)-n:]
	for text != "" && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	if i := strings.IndexByte(text, '\n'); i >= 0 && i < n/2 {
		text = text[i+1:]
	}
	return text
}

// lastLines keeps the last n lines of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n "), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
