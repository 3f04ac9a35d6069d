package gitserver

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/devforge/internal/refs"
)

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
	if len(got) != 1 || got[0].by != "ada" || !slices.Equal(got[0].updates, []refs.Update{{Branch: "staging", Old: old, New: want}}) {
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
		"a place for incoming pushes": {"origin", "HEAD:refs/hubship/incoming/x"},
		"forced":                      {"--force", "origin", "HEAD:staging"},
		"deleted":                     {"origin", ":staging"},
		"forced beside another":       {"--force", "--atomic", "origin", "HEAD:staging", "HEAD:feature"},
		"an older commit":             {"--force", "origin", "HEAD~1:staging"},
		"a name outside of refs":      {"origin", "HEAD:refs/hubship/x"},
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
	// Of a push that is refused in part nothing goes through.
	f.git(dir, "checkout", "--quiet", "-b", "mixed", before)
	f.commit(dir, "b.txt", "b")
	announced = len(f.pushed())
	if out, err := f.try(dir, "push", "--force", "origin", rewritten+":refs/heads/staging", "HEAD:refs/heads/mixed"); err == nil || !strings.Contains(out, "another reference in this push was refused") {
		t.Errorf("went through: %v\n%s", err, out)
	}
	if f.head("staging") != before || f.head("mixed") != "" || len(f.pushed()) != announced {
		t.Errorf("staging at %s, mixed at %q", f.head("staging"), f.head("mixed"))
	}
	// Nothing is left of what was brought.
	if out := f.git(filepath.Join(f.root, "deployment.git"), "for-each-ref", "refs/hubship/"); out != "" {
		t.Errorf("left: %s", out)
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
	var staging []refs.Update
	for _, p := range f.pushed() {
		for _, u := range p.updates {
			if u.Branch == "staging" {
				staging = append(staging, u)
			}
		}
	}
	if !slices.Equal(staging, []refs.Update{{Branch: "staging", Old: before, New: f.head("staging")}}) || len(f.pushed()) != clients+1 {
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
