package local

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
)

// fixture is a server with one repository, deployment, whose branch staging
// has one commit.
type fixture struct {
	t     *testing.T
	root  string
	url   string // of the server
	token string
	log   *syncBuffer

	mu     sync.Mutex
	pushes []push
}

type push struct {
	updates []forge.RefUpdate
	by      string
}

// syncBuffer collects a log that several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newFixture(t *testing.T, change func(*Options)) *fixture {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	f := &fixture{t: t, root: t.TempDir(), log: &syncBuffer{}}
	var err error
	if f.token, err = NewToken(filepath.Join(t.TempDir(), "token")); err != nil {
		t.Fatal(err)
	}
	opts := Options{
		Root: f.root, Token: f.token,
		Log:       slog.New(slog.NewTextHandler(f.log, nil)),
		Protected: func(string) []string { return []string{"staging", "prod"} },
		OnPush: func(_ context.Context, repository string, updates []forge.RefUpdate, by string) []string {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.pushes = append(f.pushes, push{updates, by})
			return []string{"hubship: run r1 started for " + repository, "follow it at http://localhost:8080/runs/r1"}
		},
	}
	if change != nil {
		change(&opts)
	}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	// The first push is made without the server.
	bare := filepath.Join(f.root, "deployment.git")
	f.git("", "init", "--quiet", "--bare", "--initial-branch=staging", bare)
	seed := f.repo("seed")
	f.commit(seed, "README.md", "hello\n")
	f.git(seed, "push", "--quiet", bare, "HEAD:refs/heads/staging")
	srv := httptest.NewServer(http.StripPrefix("/git", s))
	t.Cleanup(srv.Close)
	f.url = srv.URL + "/git/"
	return f
}

func (f *fixture) env(token string) []string {
	return append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "HOME="+f.t.TempDir(), "LC_ALL=C", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=credential.helper",
		`GIT_CONFIG_VALUE_0=!f() { echo username=ada; echo "password=$TEST_TOKEN"; }; f`,
		"GIT_CONFIG_KEY_1=advice.detachedHead", "GIT_CONFIG_VALUE_1=false",
		"TEST_TOKEN="+token)
}

// try runs git as a user with the token.
func (f *fixture) try(dir string, args ...string) (string, error) {
	return f.tryWith(dir, f.env(f.token), args...)
}

func (f *fixture) tryWith(dir string, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (f *fixture) git(dir string, args ...string) string {
	f.t.Helper()
	out, err := f.try(dir, args...)
	if err != nil {
		f.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func (f *fixture) repo(name string) string {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), name)
	f.git("", "init", "--quiet", "--initial-branch=staging", dir)
	return dir
}

func (f *fixture) clone() string {
	f.t.Helper()
	dir := filepath.Join(f.t.TempDir(), "clone")
	f.git("", "clone", "--quiet", f.url+"deployment.git", dir)
	return dir
}

func (f *fixture) commit(dir, name, content string) string {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.git(dir, "add", "-A")
	f.git(dir, "commit", "--quiet", "-m", "Change "+name)
	return f.git(dir, "rev-parse", "HEAD")
}

// head is where a branch of the served repository is; "" without one.
func (f *fixture) head(branch string) string {
	out, err := f.try(filepath.Join(f.root, "deployment.git"), "rev-parse", "--verify", "--quiet", "refs/heads/"+branch)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// pushed are the pushes that were announced so far.
func (f *fixture) pushed() []push {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.pushes)
}

func TestCloneAndPush(t *testing.T) {
	f := newFixture(t, nil)
	dir := f.clone()
	old := f.head("staging")
	want := f.commit(dir, "a.txt", "a")
	out := f.git(dir, "push", "origin", "HEAD:staging")
	if f.head("staging") != want {
		t.Fatalf("staging is at %s, want %s", f.head("staging"), want)
	}
	if !strings.Contains(out, "remote: hubship: run r1 started for deployment") || !strings.Contains(out, "remote: follow it at http://localhost:8080/runs/r1") {
		t.Errorf("the pusher was told:\n%s", out)
	}
	got := f.pushed()
	if len(got) != 1 || got[0].by != "ada" || !slices.Equal(got[0].updates, []forge.RefUpdate{{Branch: "staging", Old: old, New: want}}) {
		t.Errorf("announced %+v", got)
	}
	// Another clone sees it; a push without news announces nothing.
	again := f.clone()
	if f.git(again, "rev-parse", "HEAD") != want {
		t.Error("a new clone is at another commit")
	}
	f.git(again, "push", "origin", "HEAD:staging")
	if n := len(f.pushed()); n != 1 {
		t.Errorf("%d pushes are announced", n)
	}
	// Several branches at once, a tag, and the end of a branch.
	f.git(dir, "tag", "v1")
	f.git(dir, "push", "--atomic", "origin", "HEAD:refs/heads/feature", "HEAD:refs/heads/prod", "v1")
	f.git(dir, "push", "origin", ":feature")
	got = f.pushed()[1:]
	if len(got) != 2 || len(got[0].updates) != 2 || !got[0].updates[0].Created() || len(got[1].updates) != 1 || !got[1].updates[0].Deleted() {
		t.Errorf("announced %+v", got)
	}
}

func TestQuietClients(t *testing.T) {
	f := newFixture(t, nil)
	dir := f.clone()
	for i, args := range [][]string{{"push", "--quiet"}, {"-c", "protocol.version=0", "push"}, {"push", "--porcelain"}, {"push", "--progress"}} {
		want := f.commit(dir, "a.txt", fmt.Sprint(i))
		f.git(dir, append(args, "origin", "HEAD:staging")...)
		if f.head("staging") != want || len(f.pushed()) != i+1 {
			t.Errorf("%v: staging at %s, want %s; %d announced", args, f.head("staging"), want, len(f.pushed()))
		}
	}
}

func TestTokens(t *testing.T) {
	f := newFixture(t, nil)
	for name, token := range map[string]string{"wrong": "wrong", "empty": "", "a prefix": f.token[:20], "one more": f.token + "x"} {
		out, err := f.tryWith("", f.env(token), "clone", f.url+"deployment.git", filepath.Join(t.TempDir(), "x"))
		if err == nil || !strings.Contains(out, "Authentication failed") {
			t.Errorf("clone with %s token: %v\n%s", name, err, out)
		}
	}
	dir := f.clone()
	f.commit(dir, "a.txt", "a")
	before := f.head("staging")
	if out, err := f.tryWith(dir, f.env("wrong"), "push", "origin", "HEAD:staging"); err == nil || f.head("staging") != before {
		t.Errorf("push with a wrong token: %v\n%s", err, out)
	}
	if strings.Contains(f.log.String(), f.token) {
		t.Error("the token is in the log")
	}
	// Without a token nobody learns which repositories there are.
	for _, path := range []string{"deployment.git/info/refs?service=git-upload-pack", "nothing.git/info/refs?service=git-upload-pack"} {
		res, err := http.Get(f.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

func TestProtectedBranches(t *testing.T) {
	f := newFixture(t, nil)
	dir := f.clone()
	f.commit(dir, "a.txt", "a")
	f.git(dir, "push", "origin", "HEAD:staging", "HEAD:feature")
	before := f.head("staging")
	f.git(dir, "commit", "--quiet", "--amend", "-m", "Rewritten")
	rewritten := f.git(dir, "rev-parse", "HEAD")
	announced := len(f.pushed())

	for name, args := range map[string][]string{
		"forced":                 {"--force", "origin", "HEAD:staging"},
		"deleted":                {"origin", ":staging"},
		"forced beside another":  {"--force", "--atomic", "origin", "HEAD:staging", "HEAD:feature"},
		"an older commit":        {"--force", "origin", "HEAD~1:staging"},
		"a name outside of refs": {"origin", "HEAD:refs/hubship/x"},
	} {
		out, err := f.try(dir, append([]string{"push"}, args...)...)
		if err == nil || f.head("staging") != before || f.head("feature") != before {
			t.Errorf("%s went through: %v\n%s", name, err, out)
		}
	}
	if n := len(f.pushed()); n != announced {
		t.Errorf("%d refused pushes were announced", n-announced)
	}
	// Work under way may be rewritten.
	f.git(dir, "push", "--force", "origin", "HEAD:feature")
	if f.head("feature") != rewritten {
		t.Error("a feature branch could not be rewritten")
	}
	// Of a push that is refused in part, what went through is announced.
	f.git(dir, "checkout", "--quiet", "-b", "mixed", before)
	next := f.commit(dir, "b.txt", "b")
	if out, err := f.try(dir, "push", "--force", "origin", rewritten+":refs/heads/staging", "HEAD:refs/heads/mixed"); err == nil {
		t.Errorf("went through:\n%s", out)
	}
	last := f.pushed()[len(f.pushed())-1].updates
	if f.head("staging") != before || !slices.Equal(last, []forge.RefUpdate{{Branch: "mixed", Old: forge.ZeroID, New: next}}) {
		t.Errorf("staging at %s, announced %+v", f.head("staging"), last)
	}
}

func TestConcurrentPushes(t *testing.T) {
	f := newFixture(t, nil)
	const clients = 6
	dirs := make([]string, clients)
	for i := range dirs {
		dirs[i] = f.clone()
		f.commit(dirs[i], fmt.Sprintf("f%d.txt", i), "x")
	}
	before := f.head("staging")
	var group sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i, dir := range dirs {
		group.Go(func() {
			// All race for staging, and each has a branch of its own.
			if _, err := f.try(dir, "push", "origin", "HEAD:staging"); err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
			if out, err := f.try(dir, "push", "origin", fmt.Sprintf("HEAD:own-%d", i)); err != nil {
				t.Errorf("own branch: %v\n%s", err, out)
			}
		})
	}
	group.Wait()
	if won != 1 {
		t.Errorf("%d of %d pushes onto the same commit went through", won, clients)
	}
	var staging []forge.RefUpdate
	for _, p := range f.pushed() {
		for _, u := range p.updates {
			if u.Branch == "staging" {
				staging = append(staging, u)
			}
		}
	}
	if !slices.Equal(staging, []forge.RefUpdate{{Branch: "staging", Old: before, New: f.head("staging")}}) || len(f.pushed()) != clients+1 {
		t.Errorf("announced for staging: %+v, in all %d", staging, len(f.pushed()))
	}
}

func TestBigPush(t *testing.T) {
	f := newFixture(t, nil)
	dir := f.clone()
	big := make([]byte, 50<<20)
	if _, err := rand.Read(big); err != nil { // nothing to compress
		t.Fatal(err)
	}
	want := f.commit(dir, "big.bin", string(big))
	f.git(dir, "push", "origin", "HEAD:staging") // more than http.postBuffer: sent in chunks
	if f.head("staging") != want {
		t.Fatal("the push did not arrive")
	}
	got, err := os.ReadFile(filepath.Join(f.clone(), "big.bin"))
	if err != nil || !bytes.Equal(got, big) {
		t.Errorf("the file came back changed (%d bytes), %v", len(got), err)
	}
}

func TestTooBigPush(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.MaxPush = 1 << 20 })
	dir := f.clone()
	big := make([]byte, 4<<20)
	if _, err := rand.Read(big); err != nil {
		t.Fatal(err)
	}
	f.commit(dir, "big.bin", string(big))
	before := f.head("staging")
	if out, err := f.try(dir, "push", "origin", "HEAD:staging"); err == nil || f.head("staging") != before {
		t.Errorf("a push above the limit went through:\n%s", out)
	}
	f.git(dir, "reset", "--quiet", "--hard", "origin/staging")
	want := f.commit(dir, "small.txt", "x")
	f.git(dir, "push", "origin", "HEAD:staging")
	if f.head("staging") != want {
		t.Error("a small push after that failed")
	}
}

func TestShallowAndProtocol2(t *testing.T) {
	f := newFixture(t, nil)
	dir := f.clone()
	for i := range 5 {
		f.commit(dir, "a.txt", fmt.Sprint(i))
	}
	f.git(dir, "push", "origin", "HEAD:staging")
	shallow := filepath.Join(t.TempDir(), "shallow")
	out, err := f.tryWith("", append(f.env(f.token), "GIT_TRACE_PACKET=1"), "-c", "protocol.version=2", "clone", "--depth=1", f.url+"deployment.git", shallow)
	if err != nil || !strings.Contains(out, "clone< version 2") {
		t.Fatalf("a shallow clone over protocol 2: %v, version 2 spoken: %v", err, strings.Contains(out, "clone< version 2"))
	}
	if n := f.git(shallow, "rev-list", "--count", "HEAD"); n != "1" {
		t.Errorf("a shallow clone has %s commits", n)
	}
	want := f.commit(shallow, "b.txt", "b")
	f.git(shallow, "push", "origin", "HEAD:staging")
	if f.head("staging") != want {
		t.Error("a push from a shallow clone did not arrive")
	}
}

func TestHooksAndConfigOfTheRepositoryHaveNoSay(t *testing.T) {
	f := newFixture(t, nil)
	bare := filepath.Join(f.root, "deployment.git")
	witness := filepath.Join(t.TempDir(), "ran")
	for _, hook := range []string{"pre-receive", "update", "post-receive", "post-update", "reference-transaction"} {
		script := "#!/bin/sh\ntouch '" + witness + "'\nexit 1\n"
		if err := os.WriteFile(filepath.Join(bare, "hooks", hook), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	dir := f.clone()
	want := f.commit(dir, "a.txt", "a")
	f.git(dir, "push", "origin", "HEAD:staging")
	if _, err := os.Stat(witness); err == nil || f.head("staging") != want {
		t.Errorf("a hook ran (%v), staging at %s", err == nil, f.head("staging"))
	}
}

// raw sends a request as it is, with the token.
func (f *fixture) raw(method, path string, header http.Header, body io.Reader) (int, string) {
	f.t.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(f.url, "http://"), "/git/")
	req, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+host+"/", body)
	if err != nil {
		f.t.Fatal(err)
	}
	req.URL.Opaque = "//" + host + "/git/" + path // not cleaned
	for k, v := range header {
		req.Header[k] = v
	}
	req.SetBasicAuth("ada", f.token)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestPathsLeadNowhereElse(t *testing.T) {
	f := newFixture(t, nil)
	secret := filepath.Join(filepath.Dir(f.root), "other.git")
	f.git("", "init", "--quiet", "--bare", secret)
	if err := os.Symlink(secret, filepath.Join(f.root, "link.git")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"../other.git/info/refs?service=git-upload-pack",
		"%2e%2e/other.git/info/refs?service=git-upload-pack",
		"..%2fother.git/info/refs?service=git-upload-pack",
		"deployment.git/../../other.git/info/refs?service=git-upload-pack",
		"deployment.git/%2e%2e/deployment.git/config",
		"link.git/info/refs?service=git-upload-pack",
		"nothing.git/info/refs?service=git-upload-pack",
		"deployment.git/info/refs",
		"deployment.git/info/refs?service=git-upload-archive",
		"deployment.git/info/refs?service=../../sh",
		"deployment.git/config",
		"deployment.git/HEAD",
		"deployment.git/objects/info/packs",
		"deployment.git",
		"DEPLOYMENT.git/info/refs?service=git-upload-pack",
		"-c.git/info/refs?service=git-upload-pack",
		".git/info/refs?service=git-upload-pack",
	} {
		if status, text := f.raw(http.MethodGet, path, nil, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d\n%.200s", path, status, text)
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodGet} {
		if status, _ := f.raw(method, "deployment.git/git-receive-pack", nil, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", method, status)
		}
	}
	if status, text := f.raw(http.MethodGet, "deployment.git/info/refs?service=git-upload-pack&x=%0aGIT_DIR=/etc", nil, nil); status != http.StatusOK || !strings.Contains(text, "refs/heads/staging") {
		t.Errorf("an honest request: %d\n%.200s", status, text)
	}
}

func TestHeadersSetNothing(t *testing.T) {
	f := newFixture(t, nil)
	plain := http.Header{}
	_, want := f.raw(http.MethodGet, "deployment.git/info/refs?service=git-upload-pack", plain, nil)
	for _, h := range []http.Header{
		{"Git-Protocol": {"version=2\nGIT_DIR=/tmp"}},
		{"Git-Protocol": {strings.Repeat("x", 5000)}},
		{"Git-Dir": {"/tmp"}, "Git-Config-Count": {"1"}, "Content-Length": {"0"}},
		{"Proxy": {"http://127.0.0.1:1"}, "Path-Info": {"/etc"}, "X-Forwarded-For": {"\x01"}},
	} {
		h.Del("X-Forwarded-For")
		for k, v := range h { // what Go would refuse to send proves nothing
			h[k] = []string{strings.ReplaceAll(v[0], "\n", " ")}
		}
		if status, got := f.raw(http.MethodGet, "deployment.git/info/refs?service=git-upload-pack", h, nil); status != http.StatusOK || got != want {
			t.Errorf("%v: %d, answer changed: %v", h, status, got != want)
		}
	}
}

func TestGzipBody(t *testing.T) {
	f := newFixture(t, nil)
	request := "0014command=ls-refs\n0000"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, request); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	h := http.Header{"Git-Protocol": {"version=2"}, "Content-Type": {"application/x-git-upload-pack-request"}, "Content-Encoding": {"gzip"}}
	status, got := f.raw(http.MethodPost, "deployment.git/git-upload-pack", h, &zipped)
	if status != http.StatusOK || !strings.Contains(got, "refs/heads/staging") {
		t.Errorf("gzip: %d\n%s", status, got)
	}
	h.Set("Content-Encoding", "br")
	if status, _ = f.raw(http.MethodPost, "deployment.git/git-upload-pack", h, strings.NewReader(request)); status != http.StatusBadRequest {
		t.Errorf("an unknown encoding: %d", status)
	}
	h.Set("Content-Encoding", "gzip")
	if status, _ = f.raw(http.MethodPost, "deployment.git/git-receive-pack", h, strings.NewReader(request)); status != http.StatusBadRequest {
		t.Errorf("what is not gzip: %d", status)
	}
}

func TestBrokenPushes(t *testing.T) {
	f := newFixture(t, nil)
	zero, some := strings.Repeat("0", 40), strings.Repeat("a", 40)
	for name, body := range map[string]string{
		"no packets":     "hello, this is no push",
		"cut off":        "00",
		"a bad length":   "0003",
		"a long length":  "fff0" + zero,
		"not a command":  "000bnothing",
		"a short id":     "0020" + zero[:20] + " " + some[:6],
		"no end of list": "0066" + zero + " " + some + " refs/heads/x",
	} {
		if status, text := f.raw(http.MethodPost, "deployment.git/git-receive-pack", nil, strings.NewReader(body)); status != http.StatusBadRequest {
			t.Errorf("%s: %d\n%.200s", name, status, text)
		}
	}
	if len(f.pushed()) != 0 {
		t.Errorf("announced %v", f.pushed())
	}
}

// A client that goes away after it sent everything has pushed.
func TestClientGoesAway(t *testing.T) {
	f := newFixture(t, nil)
	dir := f.clone()
	want := f.commit(dir, "a.txt", "a")
	old := f.head("staging")
	packFile := filepath.Join(t.TempDir(), "p")
	f.git(dir, "pack-objects", "--quiet", "--all", packFile)
	packs, err := filepath.Glob(packFile + "-*.pack")
	if err != nil || len(packs) != 1 {
		t.Fatalf("%v, %v", packs, err)
	}
	pack, err := os.ReadFile(packs[0])
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s %s refs/heads/staging\x00 report-status side-band-64k", old, want)
	body := fmt.Sprintf("%04x%s0000%s", len(line)+4, line, pack)

	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(f.url, "http://"), "/git/"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, f.url+"deployment.git/git-receive-pack", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("ada", f.token)
	if err := errors.Join(req.Write(conn), conn.Close()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for len(f.pushed()) == 0 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if f.head("staging") != want || len(f.pushed()) != 1 {
		t.Errorf("staging at %s, want %s; announced %v\n%s", f.head("staging"), want, f.pushed(), f.log)
	}
}

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
	for _, o := range []Options{{}, {Root: "relative", Token: strings.Repeat("x", 40)}, {Root: "/tmp", Token: "short"}, {Root: "/tmp", Token: strings.Repeat("x", 40), MaxPush: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
