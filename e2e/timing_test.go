package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// ownTime is what is left of a run's wall-clock time without the build, the
// waiting for pods, and what a verification waits for on the hub's side: the
// start and stop of a server, the start of a kernel and the imports.
func (i *installation) ownTime(t *testing.T, r model.Run) time.Duration {
	t.Helper()
	if len(r.Releases) != 1 || r.Releases[0].Verification == nil {
		t.Fatalf("run %s has no verified release", r.ID)
	}
	own := r.Finished.Sub(r.Started) - r.Durations.Build
	for _, c := range r.Releases[0].Verification.Checks {
		for _, waits := range []string{"server starts", "server stopped", "kernel starts", "import "} {
			if strings.HasPrefix(c.Name, waits) {
				own -= c.Duration
			}
		}
	}
	var first, last time.Time
	_, err := i.api.Lines(context.Background(), r.ID, 0, 0, func(l model.Line) error {
		switch {
		case !strings.Contains(l.Scope, "@"): // of an image, not of a release
		case strings.HasPrefix(l.Text, "waiting for") && first.IsZero():
			first = l.Time
		case strings.Contains(l.Text, " is ready: revision"):
			last = l.Time
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !first.IsZero() && last.After(first) {
		own -= last.Sub(first)
	}
	return own
}

// timing reports, for the newest verified deploys of both environments, the
// time that hubship itself added. It fails only where nothing can be measured:
// a busy machine is no error.
func (i *installation) timing(t *testing.T) {
	runs, err := i.api.Runs(context.Background(), model.RunFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, r := range runs {
		if r.State != model.Done || r.Kind != model.Deploy || len(r.Releases) != 1 || r.Releases[0].Verification == nil {
			continue
		}
		seen++
		own := i.ownTime(t, r)
		t.Logf("run %s of %s: %.1fs in all, build %.1fs, hubship itself %.1fs", r.ID, r.Environment,
			r.Finished.Sub(r.Started).Seconds(), r.Durations.Build.Seconds(), own.Seconds())
	}
	if seen == 0 {
		t.Fatal("no verified deploy to look at")
	}
}
