package pulls_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/pulls"
)

// pushed is an engine that queues one run, and fails for another branch.
type pushed struct{ pulls.Engine }

func (pushed) Pushed(context.Context, []forge.RefUpdate, string) ([]model.Run, error) {
	return []model.Run{{ID: "r1", Commit: "0123456789abcdef", Environment: "staging"}}, model.WithHint(errors.New("branch prod cannot be read"), "mend it")
}

// A pusher hears what was queued, and what was not.
func TestAnnounce(t *testing.T) {
	got := pulls.Announce(t.Context(), pushed{}, "http://hubship.test/", nil, "mia")
	want := []string{
		"hubship: run r1 deploys 0123456789ab to staging",
		"hubship: follow it at http://hubship.test/runs/r1 or with `hubship logs -f r1`",
		"hubship: the push is kept, but: branch prod cannot be read",
		"hubship: mend it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
