package store

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

func openSQLite(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "a folder with ? and %20", "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) {
	testHistory(t, func(t *testing.T) *Store { return openSQLite(t) })
}

// postgresDSN names a schema of its own in the database of
// HUBSHIP_TEST_POSTGRES, dropped at the end of the test.
func postgresDSN(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("HUBSHIP_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("PostgreSQL is not tested: HUBSHIP_TEST_POSTGRES names no database (postgres://…)")
	}
	schema := fmt.Sprintf("hubship_test_%d", time.Now().UnixNano())
	admin, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP SCHEMA " + schema + " CASCADE"); err != nil {
			t.Error(err)
		}
		if err := admin.Close(); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestPostgreSQL(t *testing.T) {
	if os.Getenv("HUBSHIP_TEST_POSTGRES") == "" {
		postgresDSN(t)
	}
	testHistory(t, func(t *testing.T) *Store {
		s, err := Open(t.Context(), postgresDSN(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
	t.Run("bounds", func(t *testing.T) {
		s, err := Open(t.Context(), postgresDSN(t))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		testBounds(t, s)
	})
}

func TestBounds(t *testing.T) { testBounds(t, openSQLite(t)) }

// testBounds fills a log beyond its bound, and a history beyond its.
func testBounds(t *testing.T, s *Store) {
	s.bounds = bounds{runs: 5, lines: 200, head: 100, step: 10}
	const total = 500
	if err := s.Put(t.Context(), NewRun(0, func(r *model.Run) { r.State = model.Running })); err != nil {
		t.Fatal(err)
	}
	for from := 1; from <= total; from += 7 {
		var batch []model.Line
		for n := from; n < from+7 && n <= total; n++ {
			batch = append(batch, model.Line{Text: fmt.Sprint("line ", n)})
		}
		if err := s.AppendAll(t.Context(), "r000000", batch); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := s.Lines(t.Context(), "r000000", 0, 2*total)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) > s.bounds.lines || len(lines) < s.bounds.lines-2*s.bounds.step {
		t.Errorf("%d lines are kept of %d", len(lines), total)
	}
	marker := lines[s.bounds.head]
	dropped := total - len(lines) + 1 // the marker stands in the place of one
	if want := fmt.Sprintf("… %d lines dropped", dropped); marker.Text != want || marker.Level != model.LevelWarn {
		t.Errorf("marker is %+v, want %q", marker, want)
	}
	last := int64(0)
	for i, l := range lines {
		if l.Seq <= last {
			t.Fatalf("seq %d follows %d", l.Seq, last)
		}
		if last = l.Seq; i != s.bounds.head && l.Text != fmt.Sprint("line ", l.Seq) {
			t.Fatalf("line %d reads %q", l.Seq, l.Text)
		}
	}
	if last != total {
		t.Errorf("the last line has seq %d, want %d", last, total)
	}

	for n := 1; n <= 20; n++ {
		if err := s.Put(t.Context(), NewRun(n, nil)); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := s.List(t.Context(), model.RunFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	// The five newest, and the oldest of all, because it is under way.
	if got, want := strings.Join(ids, " "), "r000020 r000019 r000018 r000017 r000016 r000000"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	// Its log goes with a run.
	if err := s.Put(t.Context(), NewRun(0, nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), NewRun(21, nil)); err != nil {
		t.Fatal(err)
	}
	if lines, err := s.Lines(t.Context(), "r000000", 0, 1); err != nil || len(lines) != 0 {
		t.Errorf("the log of a removed run is still there: %v, %v", lines, err)
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	for n := range 3 {
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), NewRun(n, nil)); err != nil {
			t.Fatal(err)
		}
		runs, err := s.List(t.Context(), model.RunFilter{})
		if err != nil || len(runs) != n+1 {
			t.Errorf("open %d: %d runs, %v", n, len(runs), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec("INSERT INTO hubship_schema (version) VALUES (99)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path)
	if err == nil || !strings.Contains(err.Error(), "schema 99") || !strings.Contains(model.HintOf(err), "newer hubship") {
		t.Errorf("a database of a newer hubship: %v (%s)", err, model.HintOf(err))
	}
}

func TestBrokenDatabases(t *testing.T) {
	whole := func(t *testing.T, path string) {
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 200 {
			if err := s.Put(t.Context(), NewRun(n, nil)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, breakIt := range map[string]func(t *testing.T, path string){
		"not a database": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 500)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"pages overwritten": func(t *testing.T, path string) {
			whole(t, path)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 4096; i < len(data); i++ {
				data[i] = 0xA5
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"cut off": func(t *testing.T, path string) {
			whole(t, path)
			if err := os.Truncate(path, 4096); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			breakIt(t, path)
			s, err := Open(t.Context(), path)
			if err == nil { // some damage shows at the first use only
				_, err = s.List(t.Context(), model.RunFilter{})
				_ = s.Close()
			}
			if err == nil {
				t.Fatal("the damage was not noticed")
			}
			if hint := model.HintOf(err); !strings.Contains(err.Error(), path) || !strings.Contains(hint, "compromises nothing") {
				t.Errorf("error %q, hint %q", err, hint)
			}
		})
	}
}

func TestLockedDatabase(t *testing.T) {
	s := openSQLite(t)
	other, err := sql.Open("sqlite", "file:"+(&url.URL{Path: s.name}).EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	// The default patience would only make the test slow.
	s.db.SetMaxOpenConns(1)
	if _, err := s.db.Exec("PRAGMA busy_timeout = 50"); err != nil {
		t.Fatal(err)
	}
	err = s.Put(t.Context(), NewRun(1, nil))
	if err == nil || !strings.Contains(model.HintOf(err), "another program is using the database") {
		t.Errorf("a locked database: %v (%s)", err, model.HintOf(err))
	}
	if _, err := other.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), NewRun(1, nil)); err != nil {
		t.Errorf("after the lock is gone: %v", err)
	}
}

func TestUnusableDSN(t *testing.T) {
	_, err := Open(t.Context(), "postgres://admin:hunter2%zz@127.0.0.1/x")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a DSN that cannot be parsed: %v", err)
	}
	_, err = Open(t.Context(), "postgres://admin:hunter2@127.0.0.1:1/x?connect_timeout=2")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(model.HintOf(err), "PostgreSQL") {
		t.Errorf("a server that is not there: %v (%s)", err, model.HintOf(err))
	}
	if _, err = Open(t.Context(), ""); model.ExitCodeOf(err) != model.ExitUsage {
		t.Errorf("no DSN: %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := openSQLite(b)
	if err := s.Put(b.Context(), NewRun(1, nil)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Append(b.Context(), "r000001", model.Line{Text: "Collecting numpy==2.3.4 (from -r requirements.txt (line 1))"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAll100(b *testing.B) {
	s := openSQLite(b)
	if err := s.Put(b.Context(), NewRun(1, nil)); err != nil {
		b.Fatal(err)
	}
	lines := make([]model.Line, 100)
	for i := range lines {
		lines[i].Text = "Collecting numpy==2.3.4 (from -r requirements.txt (line 1))"
	}
	for b.Loop() {
		if err := s.AppendAll(b.Context(), "r000001", lines); err != nil {
			b.Fatal(err)
		}
	}
}
