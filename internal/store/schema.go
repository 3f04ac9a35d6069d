package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

//go:embed migrations/*.sql
var migrations embed.FS

// lockSchema is any number that all hubships agree on; PostgreSQL serialises
// migrations of several replicas by it.
const lockSchema = 7_204_681

// migrate applies the migrations that the database lacks, each in a
// transaction of its own. A database of a newer hubship is refused.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	err = s.write(ctx, "prepare the schema of", func(tx *sql.Tx) error {
		if err := s.lockSchema(ctx, tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS hubship_schema (version BIGINT NOT NULL PRIMARY KEY)`)
		return err
	})
	if err != nil {
		return err
	}
	for i, name := range files {
		version, err := strconv.Atoi(strings.SplitN(strings.TrimPrefix(name, "migrations/"), "_", 2)[0])
		if err != nil || version != i+1 {
			return fmt.Errorf("schema file %s is out of order", name)
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read schema: %w", err)
		}
		if err := s.apply(ctx, version, len(files), string(text)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) apply(ctx context.Context, version, newest int, text string) error {
	return s.write(ctx, fmt.Sprintf("bring to schema %d", version), func(tx *sql.Tx) error {
		if err := s.lockSchema(ctx, tx); err != nil {
			return err
		}
		var have sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT MAX(version) FROM hubship_schema`).Scan(&have); err != nil {
			return err
		}
		if have.Int64 > int64(newest) {
			return model.WithHint(fmt.Errorf("it has schema %d, but this hubship supports at most %d", have.Int64, newest),
				"use the newer hubship again, or move the database away: it holds only history and copies of what the clusters keep")
		}
		if have.Int64 >= int64(version) {
			return nil
		}
		for _, stmt := range strings.Split(text, ";\n") {
			if strings.TrimSpace(stmt) == "" {
				continue
			}
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO hubship_schema (version) VALUES ($1)`, version)
		return err
	})
}

func (s *Store) lockSchema(ctx context.Context, tx *sql.Tx) error {
	if s.sqlite {
		return nil // the transaction is immediate: it holds the write lock
	}
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockSchema))
	return err
}
