package pages

import (
	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/git"
)

// Bounds of what a page shows of a change.
const (
	shownFiles = 500    // of a change; Git knows all
	openFiles  = 60     // that are unfolded
	shownRows  = 400    // of one file, unfolded
	maxRows    = 20_000 // of all files
)

// fileDiff is one file's change, side by side.
type fileDiff struct {
	Path, Previous, Status string
	Additions, Deletions   int
	Rows                   []row
	Note                   string // why there are no rows
	Folded                 bool
	Remarks                []remark // on lines that are not shown
	Threads                []*thread
	Forms                  *lineForms // nil where nothing can be said of lines
}

// row is a line of a side-by-side diff, or the heading of a hunk.
type row struct {
	Hunk        string
	Left, Right line
	Remarks     []remark
	Threads     []*thread
	Write       string // side of the line that something is to be said of
}

// line is a line of one side; the zero line is none.
type line struct {
	Number int
	Kind   string // add, del or empty
	Text   string
}

// diffs turns the files of a change into tables of two sides.
func diffs(files []*gh.CommitFile) []fileDiff {
	var all []fileDiff
	total := 0
	for i, f := range files {
		if i == shownFiles {
			break
		}
		d := fileDiff{Path: f.GetFilename(), Previous: f.GetPreviousFilename(), Status: f.GetStatus(), Additions: f.GetAdditions(), Deletions: f.GetDeletions()}
		switch {
		case f.GetPatch() == "" && f.GetChanges() == 0:
			d.Note = "only the mode or name changes, or the file is binary"
		case f.GetPatch() == "":
			d.Note = "binary or too large to show"
		case total > maxRows:
			d.Note = "the change is too large to show"
		default:
			d.Rows = sides(f.GetPatch())
			total += len(d.Rows)
		}
		d.Folded = i >= openFiles || len(d.Rows) > shownRows
		all = append(all, d)
	}
	return all
}

// sides reads a unified diff. Lines that were removed stand beside those that
// took their place.
func sides(patch string) []row {
	var rows []row
	var gone, came []line
	flush := func() {
		for i := range max(len(gone), len(came)) {
			var r row
			if i < len(gone) {
				r.Left = gone[i]
			}
			if i < len(came) {
				r.Right = came[i]
			}
			rows = append(rows, r)
		}
		gone, came = nil, nil
	}
	for _, l := range git.PatchLines(patch) {
		switch l.Kind {
		case '@':
			flush()
			rows = append(rows, row{Hunk: l.Text})
		case '-':
			gone = append(gone, line{l.Old, "del", l.Text})
		case '+':
			came = append(came, line{l.New, "add", l.Text})
		case '\\':
			// "\ No newline at end of file" is about the line before.
		default:
			flush()
			rows = append(rows, row{Left: line{l.Old, "", l.Text}, Right: line{l.New, "", l.Text}})
		}
	}
	flush()
	return rows
}
