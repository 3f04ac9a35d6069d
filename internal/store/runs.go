package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// allHubs stands in run_hubs for a run that is about every hub.
const allHubs = "*"

// Put stores the run under its ID, in place of what was there. Storing a new
// run removes the oldest finished ones beyond KeepRuns.
func (s *Store) Put(ctx context.Context, run model.Run) error {
	if run.ID == "" {
		return errors.New("store run: it has no id")
	}
	body, err := json.Marshal(run)
	if err != nil {
		return fmt.Errorf("store run %s: %w", run.ID, err)
	}
	pull := 0
	if run.Pull != nil {
		pull = run.Pull.Number
	}
	active := 1
	if run.State.Final() {
		active = 0
	}
	return s.write(ctx, "store run "+run.ID+" in", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx,
			`UPDATE runs SET environment = $1, state = $2, active = $3, created = $4, body = $5, kind = $6, pull = $7 WHERE id = $8`,
			run.Environment, string(run.State), active, run.Created.UnixNano(), clean(string(body)), string(run.Kind), pull, run.ID)
		if err != nil {
			return err
		}
		known, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if known == 0 {
			if _, err := tx.ExecContext(ctx,
				`INSERT INTO runs (environment, state, active, created, body, kind, pull, id, last_seq, lines_kept) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)`,
				run.Environment, string(run.State), active, run.Created.UnixNano(), clean(string(body)), string(run.Kind), pull, run.ID); err != nil {
				return err
			}
		}
		if err := putHubs(ctx, tx, run); err != nil {
			return err
		}
		if known > 0 {
			return nil
		}
		// A bounded number at a time, so that no single Put takes long.
		_, err = tx.ExecContext(ctx, `DELETE FROM runs WHERE active = 0 AND id IN (
			SELECT id FROM runs ORDER BY created DESC, id DESC LIMIT 50 OFFSET $1)`, s.bounds.runs)
		return err
	})
}

func putHubs(ctx context.Context, tx *sql.Tx, run model.Run) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM run_hubs WHERE run = $1`, run.ID); err != nil {
		return err
	}
	for hub := range hubsOf(run) {
		if _, err := tx.ExecContext(ctx, `INSERT INTO run_hubs (run, hub) VALUES ($1, $2)`, run.ID, hub); err != nil {
			return err
		}
	}
	return nil
}

// hubsOf is the set of hubs that a run is about. A run that is not restricted
// and has not touched a release yet is about all.
func hubsOf(run model.Run) map[string]bool {
	set := map[string]bool{}
	for _, h := range run.Hubs {
		set[h] = true
	}
	for _, r := range run.Releases {
		set[r.Target.Hub] = true
	}
	if len(set) == 0 {
		set[allHubs] = true
	}
	return set
}

// Get returns a run; the error wraps fs.ErrNotExist when it is unknown.
func (s *Store) Get(ctx context.Context, id string) (model.Run, error) {
	var body string
	err := s.db.QueryRowContext(ctx, `SELECT body FROM runs WHERE id = $1`, clean(id)).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return model.Run{}, unknownRun(id)
	}
	if err != nil {
		return model.Run{}, s.explain("read run "+id+" from", err)
	}
	return s.decode(id, body)
}

func unknownRun(id string) error {
	return model.WithHint(fmt.Errorf("run %q does not exist: %w", id, fs.ErrNotExist), "list the runs with: hubship history")
}

func (s *Store) decode(id, body string) (model.Run, error) {
	var run model.Run
	if err := json.Unmarshal([]byte(body), &run); err != nil {
		return model.Run{}, model.WithHint(fmt.Errorf("read run %s from history %s: %w", id, s.name, err), s.hintLost())
	}
	return run, nil
}

// List returns the newest runs first.
func (s *Store) List(ctx context.Context, f model.RunFilter) ([]model.Run, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	var where []string
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if f.Environment != "" {
		where = append(where, "environment = "+arg(clean(f.Environment)))
	}
	if f.Kind != "" {
		where = append(where, "kind = "+arg(clean(string(f.Kind))))
	}
	if f.Pull != 0 {
		where = append(where, "pull = "+arg(f.Pull))
	}
	if f.Active {
		where = append(where, "active = 1")
	}
	if f.Hub != "" {
		where = append(where, "id IN (SELECT run FROM run_hubs WHERE hub IN ("+arg(clean(f.Hub))+", '"+allHubs+"'))")
	}
	query := "SELECT id, body FROM runs"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY created DESC, id DESC LIMIT " + arg(limit)

	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.explain("list runs of", err)
	}
	defer func() { _ = rows.Close() }()
	runs := []model.Run{}
	for rows.Next() {
		var id, body string
		if err := rows.Scan(&id, &body); err != nil {
			return nil, s.explain("list runs of", err)
		}
		run, err := s.decode(id, body)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain("list runs of", err)
	}
	return runs, nil
}
