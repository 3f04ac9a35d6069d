// Package store keeps runs and their logs for people to look at, in SQLite or
// PostgreSQL, and the second copy of each release's signed standing. What
// should be is in Git, what is is in the clusters. A database that is lost or
// deleted costs history and no safety: the clusters have the other copy.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"github.com/hubship/hubship/internal/model"
)

// Bounds of what is kept. Active runs are never removed.
const (
	KeepRuns     = 1000      // newest runs that are kept
	KeepLines    = 20_000    // lines that are kept of one run
	KeepHead     = 10_000    // of these, the first ones that are never dropped
	MaxTextBytes = 16 * 1024 // of one line; the rest is cut
)

// bounds are these, and how many lines go at once when a log is full, so that
// a long log is trimmed now and then and not at every line.
type bounds struct{ runs, lines, head, step int }

var defaultBounds = bounds{runs: KeepRuns, lines: KeepLines, head: KeepHead, step: 1000}

// Store keeps the history of runs, and which tests passed, in a database. It is
// safe for concurrent use.
type Store struct {
	db      *sql.DB
	name    string // for errors: the file, or the DSN without its password
	sqlite  bool
	writing sync.Mutex // one writer at a time: SQLite has but one, and waiting here is fair
	bounds  bounds
}

// Open opens the database and brings its schema up to date. The DSN is a
// postgres:// URL or the path of an SQLite file, which is made if it does not
// exist, readable by its owner alone. The caller closes the Store.
func Open(ctx context.Context, dsn string) (*Store, error) {
	s := &Store{bounds: defaultBounds}
	var err error
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		err = s.openPostgres(dsn)
	} else {
		err = s.openSQLite(dsn)
	}
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		_ = s.db.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) openPostgres(dsn string) error {
	u, err := url.Parse(dsn)
	if err != nil {
		// The parser's error quotes the DSN, and with it the password.
		return model.Usage(fmt.Errorf("open history: the postgres:// address cannot be parsed"),
			"write it as postgres://user:password@host:5432/database and percent-encode special characters")
	}
	s.name = u.Redacted()
	s.db, err = sql.Open("pgx", dsn)
	if err != nil {
		return s.explain("open", err)
	}
	s.db.SetMaxOpenConns(8)
	return nil
}

func (s *Store) openSQLite(path string) error {
	path = strings.TrimPrefix(path, "sqlite:")
	if path == "" {
		return model.Usage(fmt.Errorf("open history: no database file is given"), "give a file or a postgres:// address")
	}
	s.name, s.sqlite = path, true
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return model.WithHint(fmt.Errorf("open history: %w", err), "check that the database folder is writable")
	}
	// SQLite gives its companions (-wal, -shm) the mode of the main file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return model.WithHint(fmt.Errorf("open history: %w", err), "check that the file is readable and writable")
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("open history: %w", err)
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		// In WAL mode NORMAL can lose the last commits in a power cut, but
		// never corrupts. That is enough for history, and it spares an fsync
		// for every line of a build's output.
		"synchronous(NORMAL)",
		"foreign_keys(ON)",
		"temp_store(MEMORY)",
	}}
	s.db, err = sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return s.explain("open", err)
	}
	s.db.SetMaxOpenConns(4)
	return nil
}

// Close closes the database.
func (s *Store) Close() error {
	if s.sqlite {
		// Folds the write-ahead log into the file, so that a copy of the one
		// file is complete. Another reader may prevent it, which is harmless.
		if _, err := s.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			slog.Debug("history: checkpoint at close", "error", err)
		}
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close history %s: %w", s.name, err)
	}
	return nil
}

// write runs fn in a transaction.
func (s *Store) write(ctx context.Context, op string, fn func(tx *sql.Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(op, err)
	}
	defer func() { _ = tx.Rollback() }() // a no-op after the commit
	if err := fn(tx); err != nil {
		return s.explain(op, err)
	}
	if err := tx.Commit(); err != nil {
		return s.explain(op, err)
	}
	return nil
}
