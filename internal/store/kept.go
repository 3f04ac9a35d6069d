package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Keep keeps something small under a kind and a key until a time, in place of
// what was there, and drops what has ended. A database that is lost loses it.
func (s *Store) Keep(ctx context.Context, kind, key, body string, until time.Time) error {
	return s.write(ctx, "save a value in", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM kept WHERE until < $1`, time.Now().UnixNano()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO kept (kind, key, until, body) VALUES ($1, $2, $3, $4)
			ON CONFLICT (kind, key) DO UPDATE SET until = excluded.until, body = excluded.body`, kind, key, until.UnixNano(), body)
		return err
	})
}

// Rewrite is Keep for what is still there; otherwise it changes nothing, and
// the error is fs.ErrNotExist. So what somebody ended stays ended.
func (s *Store) Rewrite(ctx context.Context, kind, key, body string, until time.Time) error {
	return s.write(ctx, "save a value in", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE kept SET until = $1, body = $2 WHERE kind = $3 AND key = $4`, until.UnixNano(), body, kind, key)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("no %s is kept under this key: %w", kind, fs.ErrNotExist))
		}
		return nil
	})
}

// Kept returns what is kept; the error is fs.ErrNotExist when nothing is, or it
// has ended.
func (s *Store) Kept(ctx context.Context, kind, key string) (string, error) {
	var body string
	err := s.db.QueryRowContext(ctx, `SELECT body FROM kept WHERE kind = $1 AND key = $2 AND until >= $3`, kind, key, time.Now().UnixNano()).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("no %s is kept under this key: %w", kind, fs.ErrNotExist)
	}
	if err != nil {
		return "", s.explain("read a value from", err)
	}
	return body, nil
}

// Forget drops what is kept, if anything is.
func (s *Store) Forget(ctx context.Context, kind, key string) error {
	return s.write(ctx, "delete a value from", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM kept WHERE kind = $1 AND key = $2`, kind, key)
		return err
	})
}

// EachKept calls fn with everything that is kept, ended or not.
func (s *Store) EachKept(ctx context.Context, fn func(kind, key, body string)) (err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT kind, key, body FROM kept ORDER BY kind, key`)
	if err != nil {
		return s.explain("list the values in", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var kind, key, body string
		if err := rows.Scan(&kind, &key, &body); err != nil {
			return s.explain("list the values in", err)
		}
		fn(kind, key, body)
	}
	return rows.Err()
}
