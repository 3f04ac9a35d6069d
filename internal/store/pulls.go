package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// How long is kept what a test came to, and what was reported to a forge.
const (
	KeepResults  = 90 * 24 * time.Hour
	KeepReported = 400 * 24 * time.Hour
)

// Passed returns what a test came to that passed under the key.
func (s *Store) Passed(ctx context.Context, key string) (model.TestResult, bool, error) {
	var body string
	err := s.db.QueryRowContext(ctx, `SELECT body FROM test_results WHERE key = $1`, clean(key)).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return model.TestResult{}, false, nil
	}
	if err != nil {
		return model.TestResult{}, false, s.explain("read a test's result from", err)
	}
	var r model.TestResult
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return r, false, fmt.Errorf("read a test's result from history %s: %w", s.name, err)
	}
	return r, true, nil
}

// SetPassed keeps that a test passed, and forgets what is older than
// KeepResults.
func (s *Store) SetPassed(ctx context.Context, key string, r model.TestResult) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("store the result of test %s: %w", r.Name, err)
	}
	now := time.Now()
	return s.write(ctx, "store a test's result in", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO test_results (key, at, body) VALUES ($1, $2, $3)
			ON CONFLICT (key) DO UPDATE SET at = excluded.at, body = excluded.body`, clean(key), now.UnixNano(), clean(string(body))); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM test_results WHERE at < $1`, now.Add(-KeepResults).UnixNano())
		return err
	})
}

// Reported returns a digest of what was reported under a key, and the forge's
// id of it; both are "" when nothing was.
func (s *Store) Reported(ctx context.Context, key string) (digest, ref string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT digest, ref FROM reported WHERE key = $1`, clean(key)).Scan(&digest, &ref)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", s.explain("read what was reported from", err)
	}
	return digest, ref, nil
}

// SetReported keeps what was reported under a key, and forgets what is older
// than KeepReported.
func (s *Store) SetReported(ctx context.Context, key, digest, ref string) error {
	now := time.Now()
	return s.write(ctx, "store what was reported in", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO reported (key, at, digest, ref) VALUES ($1, $2, $3, $4)
			ON CONFLICT (key) DO UPDATE SET at = excluded.at, digest = excluded.digest, ref = excluded.ref`, clean(key), now.UnixNano(), clean(digest), clean(ref)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM reported WHERE at < $1`, now.Add(-KeepReported).UnixNano())
		return err
	})
}
