// Package store keeps what the embedded forge knows beside Git itself, in
// SQLite: accounts, pull requests, reviews, statuses, webhooks. Unlike history
// it cannot be made anew: it is flushed to disk at every change, and wants a
// backup.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/hubship/hubship/internal/model"
)

// migrations make the schema, one after another; what was published is never
// changed.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Errors that callers tell apart with errors.Is.
var (
	ErrNotFound = errors.New("it does not exist")
	ErrExists   = errors.New("it already exists")
)

// Store is safe for concurrent use and must be closed.
type Store struct {
	db      *sql.DB
	name    string
	writing sync.Mutex // SQLite has one writer; waiting here is fair
}

// Open opens the database file, made now if there is none, readable by its
// owner alone.
func Open(ctx context.Context, path string) (*Store, error) {
	wrap := func(err error) error { return fmt.Errorf("open the forge's database %s: %w", path, err) }
	if !filepath.IsAbs(path) {
		return nil, wrap(errors.New("the path is not absolute"))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, model.WithHint(wrap(err), "check that the database folder is writable")
	}
	// SQLite gives its companions (-wal, -shm) the mode of the main file.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, model.WithHint(wrap(err), "check that the file is readable and writable")
	}
	if err := f.Close(); err != nil {
		return nil, wrap(err)
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, wrap(err)
	}
	db.SetMaxOpenConns(4)
	s := &Store{db: db, name: path}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(wrap(err), db.Close())
	}
	return s, nil
}

// prepare applies the migrations that the database lacks.
func (s *Store) prepare(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted, by their numbers
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if version > len(files) {
			return model.WithHint(fmt.Errorf("it has schema %d, but this hubship supports at most %d", version, len(files)), "use the version of hubship that created it")
		}
		for i, name := range files[version:] {
			text, err := migrations.ReadFile(name)
			if err != nil {
				return err
			}
			statements := fmt.Sprintf("%s;\nPRAGMA user_version = %d", text, version+i+1)
			for stmt := range strings.SplitSeq(statements, ";\n") {
				if strings.TrimSpace(stmt) == "" {
					continue
				}
				if _, err := tx.ExecContext(ctx, stmt); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Close closes the database.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the forge's database %s: %w", s.name, err)
	}
	return nil
}

// write runs fn in a transaction.
func (s *Store) write(ctx context.Context, fn func(tx *sql.Tx) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // a no-op after the commit
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// exec runs one statement in a transaction of its own.
func (s *Store) exec(ctx context.Context, query string, args ...any) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

// explain says what was tried, and tells a duplicate from other failures.
func explain(what string, err error) error {
	if err == nil {
		return nil
	}
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return fmt.Errorf("%s: %w", what, ErrExists)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// add inserts a row and put updates one, each in a transaction of its own.
func add[T any](ctx context.Context, s *Store, t table[T], what string, v *T) error {
	return explain(what, s.write(ctx, func(tx *sql.Tx) error { return t.insert(ctx, tx, v) }))
}

func put[T any](ctx context.Context, s *Store, t table[T], what string, v *T) error {
	return explain(what, s.write(ctx, func(tx *sql.Tx) error { return t.update(ctx, tx, v) }))
}
