package rest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every event that is sent is as GitHub's schemas have it.
func TestAllEvents(t *testing.T) {
	w := newWorld(t)
	s := newSink(t)
	w.want(http.StatusCreated, "mia", http.MethodPost, base+"/hooks", obj{"events": []string{"*"}, "config": obj{"url": s.url, "content_type": "json"}})
	clone, sha, n := w.proposal("numpy")
	pull, issue := base+"/pulls/"+n, base+"/issues/"+n
	w.want(201, "ada", "POST", pull+"/requested_reviewers", obj{"reviewers": []string{"ben"}})
	review := w.want(200, "ben", "POST", pull+"/reviews", obj{"event": "APPROVE"}).object(t)
	w.want(200, "mia", "PUT", pull+"/reviews/"+jsonNumber(review["id"])+"/dismissals", obj{"message": "enough"})
	line := jsonNumber(w.want(201, "ben", "POST", pull+"/comments", obj{"body": "why?", "path": "numpy.txt", "line": 1, "commit_id": sha}).object(t)["id"])
	w.want(201, "ada", "POST", pull+"/comments", `{"body": "so", "in_reply_to": `+line+"}")
	w.want(200, "ben", "PATCH", base+"/pulls/comments/"+line, obj{"body": "what for?"})
	comment := jsonNumber(w.want(201, "ada", "POST", issue+"/comments", obj{"body": "one"}).object(t)["id"])
	w.want(200, "ada", "PATCH", base+"/issues/comments/"+comment, obj{"body": "two"})
	w.want(200, "ada", "PATCH", base+"/issues/comments/"+comment, obj{"body": "two"}) // which changes nothing
	w.want(200, "ben", "POST", issue+"/labels", obj{"labels": []string{"a", "b"}})
	w.want(200, "ben", "POST", issue+"/labels", obj{"labels": []string{"b", "c"}})
	w.want(200, "ben", "DELETE", issue+"/labels/a", nil)
	for range 3 { // posted again, it is the one that is there
		w.want(201, "ben", "POST", base+"/statuses/"+sha, obj{"state": "pending", "context": "ci", "target_url": "https://hubship.example"})
	}
	w.want(201, "ben", "POST", base+"/statuses/"+sha, obj{"state": "success", "context": "ci"})
	check := jsonNumber(w.want(201, "ben", "POST", base+"/check-runs", obj{"name": "tests", "head_sha": sha}).object(t)["id"])
	for range 2 {
		w.want(200, "ben", "PATCH", base+"/check-runs/"+check, obj{"conclusion": "skipped", "output": obj{"title": "t", "summary": "s", "text": "x"}})
	}
	w.want(201, "ben", "POST", base+"/check-runs", obj{"name": "done", "head_sha": sha, "conclusion": "success", "details_url": "https://hubship.example"})
	for i, payload := range []any{obj{"run": 1}, "a text"} {
		at := base + "/deployments"
		w.want(201, "mia", "POST", at, asked(obj{"ref": "staging", "environment": "staging", "payload": payload}))
		w.want(201, "mia", "POST", fmt.Sprintf("%s/%d/statuses", at, i+1), obj{"state": "in_progress", "log_url": "https://hubship.example"})
		w.want(201, "mia", "POST", fmt.Sprintf("%s/%d/statuses", at, i+1), obj{"state": "success"})
		w.want(201, "mia", "POST", fmt.Sprintf("%s/%d/statuses", at, i+1), obj{"state": "inactive"}) // of which nobody is told
	}
	w.want(201, "ben", "PUT", base+"/contents/new.txt", obj{"message": "Add", "content": "eA=="})
	upstream := w.url + "/git/hub/deployment.git"
	w.git("mia", clone, "push", "--quiet", upstream, "HEAD:refs/heads/new")
	w.git("mia", clone, "push", "--quiet", upstream, ":new")
	w.want(204, "ada", "DELETE", "/repos/ada/deployment", nil)

	want := map[string]int{"ping": 1, "fork": 1, "pull_request opened": 1, "pull_request review_requested": 1,
		"pull_request labeled": 3, "pull_request unlabeled": 1, "pull_request closed": 1, "pull_request_review submitted": 3,
		"pull_request_review_comment created": 2, "pull_request_review_comment edited": 1,
		"pull_request_review dismissed": 1, "issue_comment created": 1, "issue_comment edited": 1, "status": 2,
		"check_run created": 2, "check_run completed": 2, "deployment created": 2, "deployment_status created": 4,
		"push": 3, "create": 1, "delete": 1}
	total := 0
	for _, n := range want {
		total += n
	}
	seen := map[string]int{}
	for _, r := range s.wait(t, total) {
		var o obj
		decode(t, []byte(r.body), &o)
		name := r.event
		if action, ok := o["action"].(string); ok {
			name += " " + action
		}
		seen[name]++
		if err := w.desc.checkEvent(r.event, []byte(r.body)); err != nil {
			t.Errorf("%v", err)
		}
	}
	for name := range seen {
		if want[name] == 0 {
			t.Errorf("%d of %s, want none", seen[name], name)
		}
	}
	for name, n := range want {
		if seen[name] != n {
			t.Errorf("%d of %s, want %d", seen[name], name, n)
		}
	}
}

// A head that is rewritten, and a pull request that is closed and opened again
// meanwhile.
func TestForcedAndClosed(t *testing.T) {
	w := newWorld(t)
	clone, first, n := w.proposal("x")
	pull := base + "/pulls/" + n
	w.want(200, "ben", "POST", pull+"/reviews", obj{"event": "APPROVE"})
	w.git("ada", clone, "commit", "--quiet", "--amend", "-m", "Rewritten")
	second := w.git("ada", clone, "rev-parse", "HEAD")
	w.git("ada", clone, "push", "--quiet", "--force", "origin", "HEAD")
	if o := w.want(200, "ada", "GET", pull, nil).object(t); o["head"].(map[string]any)["sha"] != second || o["commits"] != 1.0 || o["mergeable"] != true {
		t.Errorf("after the push: %v at %v", o["commits"], o["head"])
	}
	w.want(409, "ben", "PUT", pull+"/merge", obj{"sha": first})
	w.want(201, "ben", "POST", base+"/statuses/"+first, obj{"state": "success"}) // a run that was slower than the push
	w.want(200, "ada", "PATCH", pull, obj{"state": "closed"})
	w.want(405, "ben", "PUT", pull+"/merge", obj{})
	w.want(201, "ben", "POST", base+"/statuses/"+second, obj{"state": "success"})
	w.want(201, "ada", "POST", base+"/issues/"+n+"/comments", obj{"body": "still here"})
	w.git("ada", clone, "push", "--quiet", "--force", "origin", first+":refs/heads/x")
	if o := w.want(200, "ada", "PATCH", pull, obj{"state": "open"}).object(t); o["state"] != "open" || o["head"].(map[string]any)["sha"] != first {
		t.Errorf("opened again: %v at %v", o["state"], o["head"])
	}
	w.want(200, "ben", "PUT", pull+"/merge", obj{"sha": first})
}

// The base, or the fork, is deleted under an open pull request.
func TestDeletedUnderneath(t *testing.T) {
	w := newWorld(t)
	clone, _, n := w.proposal("x")
	w.git("mia", clone, "push", "--quiet", w.url+"/git/hub/deployment.git", "origin/staging:refs/heads/other")
	w.git("ada", clone, "checkout", "--quiet", "-b", "y")
	w.commit(clone, "y", "y")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	second := jsonNumber(w.want(201, "ada", "POST", base+"/pulls", obj{"title": "y", "head": "ada:y", "base": "other"}).object(t)["number"])
	w.git("mia", clone, "push", "--quiet", w.url+"/git/hub/deployment.git", ":other")
	if o := w.want(200, "ada", "GET", base+"/pulls/"+second, nil).object(t); o["state"] != "closed" || o["merged"] != false {
		t.Errorf("without its base: %v, merged %v", o["state"], o["merged"])
	}
	w.want(403, "mia", "DELETE", "/repos/ada/deployment", nil)
	w.want(403, "mia", "DELETE", base, nil)
	w.want(204, "ada", "DELETE", "/repos/ada/deployment", nil)
	pull := base + "/pulls/" + n
	if o := w.want(200, "ada", "GET", pull, nil).object(t); o["state"] != "closed" || o["head"].(map[string]any)["repo"] != nil || o["changed_files"] != 1.0 {
		t.Errorf("without its fork: %v from %v", o["state"], o["head"])
	}
	w.want(200, "ada", "GET", pull+"/files", nil)
	w.want(200, "ada", "GET", pull+"/commits", nil)
	w.want(422, "ada", "PATCH", pull, obj{"state": "open"})
	w.want(405, "ben", "PUT", pull+"/merge", obj{})
	if out, err := w.try("ada", clone, "fetch", "origin"); err == nil {
		t.Errorf("a deleted fork is served:\n%s", out)
	}
	w.want(202, "ada", "POST", base+"/forks", obj{})
}

// What people write is text, wherever it goes.
func TestHostileText(t *testing.T) {
	w := newWorld(t)
	clone, sha, n := w.proposal("x")
	pull := base + "/pulls/" + n
	title := "$(touch pwned) `id` <script>\u0000\u001b[31m\r\nX-Evil: 1\n" + strings.Repeat("é", 100)
	o := w.want(200, "ada", "PATCH", pull, obj{"title": title, "body": "\u0000\u001b[2J <img src=x onerror=alert(1)>"}).object(t)
	if got := o["title"].(string); strings.ContainsAny(got, "\x00\x1b\r\n") || !strings.HasPrefix(got, "$(touch pwned) `id` <script>") {
		t.Errorf("the title became %q", got)
	}
	w.want(422, "ada", "PATCH", pull, obj{"title": "\u0000\n\t"})
	w.want(200, "ada", "PATCH", pull, obj{"body": "\xff\xfe"})
	w.want(201, "ben", "POST", base+"/statuses/"+sha, obj{"state": "success", "context": "$(id)\u0000", "description": "<b>\u001b[31m"})
	w.want(200, "ada", "GET", base+"/commits/"+sha+"/status", nil)
	w.want(200, "ben", "PUT", pull+"/merge", obj{"merge_method": "squash"})
	w.git("ada", clone, "fetch", "--quiet", w.url+"/git/hub/deployment.git", "staging")
	if got := w.git("ada", clone, "log", "-1", "--format=%s", "FETCH_HEAD"); !strings.HasPrefix(got, "$(touch pwned) `id` <script>") {
		t.Errorf("the commit is called %q", got)
	}
}

// Names of every kind reach neither a shell, nor an option of git, nor a file
// outside of the repositories.
func TestHostileNames(t *testing.T) {
	w := newWorld(t)
	_, sha, _ := w.proposal("x")
	witness := filepath.Join(t.TempDir(), "pwned")
	names := []string{"$(touch " + witness + ")", "`touch " + witness + "`", "x;touch " + witness, "--upload-pack=touch " + witness, "--output=" + witness,
		"../../../etc/passwd", "a..b", "a\nb", "a\x00b", "-", "@{-1}", ":/x", "^x", "x.lock", ".git", "git~1", ".GIT ", ".g\u200cit", strings.Repeat("a", 300), "\xff"}
	for _, name := range names {
		path := escape(name)
		for _, c := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/repos/hub/" + path, nil},
			{"GET", "/repos/" + path + "/deployment", nil},
			{"GET", base + "/branches/" + path, nil},
			{"GET", base + "/commits/" + path + "/status", nil},
			{"GET", base + "/compare/staging..." + path, nil},
			{"GET", base + "/contents/README.md?ref=" + path, nil},
			{"GET", base + "/commits?sha=" + path, nil},
			{"PUT", base + "/contents/" + path, obj{"message": "x", "content": "eA==", "branch": name}},
			{"PUT", base + "/contents/" + path + "/x", obj{"message": "x", "content": "eA==", "branch": "-"}},
			{"POST", base + "/git/refs", obj{"ref": name, "sha": sha}},
			{"POST", base + "/git/refs", obj{"ref": "refs/heads/y", "sha": name}},
			{"POST", base + "/pulls", obj{"title": "x", "head": "ada:" + name, "base": name}},
			{"POST", base + "/deployments", asked(obj{"ref": name})},
			{"POST", base + "/forks", obj{"name": name}},
			{"POST", "/repos/ada/deployment/merge-upstream", obj{"branch": name}},
		} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, w.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			status := w.raw(req, "mia", c.path, c.body)
			if status >= 500 || (status < 300 && c.method != "GET" && !strings.HasSuffix(c.path, "/forks")) {
				t.Errorf("%s %s with %q: %d", c.method, c.path, name, status)
			}
		}
	}
	// Paths that some machine would take for Git's own folder.
	for _, name := range []string{".git/config", "a/.GIT/hooks/x", "git~1/config", ".g\u200cit/config", ".git /config", ".git./config", "../x", "a//b", "/x", "a/../b", "a\x00b", "README.md/x", ".git:x/y", "a/.git. ./x"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status := w.raw(req, "ben", base+"/contents/"+escape(name), obj{"message": "x", "content": "eA=="}); status < 300 || status >= 500 { // the mux redirects some
			t.Errorf("a file %q: %d", name, status)
		}
	}
	if _, err := os.Stat(witness); err == nil {
		t.Error("a name was run")
	}
	// Git's own server knows a name of a repository when it sees one.
	for _, name := range []string{"..", "hub/..", "hub/deployment.git/../x", "hub%2F..%2Fx", "-x", "hub/$(id)"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Opaque = "/git/" + name + ".git/info/refs?service=git-upload-pack"
		req.SetBasicAuth("x", w.token["mia"])
		if res, err := http.DefaultTransport.RoundTrip(req); err != nil || res.StatusCode < 300 || res.StatusCode >= 500 {
			t.Errorf("%s: %v, %v", name, res, err)
		}
	}
}

// A hook that nobody answers holds back neither others nor those who push.
func TestDeadHook(t *testing.T) {
	w := newWorld(t)
	hang := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer silent.Close()
	defer close(hang)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := newSink(t)
	for _, url := range []string{silent.URL, gone.URL, s.url} {
		w.want(201, "mia", "POST", base+"/hooks", obj{"events": []string{"push"}, "config": obj{"url": url, "content_type": "json"}})
	}
	clone := w.clone("mia", "hub/deployment")
	sha := w.commit(clone, "a", "a")
	begun := time.Now()
	w.git("mia", clone, "push", "--quiet", "origin", "HEAD:staging")
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("a push takes %s", took)
	}
	for _, r := range s.wait(t, 2) {
		if r.event == "push" && !strings.Contains(r.body, sha) {
			t.Errorf("%s", r.body)
		}
	}
}
