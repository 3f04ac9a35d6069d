package store

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

func TestSessions(t *testing.T) {
	ctx := t.Context()
	s, err := Open(ctx, filepath.Join(t.TempDir(), "forge.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	a, err := s.CreateAccount(ctx, NewAccount{Login: "ada", Password: "correct horse"})
	if err != nil {
		t.Fatal(err)
	}
	start := func() string {
		t.Helper()
		v, secret, err := s.StartSession(ctx, a.ID)
		if err != nil || len(secret) < 50 || v.Form == "" {
			t.Fatal(v, secret, err)
		}
		return secret
	}
	denied := func(what, secret string) {
		t.Helper()
		if _, _, err := s.Session(ctx, secret); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", what, err)
		}
	}
	one, two := start(), start()
	if got, v, err := s.Session(ctx, one); err != nil || got.Login != "ada" || v.Account != a.ID {
		t.Errorf("%+v %+v %v", got, v, err)
	}
	denied("nothing", "")
	denied("a guess", "x")
	if err := s.EndSession(ctx, one); err != nil {
		t.Fatal(err)
	}
	denied("ended", one)
	if err := s.SetPassword(ctx, a.ID, "another horse"); err != nil {
		t.Fatal(err)
	}
	denied("after a new password", two)
	for what, column := range map[string]string{"idle": "seen", "old": "created"} {
		three := start()
		if _, err := s.db.ExecContext(ctx, "UPDATE sessions SET "+column+" = ?", Time{time.Now().Add(-SessionLife - time.Hour)}); err != nil {
			t.Fatal(err)
		}
		denied(what, three)
	}
	four := start()
	if err := s.SetDisabled(ctx, a.ID, true); err != nil {
		t.Fatal(err)
	}
	denied("disabled", four)
}
