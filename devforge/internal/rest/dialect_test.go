package rest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/store"
)

func TestErrors(t *testing.T) {
	w := newWorld(t)
	_, sha, n := w.proposal("x")
	w.token["bad"] = "hsp_wrong"
	_, w.token["reader"], _ = w.host.Store.CreateToken(t.Context(), w.id["mia"], "reads", []string{store.ScopeRead}, 0)
	_, w.token["ci"], _ = w.host.Store.CreateToken(t.Context(), w.id["ben"], "reports", []string{store.ScopeStatus}, 0)
	pulls, zeros := base+"/pulls", strings.Repeat("0", 40)
	for _, c := range []struct {
		status       int
		who          string
		method, path string
		body         any
	}{
		{401, "", "GET", "/user", nil},
		{401, "bad", "GET", base, nil},
		{401, "bad", "GET", "/repos/hub/nothing", nil},
		{404, "ada", "GET", "/repos/hub/nothing", nil},
		{404, "ada", "GET", "/repos/hub/deployment/pulls/99", nil},
		{404, "ada", "GET", "/repos/hub/deployment/pulls/abc", nil},
		{404, "ada", "GET", base + "/branches/nothing", nil},
		{404, "ada", "GET", base + "/compare/staging...nothing", nil},
		{404, "ada", "GET", base + "/compare/staging...nobody:x", nil},
		{404, "ada", "GET", base + "/contents/nothing", nil},
		{404, "ben", "GET", base + "/branches/staging/protection", nil},
		{422, "ada", "GET", base + "/commits/nothing", nil},
		{403, "reader", "POST", base + "/statuses/" + sha, obj{"state": "success"}},
		{403, "ci", "POST", base + "/issues/" + n + "/comments", obj{"body": "x"}},
		{201, "ci", "POST", base + "/statuses/" + sha, obj{"state": "success"}},
		{422, "ben", "POST", base + "/statuses/" + sha, obj{"state": "great"}},
		{422, "ben", "POST", base + "/statuses/" + zeros, obj{"state": "success"}},
		{422, "ben", "POST", base + "/statuses/" + sha, obj{"state": "success", "target_url": "javascript:alert(1)"}},
		{422, "ben", "POST", base + "/statuses/staging", obj{"state": "success"}},
		{400, "ada", "POST", pulls, `{"title":`},
		{422, "ada", "POST", pulls, `{"title": 7}`},
		{422, "ada", "POST", pulls, obj{"head": "ada:x", "base": "staging"}},
		{422, "ada", "POST", pulls, obj{"title": "again", "head": "ada:x", "base": "staging"}},
		{422, "ada", "POST", pulls, obj{"title": "x", "head": "nobody:x", "base": "staging"}},
		{422, "ada", "POST", pulls, obj{"title": "x", "head": "ada:nothing", "base": "staging"}},
		{422, "ada", "POST", pulls, obj{"title": "x", "head": "ada:staging", "base": "staging"}},
		{422, "ada", "POST", pulls, obj{"title": "x", "head": "ada:--upload-pack=x", "base": "staging"}},
		{422, "ada", "POST", pulls, obj{"title": "x", "head": "ada:x", "base": "../../x"}},
		{422, "ada", "POST", pulls, obj{"title": strings.Repeat("x", 300), "head": "ada:x", "base": "prod"}},
		{403, "ada", "POST", pulls, obj{"title": "x", "head": "prod", "base": "staging"}},
		{422, "ben", "PUT", pulls + "/" + n + "/merge", obj{"merge_method": "octopus"}},
		{422, "ben", "POST", pulls + "/" + n + "/reviews", obj{"event": "SHOUT"}},
		{422, "ben", "POST", pulls + "/" + n + "/reviews", obj{"event": "APPROVE", "commit_id": zeros}},
		{422, "ada", "POST", base + "/issues/" + n + "/comments", obj{"body": " "}},
		{404, "ada", "POST", base + "/issues/99/comments", obj{"body": "x"}},
		{422, "ada", "POST", base + "/git/refs", obj{"ref": "refs/heads/mine", "sha": sha}},
		{422, "ben", "POST", base + "/git/refs", obj{"ref": "refs/heads/a..b", "sha": sha}},
		{422, "ben", "POST", base + "/git/refs", obj{"ref": "refs/heads/staging", "sha": sha}},
		{422, "ben", "POST", base + "/git/refs", obj{"ref": "refs/pull/9/head", "sha": sha}},
		{422, "mia", "PUT", base + "/branches/staging/protection", obj{}},
		{403, "mia", "POST", "/repos/mia/deployment/merge-upstream", obj{"branch": "x"}},
	} {
		if c.path == "/repos/mia/deployment/merge-upstream" {
			c.path = "/repos/ada/deployment/merge-upstream"
		}
		a := w.send(c.who, c.method, c.path, c.body)
		if a.status != c.status {
			t.Errorf("%s %s by %q with %v: %d, want %d\n%s", c.method, c.path, c.who, c.body, a.status, c.status, a.body)
		}
	}
	if a := w.send("ada", http.MethodPost, base+"/issues/"+n+"/comments", `{"body":"`+strings.Repeat("x", maxRequest)+`"}`); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a huge comment: %d", a.status)
	}
}

func TestRefs(t *testing.T) {
	w := newWorld(t)
	head := w.head("staging")
	w.want(201, "ben", "POST", base+"/git/refs", obj{"ref": "refs/heads/feature/a", "sha": head})
	w.want(201, "ben", "POST", base+"/git/refs", obj{"ref": "refs/tags/v1", "sha": head})
	if got := w.head("feature/a"); got != head {
		t.Errorf("the branch is at %s, want %s", got, head)
	}
	w.want(200, "ben", "GET", base+"/commits/feature/a", nil)
	w.want(200, "ben", "GET", base+"/commits/tags/v1", nil)
	w.want(422, "ben", "POST", base+"/git/refs", obj{"ref": "refs/heads/feature/a", "sha": head})
	w.want(422, "ben", "POST", base+"/git/refs", obj{"ref": "refs/heads/feature/b", "sha": strings.Repeat("1", 40)})
}

func TestPagesAndTags(t *testing.T) {
	w := newWorld(t)
	_, _, n := w.proposal("x")
	for i := range 5 {
		w.want(201, "ada", "POST", base+"/issues/"+n+"/comments", obj{"body": fmt.Sprint(i)})
	}
	path := base + "/issues/" + n + "/comments"
	a := w.want(200, "ada", "GET", path+"?per_page=2&page=2", nil)
	link := func(page int, rel string) string {
		return fmt.Sprintf(`<%s/api/v3%s?page=%d&per_page=2>; rel="%s"`, w.url, path, page, rel)
	}
	if got, want := a.header.Get("Link"), strings.Join([]string{link(1, "prev"), link(3, "next"), link(3, "last"), link(1, "first")}, ", "); got != want {
		t.Errorf("Link: %s\nwant  %s", got, want)
	}
	if list := a.list(t); len(list) != 2 || list[0]["body"] != "2" {
		t.Errorf("page 2: %v", list)
	}
	if list := w.want(200, "ada", "GET", path+"?per_page=2&page=9", nil).list(t); len(list) != 0 {
		t.Errorf("page 9: %v", list)
	}
	tag := a.header.Get("ETag")
	w.want(304, "ada", "GET", path+"?per_page=2&page=2", nil, "If-None-Match", tag)
	w.want(201, "ada", "POST", path, obj{"body": "new"})
	w.want(200, "ada", "GET", path, nil, "If-None-Match", w.want(200, "ada", "GET", base+"/pulls", nil).header.Get("ETag"))
	if a.header.Get("X-RateLimit-Limit") != "15000" || a.header.Get("X-RateLimit-Remaining") == "" || a.header.Get("X-RateLimit-Reset") == "" {
		t.Errorf("limits: %v", a.header)
	}
	// What hubship asks follows from what others do: nobody keeps it from its work.
	if left := w.want(200, "mia", "GET", path, nil).header.Get("X-RateLimit-Remaining"); left != "" {
		t.Errorf("hubship's account has %s requests left", left)
	}
	for query, want := range map[string]int{"": 1, "?state=closed": 0, "?state=all": 1, "?head=ada:x": 1, "?head=ada:y": 0, "?head=nobody:x": 0, "?base=prod": 0, "?base=staging&sort=updated": 1} {
		if list := w.want(200, "ada", "GET", base+"/pulls"+query, nil).list(t); len(list) != want {
			t.Errorf("pulls%s: %d, want %d", query, len(list), want)
		}
	}
	w.want(422, "ada", "GET", base+"/pulls?state=x", nil)
}

func TestLimit(t *testing.T) {
	l := newLimiter(2)
	h := http.Header{}
	for i, c := range []struct {
		account int64
		ok      bool
		left    string
	}{{1, true, "1"}, {1, true, "0"}, {1, false, "0"}, {2, true, "1"}} {
		if got := l.take(h, c.account); got != c.ok || h.Get("X-RateLimit-Remaining") != c.left {
			t.Errorf("request %d: %v, %s left", i, got, h.Get("X-RateLimit-Remaining"))
		}
	}
}

func TestConflictAndUpdate(t *testing.T) {
	w := newWorld(t)
	clone, _, n := w.proposal("x")
	other := w.clone("mia", "hub/deployment")
	w.commit(other, "elsewhere.txt", "1")
	w.git("mia", other, "push", "--quiet", "origin", "HEAD:staging")
	pull := base + "/pulls/" + n
	w.want(403, "ben", "PUT", "/repos/ada/deployment/pulls/1/merge", obj{})
	w.want(422, "ada", "PUT", pull+"/update-branch", obj{"expected_head_sha": strings.Repeat("1", 40)})
	w.want(202, "ada", "PUT", pull+"/update-branch", obj{})
	w.git("ada", clone, "pull", "--quiet", "--ff-only", "origin", "x")
	if got := w.git("ada", clone, "show", "HEAD:elsewhere.txt"); got != "1" {
		t.Errorf("after the update: %q", got)
	}
	w.want(422, "ada", "PUT", pull+"/update-branch", obj{})
	w.commit(other, "x.txt", "theirs")
	w.git("mia", other, "push", "--quiet", "origin", "HEAD:staging")
	o := w.want(200, "ada", "GET", pull, nil).object(t)
	if o["mergeable"] != false || o["mergeable_state"] != "dirty" || o["merge_commit_sha"] != nil {
		t.Errorf("a conflict: %v %v", o["mergeable"], o["mergeable_state"])
	}
	w.want(405, "ben", "PUT", pull+"/merge", obj{})
	// The base gets the head by a push: the pull request is merged.
	w.git("mia", other, "fetch", "--quiet", "origin", "refs/pull/"+n+"/head")
	w.git("mia", other, "merge", "--quiet", "-X", "ours", "-m", "by hand", "FETCH_HEAD")
	w.git("mia", other, "push", "--quiet", "origin", "HEAD:staging")
	if o := w.want(200, "ada", "GET", pull, nil).object(t); o["merged"] != true || o["merged_by"].(map[string]any)["login"] != "mia" {
		t.Errorf("merged by hand: %v by %v", o["merged"], o["merged_by"])
	}
}
