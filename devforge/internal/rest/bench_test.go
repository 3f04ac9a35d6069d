package rest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A repository of the size of Berkeley's: that many files, and that many
// commits on its branch.
const (
	benchFiles   = 2000
	benchCommits = 3000
	benchPulls   = 30
)

// history is a script of git fast-import for a branch of benchCommits commits.
func history() *bytes.Buffer {
	var b bytes.Buffer
	data := func(s string) { fmt.Fprintf(&b, "data %d\n%s\n", len(s), s) }
	for i := range benchCommits {
		fmt.Fprintf(&b, "commit refs/heads/staging\ncommitter A <a@example.org> %d +0000\n", 1_600_000_000+i*600)
		data(fmt.Sprintf("Change %d", i))
		if i == 0 {
			for f := range benchFiles {
				fmt.Fprintf(&b, "M 100644 inline deployments/hub%d/config/file%d.yaml\n", f%40, f)
				data(fmt.Sprintf("name: hub%d\nvalue: %d\n", f%40, f))
			}
			continue
		}
		fmt.Fprintf(&b, "M 100644 inline deployments/hub%d/config/file%d.yaml\n", i%40, i%benchFiles)
		data(fmt.Sprintf("name: hub%d\nvalue: %d\nrevision: %d\n", i%40, i%benchFiles, i))
	}
	return &b
}

// newBench is a world with such a repository and with open pull requests from
// a fork of it.
func newBench(b *testing.B) *world {
	b.Helper()
	w := newWorld(b)
	repo, err := w.host.Find(b.Context(), "hub", "deployment")
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), "git", "--git-dir="+w.host.Path(repo), "fast-import", "--quiet", "--force")
	cmd.Stdin = history()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git fast-import: %v\n%s", err, out)
	}
	w.want(http.StatusAccepted, "ada", http.MethodPost, base+"/forks", obj{})
	head := w.head("staging")
	for i := range benchPulls {
		branch := fmt.Sprintf("change-%d", i)
		w.want(http.StatusCreated, "ada", http.MethodPost, "/repos/ada/deployment/git/refs", obj{"ref": "refs/heads/" + branch, "sha": head})
		w.want(http.StatusCreated, "ada", http.MethodPut, "/repos/ada/deployment/contents/new/"+branch, obj{"message": "Add " + branch, "content": "eA==", "branch": branch})
		w.want(http.StatusCreated, "ada", http.MethodPost, base+"/pulls", obj{"title": branch, "head": "ada:" + branch, "base": "staging"})
	}
	return w
}

// BenchmarkReading times what those ask for who look at pull requests.
func BenchmarkReading(b *testing.B) {
	w := newBench(b)
	for _, c := range []struct{ name, path string }{
		{"list", base + "/pulls?per_page=100"}, {"one", base + "/pulls/1"}, {"files", base + "/pulls/1/files"}, {"commits", base + "/pulls/1/commits"},
		{"compare", base + "/compare/staging...ada:change-1"}, {"history", base + "/commits?per_page=100"}, {"repository", base},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				w.ask(b, http.MethodGet, c.path, "")
			}
		})
	}
}

// ask makes a request without checking the answer against its description,
// which takes longer than the answer.
func (w *world) ask(b *testing.B, method, path, body string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, w.url+"/api/v3"+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token["mia"])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode >= 300 {
		b.Fatalf("%s %s: %s, %v", method, path, res.Status, err)
	}
	_ = res.Body.Close()
}

// BenchmarkStatus times a status that is new, and one that is not.
func BenchmarkStatus(b *testing.B) {
	w := newBench(b)
	head := w.head("staging")
	for name, state := range map[string]func(i int) string{
		"new":   func(i int) string { return []string{"pending", "success"}[i%2] },
		"again": func(int) string { return "success" },
	} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				w.ask(b, http.MethodPost, base+"/statuses/"+head, fmt.Sprintf(`{"state": %q, "context": %q}`, state(i), name))
			}
		})
	}
}

// BenchmarkPush times a push to a pull request's head from its beginning to
// the arrival of the webhook that tells of the new head.
func BenchmarkPush(b *testing.B) {
	w := newBench(b)
	s := newSink(b)
	w.want(http.StatusCreated, "mia", http.MethodPost, base+"/hooks", obj{"events": []string{"pull_request"}, "config": obj{"url": s.url, "content_type": "json"}})
	clone := w.clone("ada", "ada/deployment")
	w.git("ada", clone, "checkout", "--quiet", "change-0")
	var pushed time.Duration
	seen := len(s.wait(b, 1))
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		w.commit(clone, "more", fmt.Sprint(i))
		b.StartTimer()
		begun := time.Now()
		w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
		pushed += time.Since(begun)
		seen = len(s.wait(b, seen+1))
	}
	b.ReportMetric(float64(pushed.Milliseconds())/float64(b.N), "ms/push")
}

// BenchmarkPushToBase times a push to the base of all pull requests, as a merge is,
// for who makes it, and how long a list takes after it.
func BenchmarkPushToBase(b *testing.B) {
	w := newBench(b)
	clone := w.clone("mia", "hub/deployment")
	var listed time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		w.commit(clone, "more", fmt.Sprint(i))
		b.StartTimer()
		w.git("mia", clone, "push", "--quiet", "origin", "HEAD:staging")
		b.StopTimer()
		begun := time.Now()
		w.ask(b, http.MethodGet, base+"/pulls?per_page=100", "")
		listed += time.Since(begun)
		b.StartTimer()
	}
	b.ReportMetric(float64(listed.Milliseconds())/float64(b.N), "ms/list")
}
