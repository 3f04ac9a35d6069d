package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"
)

// How long a session of the pages lasts: without a visit, and in all.
const (
	SessionIdle = 7 * 24 * time.Hour
	SessionLife = 30 * 24 * time.Hour
)

// seenEvery bounds how often a visit is written down.
const seenEvery = 10 * time.Minute

// Session is somebody who signed in to the pages.
type Session struct {
	Account int64
	Form    string // what every form of the session repeats, so that no other site can send one
	Created Time
	Seen    Time
}

// StartSession begins a session and returns what the browser gets. What opens the
// session is what bind makes of that; nil leaves it as it is. Neither is kept.
func (s *Store) StartSession(ctx context.Context, account int64, bind func(secret string) string) (Session, string, error) {
	secret := rand.Text() + rand.Text() // 260 bits
	opener := secret
	if bind != nil {
		opener = bind(secret)
	}
	v := Session{Account: account, Form: rand.Text(), Created: Now(), Seen: Now()}
	err := s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE seen < ? OR created < ?", before(SessionIdle), before(SessionLife)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO sessions (hash, account, form, created, seen) VALUES (?, ?, ?, ?, ?)", hashToken(opener), account, v.Form, v.Created, v.Seen)
		return err
	})
	return v, secret, explain("start a session", err)
}

func before(d time.Duration) Time { return Time{time.Now().Add(-d)} }

// Session returns the session that the secret opens and its account; ErrDenied
// when it is over, or the account was disabled.
func (s *Store) Session(ctx context.Context, secret string) (Account, Session, error) {
	var v Session
	hash := hashToken(secret)
	err := s.db.QueryRowContext(ctx, "SELECT account, form, created, seen FROM sessions WHERE hash = ? AND seen >= ? AND created >= ?",
		hash, before(SessionIdle), before(SessionLife)).Scan(&v.Account, &v.Form, &v.Created, &v.Seen)
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, Session{}, ErrDenied
	}
	if err != nil {
		return Account{}, Session{}, explain("read a session", err)
	}
	a, err := s.Account(ctx, v.Account)
	if err != nil {
		return Account{}, Session{}, err
	}
	if a.Disabled {
		return Account{}, Session{}, ErrDenied
	}
	if time.Since(v.Seen.Time) > seenEvery {
		if err := s.exec(ctx, "UPDATE sessions SET seen = ? WHERE hash = ?", Now(), hash); err != nil {
			return Account{}, Session{}, explain("read a session", err)
		}
	}
	return a, v, nil
}

// EndSession ends the session that the secret opens, if there is one.
func (s *Store) EndSession(ctx context.Context, secret string) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM sessions WHERE hash = ?", hashToken(secret))
	return explain("end a session", err)
}

// EndSessions ends all sessions of an account.
func (s *Store) EndSessions(ctx context.Context, account int64) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM sessions WHERE account = ?", account)
	return explain("end sessions", err)
}
