package rest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge/local/host"
)

func TestDeployments(t *testing.T) {
	w := newWorld(t)
	head := w.want(200, "ada", "GET", base+"/git/ref/heads/staging", nil).object(t)["object"].(map[string]any)["sha"].(string)
	at := base + "/deployments"
	for _, c := range []struct {
		status int
		who    string
		body   any
		says   string
	}{
		{403, "ada", obj{"ref": "staging"}, "hubship's own"},
		{403, "ben", obj{"ref": "staging"}, "hubship's own"},
		{422, "mia", obj{}, "missing_field"},
		{422, "mia", obj{"ref": "nothing"}, "No ref found"},
		{422, "mia", obj{"ref": "staging", "environment": "a\nb"}, "environment"},
		{422, "mia", obj{"ref": "staging", "payload": 7}, "payload"},
		{422, "mia", obj{"ref": "staging", "payload": strings.Repeat("x", maxPayload)}, "payload"},
		{422, "mia", obj{"ref": "staging", "description": strings.Repeat("x", 141)}, "too long"},
		{409, "mia", obj{"ref": "staging", "required_contexts": []string{"ci"}}, "status checks failed"},
		{201, "mia", obj{"ref": "staging", "required_contexts": []string{}}, head},
		{201, "mia", obj{"ref": head, "environment": "staging", "payload": "a text", "description": "data8"}, "a text"},
	} {
		if a := w.want(c.status, c.who, "POST", at, c.body); !strings.Contains(string(a.body), c.says) {
			t.Errorf("%v: %s, want %q", c.body, a.body, c.says)
		}
	}
	w.want(201, "mia", "POST", base+"/statuses/"+head, obj{"state": "failure", "context": "ci"})
	w.want(409, "mia", "POST", at, obj{"ref": "staging"})
	w.want(201, "mia", "POST", base+"/statuses/"+head, obj{"state": "success", "context": "ci"})
	w.want(201, "mia", "POST", at, obj{"ref": "staging", "required_contexts": []string{"ci"}})
	// What GitHub would merge first is refused.
	clone := w.clone("mia", "hub/deployment")
	w.commit(clone, "more", "x")
	w.git("mia", clone, "push", "--quiet", "origin", "HEAD:refs/heads/staging")
	w.want(409, "mia", "POST", at, obj{"ref": "prod"})
	w.want(201, "mia", "POST", at, obj{"ref": "prod", "auto_merge": false})

	for query, want := range map[string]int{"": 4, "?environment=staging": 1, "?ref=prod": 1, "?sha=" + head: 4, "?task=x": 0} {
		if list := w.want(200, "ada", "GET", at+query, nil).list(t); len(list) != want {
			t.Errorf("deployments%s: %d, want %d", query, len(list), want)
		}
	}
	w.want(200, "ada", "GET", at+"/2", nil)
	w.want(404, "ada", "GET", at+"/99", nil)
	for _, c := range []struct {
		status int
		who    string
		body   any
	}{
		{403, "ada", obj{"state": "success"}},
		{422, "mia", obj{"state": "great"}},
		{422, "mia", obj{"state": "success", "log_url": "javascript:alert(1)"}},
		{422, "mia", obj{"state": "success", "environment_url": "file:///etc/passwd"}},
		{201, "mia", obj{"state": "in_progress", "log_url": "https://hubship.example/runs/1"}},
		{201, "mia", obj{"state": "success", "environment_url": "https://hub.example", "description": "verified"}},
		{201, "mia", obj{"state": "inactive"}},
	} {
		w.want(c.status, c.who, "POST", at+"/2/statuses", c.body)
	}
	w.want(404, "mia", "POST", at+"/99/statuses", obj{"state": "success"})
	if list := w.want(200, "ada", "GET", at+"/2/statuses", nil).list(t); len(list) != 3 || list[0]["state"] != "inactive" {
		t.Errorf("statuses: %v", list)
	}
	w.want(200, "ada", "GET", at+"/2/statuses/1", nil)
	w.want(404, "ada", "GET", at+"/1/statuses/1", nil)
}

// Pull requests are listed and changed as issues too.
func TestIssues(t *testing.T) {
	w := newWorld(t)
	_, _, n := w.proposal("numpy")
	issue := base + "/issues/" + n
	w.want(200, "ada", "PATCH", issue, obj{"title": "Add numpy 2", "body": "It is faster."})
	w.want(403, "ada", "PATCH", issue, obj{"labels": []string{"hub: data8"}})
	o := w.want(200, "ben", "PATCH", issue, obj{"labels": []any{"hub: data8", obj{"name": "x"}}}).object(t)
	if o["title"] != "Add numpy 2" || o["body"] != "It is faster." || len(o["labels"].([]any)) != 2 {
		t.Errorf("changed: %v %v %v", o["title"], o["body"], o["labels"])
	}
	w.want(422, "ada", "PATCH", issue, obj{"state": "gone"})
	w.want(422, "ben", "PATCH", issue, obj{"title": "Half done", "labels": []string{" "}})
	if o := w.want(200, "ben", "GET", issue, nil).object(t); o["title"] != "Add numpy 2" {
		t.Errorf("changed in half: %v", o["title"])
	}
	for query, want := range map[string]int{"": 1, "?state=closed": 0, "?state=all": 1, "?labels=x,HUB:+data8": 1, "?labels=y": 0, "?creator=ada": 1, "?creator=ben": 0, "?creator=nobody": 0, "?since=2999-01-01T00:00:00Z": 0} {
		if list := w.want(200, "ada", "GET", base+"/issues"+query, nil).list(t); len(list) != want {
			t.Errorf("issues%s: %d, want %d", query, len(list), want)
		}
	}
	w.want(422, "ada", "GET", base+"/issues?state=x", nil)
	if o := w.want(200, "ada", "PATCH", issue, obj{"state": "closed"}).object(t); o["state"] != "closed" {
		t.Errorf("closed: %v", o["state"])
	}
}

// What people write, and what differs, in the forms that clients ask for.
func TestMediaTypes(t *testing.T) {
	w := newWorld(t)
	_, sha, n := w.proposal("numpy")
	pull := base + "/pulls/" + n
	w.want(200, "ada", "PATCH", pull, obj{"body": "It is **faster**, see #1."})
	for how, want := range map[string][3]bool{"json": {true, false, false}, "text+json": {true, true, false}, "html+json": {true, false, true}, "full+json": {true, true, true}, "v3.full+json": {true, true, true}} {
		for _, o := range []obj{
			w.want(200, "ada", "GET", pull, nil, "Accept", "application/vnd.github."+how).object(t),
			w.want(200, "ada", "GET", base+"/issues", nil, "Accept", "application/vnd.github."+how).list(t)[0],
		} {
			_, body := o["body"]
			if got := [3]bool{body, o["body_text"] == "It is faster, see #1.", strings.Contains(fmt.Sprint(o["body_html"]), "<strong>faster</strong>")}; got != want {
				t.Errorf("%s: %v, want %v", how, got, want)
			}
		}
	}
	for _, path := range []string{pull, base + "/compare/staging...ada:numpy", base + "/commits/" + sha} {
		for how, want := range map[string]string{"diff": "diff --git a/numpy.txt b/numpy.txt", "patch": "From " + sha, "v3.diff": "+one", "v3.patch": "Subject: [PATCH] Change numpy.txt"} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/api/v3"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+w.token["ada"])
			req.Header.Set("Accept", "application/vnd.github."+how)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != 200 || !strings.Contains(string(text), want) || strings.Contains(res.Header.Get("Content-Type"), "json") {
				t.Errorf("%s as %s: %s %v %s", path, how, res.Status, err, text)
			}
		}
	}
	first := w.git("ada", w.clone("ada", "hub/deployment"), "rev-list", "--max-parents=0", "HEAD")
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/api/v3"+base+"/commits/"+first, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token["ada"])
	req.Header.Set("Accept", "application/vnd.github.patch")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "+hello") {
		t.Errorf("the first commit as a patch: %v %s", err, text)
	}
}

// What clients ask for before anything else, and what is not there.
func TestClientsBegin(t *testing.T) {
	w := newWorld(t)
	clone, sha, n := w.proposal("feature/x")
	w.git("mia", clone, "tag", "-a", "-m", "one", "v1")
	w.git("mia", clone, "tag", "v2")
	w.git("mia", clone, "push", "--quiet", w.url+"/git/hub/deployment.git", "v1", "v2")
	for _, tag := range w.want(200, "ada", "GET", base+"/tags", nil).list(t) {
		if tag["commit"].(map[string]any)["sha"] != sha {
			t.Errorf("%v", tag)
		}
	}
	for path, status := range map[string]int{
		"/": 200, "/meta": 200, "/rate_limit": 200, "/user": 200, "/user/repos": 200, "/users/ada": 200, "/users/ada/repos": 200, "/orgs/hub/repos": 200,
		base + "/collaborators": 200, base + "/collaborators/ben/permission": 200, base + "/tags": 200, base + "/labels": 200, base + "/labels/nothing": 404,
		base + "/commits": 200, base + "/commits/staging": 200, base + "/commits/staging/status": 200, base + "/commits/" + sha + "/pulls": 200,
		base + "/commits/" + sha + "/branches-where-head": 200, base + "/issues/" + n: 200, base + "/issues/99": 404, base + "/issues": 200, base + "/readme": 200, base + "/readme?ref=nothing": 404, base + "/pulls/" + n + "/comments": 200,
		base + "/git/commits/" + sha: 200, base + "/git/commits/" + strings.Repeat("0", 40): 404, base + "/git/trees/staging?recursive=1": 200,
		base + "/commits/" + sha + "/check-suites": 404, base + "/git/trees/nothing": 404, base + "/git/blobs/" + sha: 404, base + "/branches/staging/protection/enforce_admins": 404,
	} {
		a := w.want(status, "mia", "GET", path, nil)
		if status != 200 {
			continue
		}
		if tag := a.header.Get("ETag"); tag == "" {
			t.Errorf("%s has no ETag", path)
		} else if path != "/rate_limit" {
			w.want(304, "mia", "GET", path, nil, "If-None-Match", tag)
		}
	}
	for method, path := range map[string]string{"POST": "/graphql", "GET": "/search/issues", "PUT": base + "/nothing"} {
		req, err := http.NewRequestWithContext(t.Context(), method, w.url+"/api/v3"+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "token "+w.token["ada"])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusNotFound || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s %s: %s", method, path, res.Status)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, w.url+"/api/v3"+base, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+w.token["ada"])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("ETag") == "" || res.Header.Get("X-OAuth-Scopes") == "" {
		t.Errorf("HEAD: %s, %v", res.Status, res.Header)
	}
}

// Rules that the dialect has no words for outlive a client's change.
func TestProtectionKeepsItsOwn(t *testing.T) {
	w := newWorld(t)
	own := &host.Protection{Heads: []string{"staging"}, Bypass: []string{"ben"}, AllowPush: true, Checks: &host.RequiredChecks{Contexts: []string{"a"}, By: "ben"}}
	if err := w.host.SetProtection(t.Context(), w.repo, "prod", own); err != nil {
		t.Fatal(err)
	}
	at := base + "/branches/prod/protection"
	if a := w.want(200, "mia", "GET", at, nil); strings.Contains(string(a.body), "bypass") || strings.Contains(string(a.body), "heads") {
		t.Errorf("%s", a.body)
	}
	rules := func(reviews any) obj {
		return obj{"required_status_checks": obj{"strict": true, "contexts": []string{"b"}}, "enforce_admins": true, "required_pull_request_reviews": reviews, "restrictions": nil}
	}
	for _, c := range []struct {
		reviews any
		bypass  string
	}{
		{nil, "ben"},
		{obj{"required_approving_review_count": 2}, ""},
		{obj{"bypass_pull_request_allowances": obj{"users": []string{"MIA"}}}, "mia"},
	} {
		w.want(200, "mia", "PUT", at, rules(c.reviews))
		p, err := w.host.Protection(t.Context(), w.repo, "prod")
		if err != nil || len(p.Heads) != 1 || !p.AllowPush || strings.Join(p.Bypass, ",") != c.bypass || p.Checks.Contexts[0] != "b" || p.Checks.By != "ben" {
			t.Errorf("%v: %+v, %v", c.reviews, p, err)
		}
	}
	for _, bad := range []obj{{"users": []string{"nobody"}}, {"teams": []string{"staff"}}, {"apps": []string{"x"}}} {
		w.want(422, "mia", "PUT", at, rules(obj{"bypass_pull_request_allowances": bad}))
	}
	for _, part := range []string{"required_status_checks", "required_pull_request_reviews", "enforce_admins"} {
		w.want(200, "mia", "GET", at+"/"+part, nil)
	}
	w.want(404, "mia", "GET", at+"/restrictions", nil)
	w.want(404, "ada", "GET", at+"/enforce_admins", nil)
}
