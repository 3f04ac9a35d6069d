package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forge.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, path
}

// A database of an earlier hubship keeps what it has and gets what it lacks;
// one of a later hubship is left alone.
func TestMigrations(t *testing.T) {
	s, path := open(t)
	ada := account(t, s, NewAccount{Login: "ada"})
	r := Repository{Owner: ada.ID, Name: "deployment", Dir: "deployment.git", DefaultBranch: "staging"}
	if err := s.AddRepository(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	p := Pull{Repository: r.ID, Author: ada.ID, HeadRepo: &r.ID, HeadOwner: ada.ID}
	if err := s.AddPull(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"PENDING", Commented} {
		if err := s.AddReview(t.Context(), &Review{Pull: p.ID, Author: ada.ID, State: state}); err != nil {
			t.Fatal(err)
		}
	}
	for _, back := range []string{"DROP TABLE line_comments", "DROP TABLE branch_pushers", "DROP TABLE pull_pushers", "DROP TABLE tries", "ALTER TABLE statuses DROP COLUMN base_ref", "ALTER TABLE statuses DROP COLUMN base_sha", "PRAGMA user_version = 1"} {
		if _, err := s.db.ExecContext(t.Context(), back); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if had, err := s.Account(t.Context(), ada.ID); err != nil || had.Login != "ada" {
		t.Errorf("the account is %+v, %v", had, err)
	}
	if list, err := s.LineComments(t.Context(), 1); err != nil || len(list) != 0 {
		t.Errorf("comments on lines: %v, %v", list, err)
	}
	if list, err := s.Reviews(t.Context(), p.ID); err != nil || len(list) != 1 || list[0].State != Commented {
		t.Errorf("reviews %+v, %v: a draft is left", list, err)
	}
	if _, err := s.db.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "it has schema 99, but this hubship supports at most ") {
		t.Errorf("a later hubship's database: %v", err)
	}
}

func account(t *testing.T, s *Store, n NewAccount) Account {
	t.Helper()
	a, err := s.CreateAccount(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccounts(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	const password = "correct horse battery"
	ada := account(t, s, NewAccount{Login: "ada", Password: password})
	account(t, s, NewAccount{Login: "bot"})
	if _, err := s.CreateAccount(ctx, NewAccount{Login: "ada"}); !errors.Is(err, ErrExists) {
		t.Errorf("the same login: %v", err)
	}
	for name, n := range map[string]NewAccount{
		"a path": {Login: "../x"}, "capitals": {Login: "Ada"}, "empty": {}, "a hyphen at the end": {Login: "a-"}, "a short password": {Login: "x", Password: "short"},
		"a role": {Login: "x", Role: "king"}, "a name for a header": {Login: "x", Name: "a\nb"}, "an organization with a password": {Login: "x", Kind: Organization, Password: password},
	} {
		if _, err := s.CreateAccount(ctx, n); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if a, err := s.Login(ctx, "ADA", password); err != nil || a.ID != ada.ID {
		t.Errorf("login: %v", err)
	}
	for name, c := range map[string][2]string{"wrong": {"ada", password + "x"}, "empty": {"ada", ""}, "unknown": {"eve", password}, "no password": {"bot", ""}, "huge": {"ada", strings.Repeat("x", 1<<20)}} {
		if _, err := s.Login(ctx, c[0], c[1]); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.SetPassword(ctx, ada.ID, password+"2"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(ctx, "ada", password); !errors.Is(err, ErrDenied) {
		t.Errorf("the old password: %v", err)
	}
	if err := s.SetDisabled(ctx, ada.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Login(ctx, "ada", password+"2"); !errors.Is(err, ErrDenied) {
		t.Errorf("locked out: %v", err)
	}
}

func TestTokens(t *testing.T) {
	s, path := open(t)
	ctx := t.Context()
	ada := account(t, s, NewAccount{Login: "ada"})
	tok, secret, err := s.CreateToken(ctx, ada.ID, "laptop", []string{ScopeStatus}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, got, err := s.Bearer(ctx, secret)
	if err != nil || a.Login != "ada" || !got.Allows(ScopeRead) || !got.Allows(ScopeStatus) || got.Allows(ScopeRepo) || got.Allows(ScopeHooks) {
		t.Errorf("bearer: %v, scopes %q, %v", a.Login, got.Scopes, err)
	}
	_, late, err := s.CreateToken(ctx, ada.ID, "short", []string{ScopeRepo}, time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeToken(ctx, ada.ID+1, tok.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Bearer(ctx, secret); err != nil {
		t.Errorf("somebody else revoked it: %v", err)
	}
	for name, x := range map[string]string{"expired": late, "empty": "", "a prefix": secret[:20], "its hash": tok.hash} {
		if _, _, err := s.Bearer(ctx, x); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.RevokeToken(ctx, ada.ID, tok.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Bearer(ctx, secret); !errors.Is(err, ErrDenied) {
		t.Errorf("revoked: %v", err)
	}
	if _, _, err := s.CreateToken(ctx, ada.ID, "x", []string{"everything"}, 0); err == nil {
		t.Error("an unknown scope was taken")
	}
	// The secrets are nowhere in the files, which are their owner's alone.
	for _, name := range []string{path, path + "-wal"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(secret)) || bytes.Contains(data, []byte(late)) {
			t.Errorf("%s holds a secret", name)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// Numbers are given once, whoever asks at the same time, and what is stored is
// there after the next start.
func TestPulls(t *testing.T) {
	s, path := open(t)
	ctx := t.Context()
	ada := account(t, s, NewAccount{Login: "ada"})
	r := Repository{Owner: ada.ID, Name: "deployment", Dir: "deployment", DefaultBranch: "staging"}
	if err := s.AddRepository(ctx, &r); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			p := Pull{Repository: r.ID, Title: "x", Author: ada.ID, BaseRef: "staging", HeadRepo: &r.ID, HeadOwner: ada.ID, HeadRef: string(rune('a' + i))}
			if err := s.AddPull(ctx, &p); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	p := Pull{Repository: r.ID, Title: "x", Author: ada.ID, BaseRef: "staging", HeadRepo: &r.ID, HeadOwner: ada.ID, HeadRef: "a"}
	if err := s.AddPull(ctx, &p); !errors.Is(err, ErrExists) {
		t.Errorf("the same again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	list, total, err := s.Pulls(ctx, PullFilter{Repository: r.ID, State: "open", Ascending: true, Limit: 3, Offset: 6})
	if err != nil || total != 8 || len(list) != 2 || list[1].Number != 8 {
		t.Errorf("%d of %d, %v", len(list), total, err)
	}
	if _, err := s.EditPull(ctx, r.ID, 1, func(p *Pull) error { p.Title = "y"; return errors.New("no") }); err == nil {
		t.Error("an edit that failed went through")
	}
	if p, err := s.Pull(ctx, r.ID, 1); err != nil || p.Title != "x" {
		t.Errorf("title %q, %v", p.Title, err)
	}
	if _, err := s.Pull(ctx, r.ID, 99); !errors.Is(err, ErrNotFound) {
		t.Errorf("number 99: %v", err)
	}
}

func TestDeliveriesAreBounded(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	ada := account(t, s, NewAccount{Login: "ada"})
	r := Repository{Owner: ada.ID, Name: "d", Dir: "d", DefaultBranch: "staging"}
	if err := s.AddRepository(ctx, &r); err != nil {
		t.Fatal(err)
	}
	h := Hook{Repository: r.ID, URL: "http://localhost", ContentType: "json", Events: "*"}
	for range MaxHooks {
		if err := s.AddHook(ctx, &h); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddHook(ctx, &h); !errors.Is(err, ErrTooManyHooks) {
		t.Errorf("one hook more: %v", err)
	}
	for range KeepDeliveries + 20 {
		if err := s.AddDelivery(ctx, &Delivery{Hook: h.ID, Due: Now()}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Deliveries(ctx, h.ID, 0, 10_000)
	if err != nil || len(all) != KeepDeliveries {
		t.Errorf("%d are kept, %v", len(all), err)
	}
	due, err := s.DueDeliveries(ctx, h.ID, time.Now(), 5)
	if err != nil || len(due) != 5 {
		t.Errorf("%d due, %v", len(due), err)
	}
	later := Time{time.Now().Add(time.Hour)}
	if err := s.AddDelivery(ctx, &Delivery{Hook: h.ID, Due: later}); err != nil {
		t.Fatal(err)
	}
	if hooks, next, err := s.DueHooks(ctx, time.Now()); err != nil || !slices.Equal(hooks, []int64{h.ID}) || !next.Equal(later.Time) {
		t.Errorf("hooks %v, next %v, %v", hooks, next, err)
	}
}
