package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Standing returns the signed standing of a release. It is the second of two
// places: the other is the release's cluster.
func (s *Store) Standing(ctx context.Context, key string) ([]byte, bool, error) {
	var body string
	err := s.db.QueryRowContext(ctx, `SELECT body FROM standings WHERE key = $1`, clean(key)).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.explain("read a release's standing from", err)
	}
	return []byte(body), true, nil
}

// SetStanding keeps a release's standing in place of one of a lower
// generation. It returns false, and keeps nothing, when there is one as new.
func (s *Store) SetStanding(ctx context.Context, key string, generation int64, envelope []byte) (kept bool, err error) {
	err = s.write(ctx, "store a release's standing in", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO standings (key, at, generation, body) VALUES ($1, $2, $3, $4)
			ON CONFLICT (key) DO UPDATE SET at = excluded.at, generation = excluded.generation, body = excluded.body
			WHERE standings.generation < excluded.generation`, clean(key), time.Now().UnixNano(), generation, clean(string(envelope)))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		kept = n > 0
		return err
	})
	return kept, err
}
