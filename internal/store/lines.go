package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hubship/hubship/internal/model"
)

// batchRows is how many rows one INSERT has. The SQLite driver looks each
// parameter up among all of them, so larger is slower from here on.
const batchRows = 20

// Append adds a line to a run's log. Seq is assigned, and Time if it is zero.
// The error wraps fs.ErrNotExist when the run was never Put.
func (s *Store) Append(ctx context.Context, run string, line model.Line) error {
	return s.AppendAll(ctx, run, []model.Line{line})
}

// AppendAll adds lines to a run's log in one transaction, in their order: for
// the output of a build, much cheaper than one Append a line. A log that
// passes KeepLines loses lines of its middle; a line in their place says how
// many.
func (s *Store) AppendAll(ctx context.Context, run string, lines []model.Line) error {
	if len(lines) == 0 {
		return nil
	}
	run = clean(run)
	return s.write(ctx, "add to the log of run "+run+" in", func(tx *sql.Tx) error {
		var last, kept int64
		err := tx.QueryRowContext(ctx,
			`UPDATE runs SET last_seq = last_seq + $1, lines_kept = lines_kept + $1 WHERE id = $2 RETURNING last_seq, lines_kept`,
			len(lines), run).Scan(&last, &kept)
		if errors.Is(err, sql.ErrNoRows) {
			return unknownRun(run)
		}
		if err != nil {
			return err
		}
		first := last - int64(len(lines)) + 1
		for i := 0; i < len(lines); i += batchRows {
			part := lines[i:min(i+batchRows, len(lines))]
			if err := insertLines(ctx, tx, run, first+int64(i), part); err != nil {
				return err
			}
		}
		if kept <= int64(s.bounds.lines) {
			return nil
		}
		return s.trim(ctx, tx, run, last)
	})
}

func insertLines(ctx context.Context, tx *sql.Tx, run string, seq int64, lines []model.Line) error {
	var q strings.Builder
	q.WriteString(`INSERT INTO lines (run, seq, at, level, scope, line) VALUES `)
	args := make([]any, 0, 6*len(lines))
	for i, l := range lines {
		if i > 0 {
			q.WriteByte(',')
		}
		n := len(args)
		fmt.Fprintf(&q, "($%d,$%d,$%d,$%d,$%d,$%d)", n+1, n+2, n+3, n+4, n+5, n+6)
		at := l.Time
		if at.IsZero() {
			at = time.Now()
		}
		level := l.Level
		if level == "" {
			level = model.LevelInfo
		}
		args = append(args, run, seq+int64(i), at.UnixNano(), string(level), clean(l.Scope), cut(clean(l.Text)))
	}
	_, err := tx.ExecContext(ctx, q.String(), args...)
	return err
}

// trim drops lines of the middle. What stays are the first ones, the marker,
// and the newest ones, with room for some more.
func (s *Store) trim(ctx context.Context, tx *sql.Tx, run string, last int64) error {
	b := s.bounds
	marker := int64(b.head + 1)
	from := last - int64(b.lines-b.head-1-b.step) + 1 // oldest of the newest that stay
	if _, err := tx.ExecContext(ctx, `DELETE FROM lines WHERE run = $1 AND seq > $2 AND seq < $3`, run, marker, from); err != nil {
		return err
	}
	dropped := from - marker
	if _, err := tx.ExecContext(ctx, `UPDATE lines SET level = $1, scope = '', line = $2 WHERE run = $3 AND seq = $4`,
		string(model.LevelWarn), fmt.Sprintf("… %d lines dropped", dropped), run, marker); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE runs SET lines_kept = $1 WHERE id = $2`, marker+last-from+1, run)
	return err
}

// Lines returns lines with Seq greater than after, oldest first; at most
// limit of them, or 1,000 when limit is not positive. A run that is not known
// has none.
func (s *Store) Lines(ctx context.Context, run string, after int64, limit int) ([]model.Line, error) {
	if limit <= 0 {
		limit = 1000
	}
	rows, err := s.db.QueryContext(ctx,
		`SELECT seq, at, level, scope, line FROM lines WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3`, clean(run), after, limit)
	if err != nil {
		return nil, s.explain("read the log of run "+run+" from", err)
	}
	defer func() { _ = rows.Close() }()
	lines := []model.Line{}
	for rows.Next() {
		var l model.Line
		var at int64
		if err := rows.Scan(&l.Seq, &at, &l.Level, &l.Scope, &l.Text); err != nil {
			return nil, s.explain("read the log of run "+run+" from", err)
		}
		l.Time = time.Unix(0, at).UTC()
		lines = append(lines, l)
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain("read the log of run "+run+" from", err)
	}
	return lines, nil
}

// clean makes any bytes storable: PostgreSQL takes neither invalid UTF-8 nor
// NUL, and what a build prints may hold both.
func clean(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// cut bounds a line's length at a rune's start.
func cut(text string) string {
	if len(text) <= MaxTextBytes {
		return text
	}
	at := MaxTextBytes
	for !utf8.RuneStart(text[at]) {
		at--
	}
	return fmt.Sprintf("%s … (%d bytes cut)", text[:at], len(text)-at)
}
