package term

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Table prints rows in columns on standard output. The first row is the
// header. Cells may be coloured.
func (t *Term) Table(rows ...[]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], visible(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-visible(cell)+2)
			if n == 0 {
				cell = t.Strong(cell)
			}
			if i == len(row)-1 {
				pad = ""
			}
			line.WriteString(cell + pad)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	t.Printf("%s", b.String())
}

// visible is how many cells of the screen text takes.
func visible(text string) int {
	return utf8.RuneCountInString(escapes.ReplaceAllString(text, ""))
}
