package planner

import (
	"context"
	"fmt"
	"regexp"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/plan"
)

// credentials looks for credentials among the lines that the change adds.
func (w *work) credentials(ctx context.Context) error {
	added, err := w.addedLines(ctx)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	files := make([]check.File, 0, len(added))
	for _, f := range added {
		file := check.File{Name: f.Path}
		for _, l := range f.Lines {
			file.Added = append(file.Added, check.Line{Number: l.Number, Text: l.Text})
		}
		files = append(files, file)
	}
	// Of the base: a change must not excuse itself.
	own := check.Gitleaks{}
	if w.base.tree != nil {
		for name, to := range map[string]*[]byte{".gitleaks.toml": &own.Config, ".gitleaksignore": &own.Ignore} {
			if data, err := readTree(w.base.tree, name); err == nil {
				*to = data
			}
		}
	}
	for _, p := range check.Credentials(ctx, files, own) {
		w.problem(p)
	}
	return ctx.Err()
}

// maxMissing bounds how many times the lines that a change adds are asked for
// anew, without another file whose contents are not here.
const maxMissing = 32

// missingObject is what git says of an object that a copy of a repository has
// left out.
var missingObject = regexp.MustCompile(`unable to read ([0-9a-f]{40,64})`)

// addedLines returns the lines that the change adds. A copy of a repository may
// have left out large files: those are passed over, which is said.
func (w *work) addedLines(ctx context.Context) ([]git.AddedFile, error) {
	var skip []string
	for {
		added, err := w.git.AddedLines(ctx, w.base.commit, w.head.commit, skip...)
		if err == nil || ctx.Err() != nil || len(skip) > maxMissing {
			return added, err
		}
		m := missingObject.FindStringSubmatch(err.Error())
		if m == nil {
			return nil, err
		}
		n := len(skip)
		for _, name := range w.changed {
			if m[1] != w.head.id(name) && (w.base.tree == nil || m[1] != w.base.id(name)) {
				continue
			}
			skip = append(skip, name)
			w.problem(plan.Problem{
				Severity: plan.Warning, Check: check.CheckCredential, File: name,
				Message: "this copy of the repository does not contain its contents, so it was not searched for credentials",
				Hint:    "plan from a full clone, such as one without --filter",
			})
		}
		if len(skip) == n {
			return nil, err
		}
	}
}
