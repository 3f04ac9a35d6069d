package gitserver

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTokenFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if _, err := ReadToken(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a token that is not there: %v", err)
	}
	first, err := EnsureToken(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, err := EnsureToken(path); err != nil || again != first {
		t.Errorf("the token changed: %v", err)
	}
	if next, err := NewToken(path); err != nil || next == first || len(next) < 40 {
		t.Errorf("a new token: %d characters, the same: %v, %v", len(next), next == first, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadToken(path); err == nil || strings.Contains(err.Error(), first) {
		t.Errorf("a token that others can read: %v", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadToken(path); err == nil {
		t.Error("an empty token was read")
	}
}

func TestUserName(t *testing.T) {
	for in, want := range map[string]string{
		"ada": "ada", "": "somebody", "  ": "somebody", "a\nb\x1b[31m": "ab[31m", "<b>'x'": "bx", strings.Repeat("é", 100): strings.Repeat("é", 64), "a\xff": "a",
	} {
		if got := userName(in); got != want {
			t.Errorf("userName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	all := func(context.Context, string, bool) (string, bool) { return "ada", true }
	for _, o := range []Options{{}, {Root: "relative", Authenticate: all}, {Root: "/tmp"}, {Root: "/tmp", Authenticate: all, MaxPush: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("root %q, push of %d were taken", o.Root, o.MaxPush)
		}
	}
}
