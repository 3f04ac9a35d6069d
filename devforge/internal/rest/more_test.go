package rest

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/host"
)

// asked is the body of a deployment as hubship asks for it: of the commit as it
// is, whose statuses are its own to judge.
func asked(body obj) obj {
	whole := obj{"auto_merge": false, "required_contexts": []string{}}
	maps.Copy(whole, body)
	return whole
}

func TestDeployments(t *testing.T) {
	w := newWorld(t)
	head := w.head("staging")
	at := base + "/deployments"
	for _, c := range []struct {
		status int
		who    string
		body   any
		says   string
	}{
		{403, "ada", asked(obj{"ref": "staging"}), "hubship's own"},
		{403, "ben", asked(obj{"ref": "staging"}), "hubship's own"},
		{422, "mia", asked(obj{}), "missing_field"},
		{422, "mia", asked(obj{"ref": "nothing"}), "No ref found"},
		{422, "mia", asked(obj{"ref": "staging", "environment": "a\nb"}), "environment"},
		{422, "mia", asked(obj{"ref": "staging", "payload": 7}), "payload"},
		{422, "mia", asked(obj{"ref": "staging", "payload": strings.Repeat("x", maxPayload)}), "payload"},
		{422, "mia", asked(obj{"ref": "staging", "description": strings.Repeat("x", 141)}), "too long"},
		{422, "mia", obj{"ref": "staging", "required_contexts": []string{}}, "auto_merge"},
		{422, "mia", asked(obj{"ref": "staging", "required_contexts": []string{"ci"}}), "required_contexts"},
		{422, "mia", obj{"ref": "staging", "auto_merge": false}, "required_contexts"},
		{201, "mia", asked(obj{"ref": "staging"}), head},
		{201, "mia", asked(obj{"ref": head, "environment": "staging", "payload": "a text", "description": "data8"}), "a text"},
		{201, "mia", asked(obj{"ref": "prod"}), head},
	} {
		if a := w.want(c.status, c.who, "POST", at, c.body); !strings.Contains(string(a.body), c.says) {
			t.Errorf("%v: %s, want %q", c.body, a.body, c.says)
		}
	}

	for query, want := range map[string]int{"": 3, "?environment=staging": 1, "?ref=prod": 1, "?sha=" + head: 3, "?task=x": 0} {
		if list := w.want(200, "ada", "GET", at+query, nil).list(t); len(list) != want {
			t.Errorf("deployments%s: %d, want %d", query, len(list), want)
		}
	}
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
	w.want(404, "ada", "GET", at+"/99/statuses", nil)
}

// What differs, in the forms that clients ask for.
func TestMediaTypes(t *testing.T) {
	w := newWorld(t)
	_, sha, n := w.proposal("numpy")
	pull := base + "/pulls/" + n
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
	_, sha, n := w.proposal("feature/x")
	for path, status := range map[string]int{
		"/user": 200, base: 200, base + "/collaborators/ben/permission": 200, base + "/commits": 200, base + "/commits/staging": 200, base + "/commits/staging/status": 200,
		base + "/contents/README.md": 200, base + "/pulls/" + n + "/comments": 200, base + "/contents/README.md?ref=nothing": 404, base + "/commits/" + sha + "/check-suites": 404,
		"/rate_limit": 404, "/user/repos": 404, base + "/issues/" + n: 404, base + "/git/trees/staging": 404, base + "/branches/staging/protection/enforce_admins": 404,
	} {
		a := w.want(status, "mia", "GET", path, nil)
		if status != 200 {
			continue
		}
		if tag := a.header.Get("ETag"); tag == "" {
			t.Errorf("%s has no ETag", path)
		} else {
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
	if a := w.want(200, "mia", "GET", at, nil); strings.Contains(string(a.body), "bypass_pull_request_allowances") ||
		!strings.Contains(string(a.body), `"forge":{"heads":["staging"],"allow_push":true,"maintained":null,"bypass":["ben"],"checks_by":"ben","checks_of_merge":false}`) {
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
	// A client that knows them sets them.
	with := rules(nil)
	with["forge"] = obj{"heads": []string{"x"}, "maintained": []string{"*.yaml"}, "checks_of_merge": true}
	w.want(200, "mia", "PUT", at, with)
	p, err := w.host.Protection(t.Context(), w.repo, "prod")
	if err != nil || strings.Join(p.Heads, ",") != "x" || p.AllowPush || len(p.Bypass) > 0 || p.Checks.By != "" || !p.Checks.Merge || strings.Join(p.Maintained, ",") != "*.yaml" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []obj{{"heads": []string{"a..b"}}, {"maintained": []string{"["}}, {"maintained": []string{""}}, {"bypass": make([]string, 101)}} {
		with["forge"] = bad
		w.want(422, "mia", "PUT", at, with)
	}
	for _, bad := range []obj{{"users": []string{"nobody"}}, {"teams": []string{"staff"}}, {"apps": []string{"x"}}} {
		w.want(422, "mia", "PUT", at, rules(obj{"bypass_pull_request_allowances": bad}))
	}
	w.want(404, "ada", "GET", at, nil)
	w.want(204, "mia", "DELETE", at, nil)
	w.want(404, "mia", "GET", at, nil)
	w.want(404, "mia", "DELETE", at, nil)
}
