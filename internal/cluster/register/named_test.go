package register

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

// What the process names is kept, and so is everything while that is not known.
func TestRemoveNamed(t *testing.T) {
	r := At(filepath.Join(t.TempDir(), "clusters"))
	for _, name := range []string{"campus", "library"} {
		if err := r.AddEmbedded(name); err != nil {
			t.Fatal(err)
		}
	}
	named := func(names []string, err error) Clusters {
		return Clusters{Register: r, Named: func(context.Context) ([]string, error) { return names, err }}
	}
	known, unknown := named([]string{"campus", "away"}, nil), named(nil, errors.New("no process holds"))
	uses, err := known.Uses(t.Context())
	if err != nil || len(uses) != 3 || !uses[0].Named || !uses[0].Registered || uses[1].Named || uses[2].Registered || uses[2].Name != "away" {
		t.Errorf("%+v, %v", uses, err)
	}
	if uses, err := unknown.Uses(t.Context()); err == nil || len(uses) != 2 {
		t.Errorf("while no process is known: %+v, %v", uses, err)
	}
	for _, c := range []struct {
		clusters Clusters
		name     string
		force    bool
		code     int
	}{
		{known, "elsewhere", false, model.ExitUsage},
		{known, "campus", false, model.ExitRefused},
		{unknown, "library", false, model.ExitRefused},
		{known, "library", false, 0},
		{unknown, "campus", true, 0},
	} {
		if err := c.clusters.Remove(t.Context(), c.name, c.force); model.ExitCodeOf(err) != c.code {
			t.Errorf("remove %s, force %v: %v", c.name, c.force, err)
		}
	}
	if left, err := r.List(); err != nil || len(left) != 0 {
		t.Errorf("left %+v, %v", left, err)
	}
}
