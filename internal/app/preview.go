package app

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/report"
	"github.com/hubship/hubship/internal/ship"
)

// preview words plans for runs: as lines for their logs, and as a page.
type preview struct {
	planner *planner.Planner
	plans   plans
	log     *slog.Logger
}

// Preview implements ship.Preview.
func (p preview) Preview(ctx context.Context, q ship.PreviewRequest) ([]string, error) {
	made, err := p.planner.Plan(ctx, planner.Request{
		Base: q.Base, Head: q.Head, Render: true, Hubs: q.Hubs, Environments: []string{q.Environment},
	})
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := report.HTML(&page, made, report.Options{Title: "Run " + q.Run}); err != nil {
		return nil, err
	}
	if err := p.plans.write(q.Run, page.Bytes()); err != nil {
		// The log has the plan all the same.
		p.log.Warn("keep a run's plan", "run", q.Run, "error", err)
	}
	var text strings.Builder
	if err := report.Text(&text, made, report.Options{Width: 140}); err != nil {
		return nil, err
	}
	lines := strings.Split(text.String(), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" }), nil
}

// plans is the folder with the pages of what runs were about to change.
type plans string

const (
	// keptPlans is how many pages are kept, those of the newest runs.
	keptPlans = 500
	planPage  = ".html"
)

// runID is what a run's name looks like: it names a file here.
var runID = regexp.MustCompile(`^[0-9A-Za-z][-0-9A-Za-z]*$`)

func (p plans) file(run string) (string, error) {
	if !runID.MatchString(run) {
		return "", fmt.Errorf("plan of run %q: %w", run, fs.ErrNotExist)
	}
	return filepath.Join(string(p), run+planPage), nil
}

func (p plans) read(run string) ([]byte, error) {
	name, err := p.file(run)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// write keeps a page, and removes those of the oldest runs. A run's name begins
// with its time.
func (p plans) write(run string, page []byte) error {
	name, err := p.file(run)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(p), 0o700); err != nil {
		return fmt.Errorf("keep the plan of run %s: %w", run, err)
	}
	if err := os.WriteFile(name, page, 0o600); err != nil {
		return fmt.Errorf("keep the plan of run %s: %w", run, err)
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
