package store

import (
	"context"
	"testing"
)

// A standing replaces an older one, and never one as new: another hubship may
// have been faster.
func TestStandings(t *testing.T) {
	s := openSQLite(t)
	ctx := t.Context()
	if _, ok, err := s.Standing(ctx, "k"); ok || err != nil {
		t.Errorf("there is a standing from the start: %v, %v", ok, err)
	}
	for _, step := range []struct {
		key        string
		generation int64
		text       string
		kept       bool
		then       string
	}{
		{"k", 1, "a", true, "a"}, {"k", 1, "b", false, "a"}, {"k", 3, "c", true, "c"}, {"k", 2, "d", false, "c"}, {"other", 1, "e", true, "e"}, {"k", 4, "f", true, "f"},
	} {
		kept, err := s.SetStanding(ctx, step.key, step.generation, []byte(step.text))
		if err != nil || kept != step.kept {
			t.Errorf("generation %d of %s: kept %v, %v", step.generation, step.key, kept, err)
		}
		if got, ok, err := s.Standing(ctx, step.key); err != nil || !ok || string(got) != step.then {
			t.Errorf("after generation %d of %s: %q, %v, %v", step.generation, step.key, got, ok, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := s.Standing(ended, "k"); err == nil {
		t.Errorf("it could not be read, and no error")
	}
}
