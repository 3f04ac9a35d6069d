package store

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// Bounds of passwords within TriesTime: of one account from one address, of one
// account from everywhere, so that who guesses from afar does not lock those out
// at once whom they are after, and from one address to whichever account.
const (
	TriesTime    = 5 * time.Minute
	triesHere    = 10
	triesInAll   = 100
	triesAddress = 100
)

// maxTries bounds how many counts are kept: the oldest go first.
const maxTries = 10_000

func tryKeys(login, address string) map[string]int {
	login = strings.ToLower(login)
	return map[string]int{"account " + login: triesInAll, "account " + login + " from " + address: triesHere, "address " + address: triesAddress}
}

// BeginTry counts a password that is tried, before it is looked at; false when
// there were too many lately. The counts outlive the process.
func (s *Store) BeginTry(ctx context.Context, login, address string) (ok bool, err error) {
	if len(login) > 100 {
		login = login[:100] // there is none so long
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		now := Now()
		if _, err := tx.ExecContext(ctx, "DELETE FROM tries WHERE until <= ?", now); err != nil {
			return err
		}
		ok = true
		for key, most := range tryKeys(login, address) {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT COALESCE((SELECT count FROM tries WHERE key = ?), 0)", key).Scan(&n); err != nil {
				return err
			}
			ok = ok && n < most
		}
		if !ok {
			return nil
		}
		for key := range tryKeys(login, address) {
			if _, err := tx.ExecContext(ctx, "INSERT INTO tries (key, count, until) VALUES (?1, 1, ?2) ON CONFLICT (key) DO UPDATE SET count = count + 1", key, Time{now.Add(TriesTime)}); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM tries WHERE key IN (SELECT key FROM tries ORDER BY until DESC LIMIT -1 OFFSET ?)", maxTries)
		return err
	})
	return ok, explain("count a password attempt", err)
}

// RightTry takes back what a right password counted from an address.
func (s *Store) RightTry(ctx context.Context, login, address string) error {
	login = strings.ToLower(login)
	return explain("count a password attempt", s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM tries WHERE key = ?", "account "+login+" from "+address); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE tries SET count = MAX(count - 1, 0) WHERE key IN (?, ?)", "account "+login, "address "+address)
		return err
	}))
}
