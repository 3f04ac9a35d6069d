package store

import (
	"context"
	"database/sql"
	"errors"
)

// AddPushers writes down who moves a branch, for itself and for the open pull
// requests whose head it is. One that is made is moved by nobody before.
func (s *Store) AddPushers(ctx context.Context, repository int64, branch string, made bool, accounts ...int64) error {
	return explain("record who pushed", s.write(ctx, func(tx *sql.Tx) error {
		if made {
			if _, err := tx.ExecContext(ctx, "DELETE FROM branch_pushers WHERE repository = ? AND branch = ?", repository, branch); err != nil {
				return err
			}
		}
		for _, a := range accounts {
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO branch_pushers (repository, branch, account) VALUES (?, ?, ?)", repository, branch, a); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO pull_pushers (pull, account) SELECT id, ? FROM pulls WHERE head_repo = ? AND head_ref = ? AND closed = 0", a, repository, branch); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TakeOverPushers lets a pull request have those who moved a branch so far.
func (s *Store) TakeOverPushers(ctx context.Context, pull, repository int64, branch string) error {
	return explain("record who pushed", s.exec(ctx, "INSERT OR IGNORE INTO pull_pushers (pull, account) SELECT ?, account FROM branch_pushers WHERE repository = ? AND branch = ?", pull, repository, branch))
}

// Pushers returns the accounts that moved the head of a pull request.
func (s *Store) Pushers(ctx context.Context, pull int64) (list []int64, err error) {
	defer func() { err = explain("list who pushed", err) }()
	rows, err := s.db.QueryContext(ctx, "SELECT account FROM pull_pushers WHERE pull = ? ORDER BY account", pull)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, rows.Err()
}
