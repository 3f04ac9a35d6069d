package runplan

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/report"
)

// Folder is the path of the folder with the plans of runs: for each, a page for
// people and the plan itself. It is created when it is first needed.
type Folder string

const (
	// keptPlans is how many files are kept, those of the newest runs.
	keptPlans = 1000
	planPage  = ".html"
	planData  = ".json"
)

// runID is what a run's name looks like: it names a file here.
var runID = regexp.MustCompile(`^[0-9A-Za-z][-0-9A-Za-z]*$`)

func (f Folder) file(run, kind string) (string, error) {
	if !runID.MatchString(run) {
		return "", fmt.Errorf("plan of run %q: %w", run, fs.ErrNotExist)
	}
	return filepath.Join(string(f), run+kind), nil
}

// Page returns the page of a run's plan, as HTML. The error is fs.ErrNotExist when
// the run has none.
func (f Folder) Page(run string) ([]byte, error) {
	name, err := f.file(run, planPage)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// Plan returns the plan of a run. The error is fs.ErrNotExist when the run has none.
func (f Folder) Plan(_ context.Context, run string) (plan.Plan, error) {
	var made plan.Plan
	name, err := f.file(run, planData)
	if err != nil {
		return made, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return made, fmt.Errorf("read the plan of run %s: %w", run, err)
	}
	if err := json.Unmarshal(data, &made); err != nil {
		return made, fmt.Errorf("read the plan of run %s: %w", run, err)
	}
	return made, nil
}

// keep keeps a run's plan, and removes those of the oldest runs. A run's name
// begins with its time.
func (f Folder) keep(run, title string, made plan.Plan) error {
	var page bytes.Buffer
	if err := report.HTML(&page, made, report.Options{Title: title}); err != nil {
		return err
	}
	data, err := json.Marshal(made)
	if err != nil {
		return fmt.Errorf("save the plan of run %s: %w", run, err)
	}
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return fmt.Errorf("save the plan of run %s: %w", run, err)
	}
	for kind, data := range map[string][]byte{planPage: page.Bytes(), planData: data} {
		name, err := f.file(run, kind)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return fmt.Errorf("save the plan of run %s: %w", run, err)
		}
	}
	entries, err := os.ReadDir(string(f)) // sorted by name
	if err != nil {
		return fmt.Errorf("list saved plans: %w", err)
	}
	for _, e := range entries[:max(0, len(entries)-keptPlans)] {
		if err := os.Remove(filepath.Join(string(f), e.Name())); err != nil {
			return fmt.Errorf("remove an old plan: %w", err)
		}
	}
	return nil
}
