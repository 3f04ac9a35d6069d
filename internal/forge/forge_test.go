package forge

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"net/http"
	"net/http/httptest"
)

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"berkeley-dsep-infra/datahub": true, "a/b.c_d": true, "a_b/x": true, "a/.github": true, "a/..": false, "a/.": false, "../b": false,
		"a": false, "/b": false, "a/": false, "a/b/c": false, "a/b c": false, "a/b?x": false, "a/b%2f": false, "-a/b": false, "a/b\n": false,
	} {
		if r, err := ParseRepository(name); (err == nil) != ok || ok && r.String() != name || !ok && !errors.Is(err, ErrInvalid) {
			t.Errorf("repository %q: %v, %v", name, r, err)
		}
	}
	for login, ok := range map[string]bool{"ada": true, "dependabot[bot]": true, "a-b_c": true, "user_emu": true, "": false, "a b": false, "../x": false, "a/b": false, "[bot]": false, "a[b]": false} {
		if (CheckLogin(login) == nil) != ok {
			t.Errorf("login %q", login)
		}
	}
	for id, ok := range map[string]bool{strings.Repeat("a", 40): true, strings.Repeat("0a", 32): true, ZeroID: false, "abc": false, strings.Repeat("A", 40): false, strings.Repeat("a", 41): false} {
		if (CheckCommit(id) == nil) != ok {
			t.Errorf("commit %q", id)
		}
	}
	branches := map[string]bool{"": false, "prod": true, "a/b-c#1": true, "ü": true, "a..b": false, "-a": false, "a b": false, ".a": false, "a/.b": false,
		"a.lock": false, "a.lock/b": false, "a/": false, "/a": false, "a//b": false, "@": false, "a@{1}": false, "a~1": false, "a^": false, "a:b": false,
		"a\\b": false, "a\x7f": false, "a\nb": false, "a.": false, "a\xff": false, "a*": false}
	for name, ok := range branches {
		if (CheckBranch(name) == nil) != ok {
			t.Errorf("branch %q", name)
		}
		if name == "" || name == "a\xff" || strings.HasPrefix(name, "-") {
			continue // git takes any bytes, and arguments
		}
		// What git says is not a valid branch name is none for us.
		if err := exec.Command("git", "check-ref-format", "refs/heads/"+name).Run(); (err == nil) != ok && name != "@" {
			t.Errorf("git check-ref-format %q: %v", name, err)
		}
	}
}

func TestShorten(t *testing.T) {
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"üüü", 3, "üüü"}, {"üüüü", 3, "üü…"}, {"ab", 1, "…"}, {"ab", 0, ""}, {"", 0, ""}, {"ab", -1, ""}, {"\xff\xff\xff", 2, "\xff…"}} {
		if got := Shorten(test.text, test.limit); got != test.want {
			t.Errorf("Shorten(%q, %d) = %q, expected %q", test.text, test.limit, got, test.want)
		} else if utf8.RuneCountInString(got) > max(0, test.limit) {
			t.Errorf("Shorten(%q, %d) has %d characters", test.text, test.limit, utf8.RuneCountInString(got))
		}
	}
}

func TestVerdicts(t *testing.T) {
	reviews := []Review{
		{ID: 1, Author: "ada", State: ChangesRequested}, {ID: 2, Author: "bob", State: Approved}, {ID: 3, Author: "ada", State: Approved},
		{ID: 4, Author: "bob", State: Commented}, {ID: 5, Author: "eve", State: Commented}, {ID: 6, Author: "ada", State: Dismissed},
	}
	var got []int64
	for _, r := range Verdicts(reviews) {
		got = append(got, r.ID)
	}
	if !slices.Equal(got, []int64{2, 6}) {
		t.Errorf("%v", got)
	}
}

func TestPermissions(t *testing.T) {
	order := []Permission{None, Read, Triage, Write, Maintain, Admin}
	for i, p := range order {
		for j, other := range order {
			if p.Includes(other) != (i >= j) {
				t.Errorf("%s includes %s: %v", p, other, p.Includes(other))
			}
		}
		if p.Includes("owner") || Permission("owner").Includes(Read) {
			t.Error("what is unknown includes something")
		}
	}
}

func TestTemporary(t *testing.T) {
	until := time.Now().Add(time.Hour)
	for _, test := range []struct {
		err   error
		ok    bool
		until time.Time
	}{{fmt.Errorf("x: %w", &RateLimited{Until: until}), true, until}, {fmt.Errorf("x: %w", ErrUnavailable), true, time.Time{}}, {fmt.Errorf("x: %w", ErrConflict), false, time.Time{}}, {nil, false, time.Time{}}} {
		if got, ok := Temporary(test.err); ok != test.ok || !got.Equal(test.until) {
			t.Errorf("%v: %v, %v", test.err, got, ok)
		}
	}
}

// Git with the environment of a Remote sends its credentials to the URL of it,
// and to no other; no argument has them, and nobody is asked.
func TestRemoteLetsGitIn(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked = append(asked, r.URL.Path+" "+user+":"+password)
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer srv.Close()
	remote := NewRemote(srv.URL+"/ada/hubs.git", "x-access-token", "secret")
	for _, url := range []string{remote.URL, srv.URL + "/ada/hubs-other.git"} {
		cmd := exec.CommandContext(t.Context(), "git", "ls-remote", url)
		cmd.Env = append(os.Environ(), remote.Env()...)
		if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), "secret") {
			t.Errorf("%v: %s", err, out)
		}
	}
	if want := []string{"/ada/hubs.git/info/refs x-access-token:secret", "/ada/hubs-other.git/info/refs :"}; !slices.Equal(asked, want) {
		t.Errorf("%q, expected %q", asked, want)
	}
}
