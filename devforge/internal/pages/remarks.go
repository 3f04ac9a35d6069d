package pages

import (
	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/devforge/internal/store"
)

// remark is what a check says of a line of the change.
type remark struct {
	Path    string
	Line    int // from 1
	Level   string
	Title   string
	Message string
}

// maxRemarks bounds the remarks of all check runs that a page shows.
const maxRemarks = 500

// remarks are the annotations of check runs.
func (v *visit) remarks(checks []*gh.CheckRun) ([]remark, error) {
	var all []remark
	for _, run := range checks {
		if run.GetOutput().GetAnnotationsCount() == 0 {
			continue
		}
		opts := &gh.ListOptions{PerPage: 100}
		for len(all) < maxRemarks {
			list, resp, err := v.api.Checks.ListCheckRunAnnotations(v.ctx, v.owner, v.name, run.GetID(), opts)
			if err != nil {
				return nil, err
			}
			for _, a := range list {
				all = append(all, remark{a.GetPath(), a.GetStartLine(), a.GetAnnotationLevel(), a.GetTitle(), a.GetMessage()})
			}
			if opts.Page = resp.NextPage; opts.Page == 0 {
				break
			}
		}
	}
	return all, nil
}

// remarked puts remarks beside the lines that they are about, or at the top of
// the file when the line is not shown.
func remarked(files []fileDiff, remarks []remark) {
	for i := range files {
		f := &files[i]
		for _, m := range remarks {
			if m.Path != f.Path {
				continue
			}
			f.Folded = false
			if at := f.row(store.Right, m.Line); at != nil {
				at.Remarks = append(at.Remarks, m)
			} else {
				f.Remarks = append(f.Remarks, m)
			}
		}
	}
}

// row is the row with a line of one side of the file; nil when it is not shown.
func (f *fileDiff) row(side string, line int) *row {
	for i := range f.Rows {
		on := f.Rows[i].Right
		if side == store.Left {
			on = f.Rows[i].Left
		}
		if line > 0 && on.Number == line {
			return &f.Rows[i]
		}
	}
	return nil
}
