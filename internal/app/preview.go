package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/report"
)

// preview words plans for runs: as lines for their logs, and as a page.
type preview struct {
	planner *planner.Planner
	plans   plans
	log     *slog.Logger
}

// Preview implements ship.Preview.
func (p preview) Preview(ctx context.Context, q model.PreviewRequest) ([]string, error) {
	made, err := p.planner.Plan(ctx, planner.Request{
		Base: q.Base, Head: q.Head, Render: true, Hubs: q.Hubs, Environments: []string{q.Environment},
	})
	if err != nil {
		return nil, err
	}
	if err := p.plans.keep(q.Run, "Run "+q.Run, made); err != nil {
		// The log has the plan all the same.
		p.log.Warn("keep a run's plan", "run", q.Run, "error", err)
	}
	return inLines(made)
}

// inLines words a plan for a run's log.
func inLines(made plan.Plan) ([]string, error) {
	var text strings.Builder
	if err := report.Text(&text, made, report.Options{Width: 140}); err != nil {
		return nil, err
	}
	lines := strings.Split(text.String(), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" }), nil
}

// plans is the folder with what runs were about to change: a page of each for
// people, and the plan itself.
type plans string

const (
	// keptPlans is how many files are kept, those of the newest runs.
	keptPlans = 1000
	planPage  = ".html"
	planData  = ".json"
)

// runID is what a run's name looks like: it names a file here.
var runID = regexp.MustCompile(`^[0-9A-Za-z][-0-9A-Za-z]*$`)

func (p plans) file(run, kind string) (string, error) {
	if !runID.MatchString(run) {
		return "", fmt.Errorf("plan of run %q: %w", run, fs.ErrNotExist)
	}
	return filepath.Join(string(p), run+kind), nil
}

// page is the page of a run's plan.
func (p plans) page(run string) ([]byte, error) {
	name, err := p.file(run, planPage)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// Plan implements pulls.Plans.
func (p plans) Plan(_ context.Context, run string) (plan.Plan, error) {
	var made plan.Plan
	name, err := p.file(run, planData)
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
func (p plans) keep(run, title string, made plan.Plan) error {
	var page bytes.Buffer
	if err := report.HTML(&page, made, report.Options{Title: title}); err != nil {
		return err
	}
	data, err := json.Marshal(made)
	if err != nil {
		return fmt.Errorf("keep the plan of run %s: %w", run, err)
	}
	if err := os.MkdirAll(string(p), 0o700); err != nil {
		return fmt.Errorf("keep the plan of run %s: %w", run, err)
	}
	for kind, data := range map[string][]byte{planPage: page.Bytes(), planData: data} {
		name, err := p.file(run, kind)
		if err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return fmt.Errorf("keep the plan of run %s: %w", run, err)
		}
	}
	entries, err := os.ReadDir(string(p)) // sorted by name
	if err != nil {
		return fmt.Errorf("list kept plans: %w", err)
	}
	for _, e := range entries[:max(0, len(entries)-keptPlans)] {
		if err := os.Remove(filepath.Join(string(p), e.Name())); err != nil {
			return fmt.Errorf("remove an old plan: %w", err)
		}
	}
	return nil
}
