package store

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

func TestResultsAndReports(t *testing.T) {
	s, ctx := openSQLite(t), t.Context()
	if _, ok, err := s.Passed(ctx, "k"); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	for _, log := range []string{"one", "two"} {
		if err := s.SetPassed(ctx, "k", model.TestResult{Name: "lint", Passed: true, Log: log}); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok, err := s.Passed(ctx, "k"); !ok || err != nil || r.Log != "two" || !r.Passed {
		t.Errorf("%+v %v %v", r, ok, err)
	}
	if digest, ref, err := s.Reported(ctx, "status/x"); digest != "" || ref != "" || err != nil {
		t.Errorf("%q %q %v", digest, ref, err)
	}
	for _, digest := range []string{"a", "b"} {
		if err := s.SetReported(ctx, "status/x", digest, "7"); err != nil {
			t.Fatal(err)
		}
	}
	if digest, ref, err := s.Reported(ctx, "status/x"); digest != "b" || ref != "7" || err != nil {
		t.Errorf("%q %q %v", digest, ref, err)
	}
	// What is old goes when something new comes.
	old := time.Now().Add(-KeepReported - time.Hour).UnixNano()
	for _, table := range []string{"reported", "test_results"} {
		if _, err := s.db.ExecContext(ctx, "UPDATE "+table+" SET at = $1", old); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetReported(ctx, "y", "c", ""); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPassed(ctx, "l", model.TestResult{}); err != nil {
		t.Fatal(err)
	}
	if digest, _, _ := s.Reported(ctx, "status/x"); digest != "" {
		t.Error("an old report is kept")
	}
	if _, ok, _ := s.Passed(ctx, "k"); ok {
		t.Error("an old result is kept")
	}
}

// A history of before there were checks of pull requests keeps its runs.
func TestHistoryOfBefore(t *testing.T) {
	ctx, file := t.Context(), filepath.Join(t.TempDir(), "history.db")
	s, err := Open(ctx, file)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []model.Run{{ID: "1", Kind: model.Deploy, Environment: "staging", Created: time.Now()}, {ID: "2", Kind: model.Verify, Environment: "staging", Created: time.Now()}} {
		if err := s.Put(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{"DROP INDEX runs_pull", "ALTER TABLE runs DROP COLUMN kind", "ALTER TABLE runs DROP COLUMN pull", "DROP TABLE reported", "DROP TABLE test_results", "DROP TABLE standings", "DROP TABLE kept", "DELETE FROM hubship_schema WHERE version >= 2"} {
		if _, err := db.Exec(stmt); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(ctx, file); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if runs, err := s.List(ctx, model.RunFilter{Kind: model.Deploy}); err != nil || len(runs) != 1 || runs[0].ID != "1" {
		t.Errorf("%+v %v", runs, err)
	}
	if err := s.Put(ctx, model.Run{ID: "3", Kind: model.CheckPull, Pull: &model.PullCheck{PullRequest: model.PullRequest{Number: 7}}, Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if runs, err := s.List(ctx, model.RunFilter{Pull: 7}); err != nil || len(runs) != 1 || runs[0].Pull.Number != 7 {
		t.Errorf("%+v %v", runs, err)
	}
}
