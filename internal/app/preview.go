package app

import (
	"context"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/planner"
	"github.com/hubship/hubship/internal/report"
)

// preview words plans for the logs of runs.
type preview struct{ planner *planner.Planner }

// Preview implements ship.Preview.
func (p preview) Preview(ctx context.Context, base, head, environment string, hubs []string) ([]string, error) {
	made, err := p.planner.Plan(ctx, planner.Request{
		Base: base, Head: head, Render: true, Hubs: hubs, Environments: []string{environment},
	})
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if err := report.Text(&text, made, report.Options{Width: 140}); err != nil {
		return nil, err
	}
	lines := strings.Split(text.String(), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" }), nil
}
