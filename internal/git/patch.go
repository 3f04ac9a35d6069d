package git

import (
	"regexp"
	"strconv"
	"strings"
)

// PatchLine is a line of a file's patch.
type PatchLine struct {
	Kind byte   // ' ', '-' or '+'; '@' for the heading of a hunk, '\\' for a note about the line before
	Text string // without the kind; of headings and notes the whole line
	Old  int    // number in the file before, from 1; 0 where it is not
	New  int    // number in the file after
}

// https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html
var hunkHead = regexp.MustCompile(`^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@`)

// PatchLines numbers the lines of a FileChange's Patch. There are as many as
// the patch has, in its order.
func PatchLines(patch string) []PatchLine {
	if patch == "" {
		return nil
	}
	var lines []PatchLine
	old, now := 0, 0
	for text := range strings.SplitSeq(strings.TrimSuffix(patch, "\n"), "\n") {
		l := PatchLine{Kind: ' ', Text: text}
		if m := hunkHead.FindStringSubmatch(text); m != nil {
			l.Kind = '@'
			old, _ = strconv.Atoi(m[1])
			now, _ = strconv.Atoi(m[2])
			lines = append(lines, l)
			continue
		}
		if text != "" {
			l.Kind, l.Text = text[0], text[1:]
		}
		switch l.Kind {
		case '\\':
			l.Text = text
		case '-':
			l.Old = old
			old++
		case '+':
			l.New = now
			now++
		default:
			l.Old, l.New = old, now
			old++
			now++
		}
		lines = append(lines, l)
	}
	return lines
}
