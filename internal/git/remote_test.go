package git

import (
	"context"
	"errors"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// elsewhere serves a repository over HTTP to whoever has the header, and
// returns it with the way there.
func elsewhere(t *testing.T) (*Repo, Remote) {
	t.Helper()
	r := newRepo(t)
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"), Env: []string{
		"GIT_PROJECT_ROOT=" + filepath.Dir(r.Dir()), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=tess", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=receive.denyDeletes", "GIT_CONFIG_VALUE_0=true",
		"GIT_CONFIG_KEY_1=receive.denyNonFastForwards", "GIT_CONFIG_VALUE_1=true",
	}, Stderr: os.Stderr}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case strings.HasPrefix(req.URL.Path, "/moved/"):
			http.Redirect(w, req, strings.TrimPrefix(req.URL.Path, "/moved")+"?"+req.URL.RawQuery, http.StatusFound)
		case req.Header.Get("Authorization") != "Basic letmein":
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "no", http.StatusUnauthorized)
		default:
			backend.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(srv.Close)
	at := srv.URL + "/" + filepath.Base(r.Dir())
	return r, Remote{URL: at, Env: []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http." + at + ".extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic letmein"}}
}

func TestFetchMirrors(t *testing.T) {
	there, remote := elsewhere(t)
	here := newRepo(t)
	first := commit(t, there, "staging", "Begin", map[string]string{"a": "1\n"}, nil)
	commit(t, there, "gone", "Short-lived", map[string]string{"b": "1\n"}, nil)
	pull := commit(t, there, "tmp", "Proposed", map[string]string{"c": "1\n"}, nil)
	realGit(t, there.Dir(), "update-ref", "refs/pull/7/head", pull)
	realGit(t, there.Dir(), "update-ref", "-d", "refs/heads/tmp")
	if err := here.Fetch(t.Context(), remote, "refs/pull/7/head"); err != nil {
		t.Fatal(err)
	}
	if ref, err := here.Ref(t.Context(), "refs/pull/7/head"); err != nil || ref.ID != pull {
		t.Fatalf("the pull request's head is %v, %v; want %s", ref, err, pull)
	}
	// Rewritten and removed there; the pull request stays.
	realGit(t, there.Dir(), "update-ref", "-d", "refs/heads/gone")
	realGit(t, there.Dir(), "update-ref", "-d", "refs/heads/staging")
	second := commit(t, there, "staging", "Begin anew", map[string]string{"a": "2\n"}, nil)
	if err := here.Fetch(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
	branches, err := here.Branches(t.Context())
	if err != nil || len(branches) != 1 || branches["staging"] != second || second == first {
		t.Fatalf("branches %v, %v; want staging at %s alone", branches, err, second)
	}
	if _, err := here.Ref(t.Context(), "refs/pull/7/head"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(here.Dir(), "FETCH_HEAD")); err == nil {
		t.Error("FETCH_HEAD was written")
	}
}

func TestFetchFails(t *testing.T) {
	_, remote := elsewhere(t)
	here := newRepo(t)
	without := Remote{URL: remote.URL, Env: []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=credential.helper", "GIT_CONFIG_VALUE_0=", "GIT_ASKPASS="}}
	redirected := Remote{URL: strings.Replace(remote.URL, "/deployment", "/moved/deployment", 1), Env: remote.Env}
	for name, tc := range map[string]struct {
		from Remote
		ref  string
		want error
		text string
	}{
		"without credentials": {from: without, want: ErrUnreachable},
		"redirected":          {from: redirected, want: ErrUnreachable},
		"nobody there":        {from: Remote{URL: "http://127.0.0.1:1/x.git"}, want: ErrUnreachable},
		"no such reference":   {from: remote, ref: "refs/pull/9/head", want: ErrNotFound},
		"program":             {from: Remote{URL: "ext::sh -c touch% /tmp/x"}, text: "must be HTTP"},
		"option":              {from: Remote{URL: "--upload-pack=x"}, text: "must be HTTP"},
		"file":                {from: Remote{URL: "file:///etc"}, text: "must be HTTP"},
		"password":            {from: Remote{URL: "https://u:secret@example.org/x.git"}, text: "must be HTTP"},
		"bad reference":       {from: remote, ref: "--x", text: "reference name"},
	} {
		t.Run(name, func(t *testing.T) {
			var refs []string
			if tc.ref != "" {
				refs = []string{tc.ref}
			}
			err := here.Fetch(t.Context(), tc.from, refs...)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Fatalf("error %v, want %v %q", err, tc.want, tc.text)
			}
			if strings.Contains(err.Error(), "letmein") || strings.Contains(err.Error(), "secret") {
				t.Fatalf("the error shows the credentials: %v", err)
			}
		})
	}
}

func TestPush(t *testing.T) {
	there, remote := elsewhere(t)
	first := commit(t, there, "staging", "Begin", map[string]string{"a": "1\n"}, nil)
	here := newRepo(t)
	if err := here.Fetch(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
	second := commit(t, here, "staging", "Go on", map[string]string{"a": "2\n"}, nil)
	other := commit(t, here, "other", "Unrelated", map[string]string{"z": "\n"}, nil)
	for _, tc := range []struct {
		name, branch, commit, expected string
		want                           error
	}{
		{"new branch", "revert-7", second, "", nil},
		{"it is there", "revert-7", second, "", nil},
		{"another is there", "revert-7", other, "", ErrMoved},
		{"from elsewhere", "staging", second, second, ErrMoved},
		{"forward", "staging", second, first, nil},
		{"rewritten", "staging", other, second, ErrRejected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := here.Push(t.Context(), remote, tc.branch, tc.commit, tc.expected)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if head, _ := there.Head(t.Context(), tc.branch); tc.want == nil && head != tc.commit {
				t.Fatalf("the branch is at %s, want %s", head, tc.commit)
			}
		})
	}
	for name, tc := range map[string]struct {
		to             Remote
		branch, commit string
	}{
		"no branch name": {remote, "a..b", second}, "no commit": {remote, "b", "HEAD"}, "no URL": {Remote{URL: "-x"}, "b", second},
	} {
		if err := here.Push(t.Context(), tc.to, tc.branch, tc.commit, ""); err == nil {
			t.Errorf("%s: pushed", name)
		}
	}
	if err := here.Push(t.Context(), Remote{URL: "http://127.0.0.1:1/x.git"}, "b", second, ""); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v, want %v", err, ErrUnreachable)
	}
}

func TestRevertCommit(t *testing.T) {
	r := newRepo(t)
	before := commit(t, r, "staging", "Begin", map[string]string{"a": "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "b": "b\n"}, nil)
	after := commit(t, r, "staging", "Change", map[string]string{"a": "one\n2\n3\n4\n5\n6\n7\n8\n9\n", "b": "<removed>", "new": "n\n"}, nil)
	later := commit(t, r, "staging", "Go on", map[string]string{"a": "one\n2\n3\n4\n5\n6\n7\n8\nnine\n", "c": "c\n"}, nil)
	got, err := r.RevertCommit(t.Context(), later, before, after, "Take it back", tester)
	if err != nil {
		t.Fatal(err)
	}
	if parents := realGit(t, r.Dir(), "log", "-1", "--format=%P %s", got); parents != later+" Take it back" {
		t.Errorf("the commit is %q", parents)
	}
	if names := strings.Fields(realGit(t, r.Dir(), "ls-tree", "--name-only", got)); !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("files %q", names)
	}
	if a := realGit(t, r.Dir(), "show", got+":a"); a != "1\n2\n3\n4\n5\n6\n7\n8\nnine" {
		t.Errorf("a is %q", a)
	}
	if head, _ := r.Head(t.Context(), "staging"); head != later {
		t.Error("the branch moved")
	}
	var conflict *ConflictError
	clash := commit(t, r, "staging", "Clash", map[string]string{"a": "eins\n2\n3\n4\n5\n6\n7\n8\n9\n"}, nil)
	if _, err := r.RevertCommit(t.Context(), clash, before, after, "m", tester); !errors.As(err, &conflict) || !slices.Equal(conflict.Files, []string{"a"}) {
		t.Errorf("error %v, want a conflict in a", err)
	}
	if _, err := r.RevertCommit(t.Context(), before, before, after, "m", tester); !errors.Is(err, ErrNothingToMerge) {
		t.Errorf("error %v, want that nothing is left", err)
	}
	if _, err := r.RevertCommit(t.Context(), "staging", before, after, "m", tester); err == nil {
		t.Error("a name was taken for a commit")
	}
}

// What a git that was killed leaves stops no fetch.
func TestFetchPastLocks(t *testing.T) {
	there, remote := elsewhere(t)
	here := newRepo(t)
	commit(t, there, "staging", "Begin", map[string]string{"a": "1\n"}, nil)
	if err := here.Fetch(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
	want := commit(t, there, "staging", "Go on", map[string]string{"a": "2\n"}, nil)
	for _, lock := range []string{"refs/heads/staging.lock", "packed-refs.lock"} {
		if err := os.WriteFile(filepath.Join(here.Dir(), filepath.FromSlash(lock)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := here.Fetch(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
	if head, err := here.Head(t.Context(), "staging"); err != nil || head != want {
		t.Errorf("staging is at %q, %v; want %q", head, err, want)
	}
}

// Whoever waits for another fetch can leave.
func TestFetchWaitsNoLongerThanItsContext(t *testing.T) {
	_, remote := elsewhere(t)
	here := newRepo(t)
	here.fetch <- struct{}{}
	defer func() { <-here.fetch }()
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if err := here.Fetch(ctx, remote); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestFetchBringsTags(t *testing.T) {
	there, remote := elsewhere(t)
	here := newRepo(t)
	first := commit(t, there, "staging", "Begin", map[string]string{"a": "1\n"}, nil)
	if err := there.SetRef(t.Context(), "refs/tags/v1", first, ""); err != nil {
		t.Fatal(err)
	}
	if err := here.Fetch(t.Context(), remote); err != nil {
		t.Fatal(err)
	}
	if id, err := here.Resolve(t.Context(), "v1"); err != nil || id != first {
		t.Errorf("v1 is %q, %v; want %q", id, err, first)
	}
}
