package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/hubship/hubship/internal/model"
)

// explain wraps an error of the database with what was tried and what to do.
func (s *Store) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) { // an unknown run, worded already
		return err
	}
	wrapped := fmt.Errorf("%s history %s: %w", op, s.name, err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), model.HintOf(err) != "":
		return wrapped
	case s.sqlite:
		return model.WithHint(wrapped, s.hintSQLite(err))
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return model.WithHint(wrapped, "check the permissions of the database user and the server's log")
	}
	return model.WithHint(wrapped, "check that the PostgreSQL server is running and that its address, user and password are correct")
}

func (s *Store) hintSQLite(err error) string {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return s.hintLost()
	}
	switch e.Code() & 0xff { // the primary code; the rest says more
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another program is using the database: stop it (fuser " + s.name + " shows it) and try again"
	case sqlite3.SQLITE_FULL:
		return "the disk is full: free some space"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return "check that the file and its folder are writable"
	}
	return s.hintLost()
}

// hintLost is the advice for a database that cannot be read.
func (s *Store) hintLost() string {
	if !s.sqlite {
		return "restore the database from a backup, or use an empty one: it holds only history and copies of what the clusters keep, so losing it compromises nothing"
	}
	return "stop hubship and move " + s.name + "* away: it holds only history and copies of what the clusters keep, so losing it compromises nothing, and the next start creates a new one"
}
