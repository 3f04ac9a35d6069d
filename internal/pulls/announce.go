package pulls

import (
	"context"
	"fmt"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// Announce queues what a push asks for, and returns what is said to the pusher, line
// by line. dashboard is the address of hubship's pages, with a slash at its end. A
// push is never undone: what fails is among the lines.
func Announce(ctx context.Context, engine Engine, dashboard string, updates []forge.RefUpdate, by string) []string {
	runs, err := engine.Pushed(ctx, updates, by)
	var lines []string
	for _, r := range runs {
		lines = append(lines, fmt.Sprintf("hubship: run %s deploys %.12s to %s", r.ID, r.Commit, r.Environment),
			fmt.Sprintf("hubship: follow it at %sruns/%s or with `hubship logs -f %s`", dashboard, r.ID, r.ID))
	}
	if err != nil {
		lines = append(lines, "hubship: the push is kept, but: "+err.Error())
		if hint := model.HintOf(err); hint != "" {
			lines = append(lines, "hubship: "+hint)
		}
	}
	return lines
}
