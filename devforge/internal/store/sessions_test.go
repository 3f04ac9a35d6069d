package store

import (
	"errors"
	"fmt"
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
		v, secret, err := s.StartSession(ctx, a.ID, nil)
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
	_, token, err := s.CreateToken(ctx, a.ID, "t", []string{ScopeRepo}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetPassword(ctx, a.ID, "another horse"); err != nil {
		t.Fatal(err)
	}
	denied("after a new password", two)
	if _, _, err := s.Bearer(ctx, token); !errors.Is(err, ErrDenied) {
		t.Errorf("a token after a new password: %v", err)
	}
	for what, column := range map[string]string{"idle": "seen", "old": "created"} {
		three := start()
		if _, err := s.db.ExecContext(ctx, "UPDATE sessions SET "+column+" = ?", Time{time.Now().Add(-SessionLife - time.Hour)}); err != nil {
			t.Fatal(err)
		}
		denied(what, three)
	}
	four := start()
	if _, token, err = s.CreateToken(ctx, a.ID, "t", []string{ScopeRepo}, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.SetDisabled(ctx, a.ID, true); err != nil {
		t.Fatal(err)
	}
	denied("disabled", four)
	if err := s.SetDisabled(ctx, a.ID, false); err != nil {
		t.Fatal(err)
	}
	denied("disabled, and let in again", four)
	if _, _, err := s.Bearer(ctx, token); !errors.Is(err, ErrDenied) {
		t.Errorf("a token of an account that was disabled: %v", err)
	}
}

// Wrong passwords are counted over a restart: of an account from an address, of
// an account from everywhere, and of an address.
func TestTries(t *testing.T) {
	s, path := open(t)
	ctx := t.Context()
	try := func(login, address string) bool {
		t.Helper()
		ok, err := s.BeginTry(ctx, login, address)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	for i := range triesHere {
		if !try("ada", "192.0.2.1") {
			t.Fatalf("try %d was refused", i)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if s, err = Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if try("ada", "192.0.2.1") || try("Ada", "192.0.2.1") {
		t.Error("a restart forgot wrong passwords")
	}
	if !try("ada", "192.0.2.2") || !try("ben", "192.0.2.1") {
		t.Error("another address, or another account, is locked out")
	}
	for i := 0; try(fmt.Sprint("a", i), "192.0.2.3"); i++ {
		if i > triesAddress {
			t.Fatal("one address guesses for ever")
		}
	}
	for i := 0; try("carl", fmt.Sprint("192.0.3.", i)); i++ {
		if i > triesInAll {
			t.Fatal("one account is guessed for ever")
		}
	}
	if err := s.RightTry(ctx, "ben", "192.0.2.1"); err != nil || !try("ben", "192.0.2.1") {
		t.Errorf("after a right password: %v", err)
	}
	if _, err := s.db.ExecContext(ctx, "UPDATE tries SET until = 1"); err != nil {
		t.Fatal(err)
	}
	if !try("ada", "192.0.2.1") {
		t.Error("wrong passwords count for ever")
	}
}
