package pages_test

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/forge"
)

// The whole way, with forms alone.
func TestWalkWithoutJavaScript(t *testing.T) {
	f := start(t)
	carl := f.signedIn("carl")
	carl.says("hubs/deployment")
	carl.open("/forge/hubs/deployment", http.StatusOK)
	carl.says("The hubs", "README.md", "hubs/")
	if !strings.Contains(carl.text, f.URL+"/git/hubs/deployment.git") {
		t.Error("the page does not say what to clone")
	}
	carl.send("Fork", nil, http.StatusOK)
	carl.says("carl", "fork of", "Contribute")
	if carl.at != "/forge/carl/deployment" {
		t.Errorf("the fork is at %s", carl.at)
	}
	fork, err := f.Host.Find(t.Context(), "carl", "deployment")
	f.ok(err)
	f.change(fork, "more/memory", map[string][]byte{"hubs/a.yaml": []byte("a: 1\nb: 3\n"), "new & <odd>.txt": []byte("x\n")})

	carl.open("/forge/hubs/deployment/compare/staging...carl:more/memory", http.StatusOK)
	carl.says("1 commit", "Change a value", "hubs/a.yaml")
	carl.send("Open pull request", url.Values{"title": {"More <b>memory</b> " + hostile}, "body": {"Closes #1 and\n\n" + hostile}}, http.StatusOK)
	if carl.at != "/forge/hubs/deployment/pull/1" {
		t.Fatalf("it is at %s", carl.at)
	}
	carl.says("More <b>memory</b>", "carl wants to merge 1 commit into staging from carl:more/memory", "This cannot be merged yet", "Somebody with write access")
	if !strings.Contains(carl.text, "<option>mia</option>") || strings.Contains(carl.text, "<option>hubship</option>") {
		t.Error("not the people who may be asked for a review")
	}
	if carl.has("Merge") || carl.has("Approve") {
		t.Error("a contributor sees buttons that they may not use")
	}
	if !strings.Contains(carl.text, `href="/forge/hubs/deployment/pull/1"`) {
		t.Error("#1 is no link")
	}
	carl.send("Comment", url.Values{"body": {"A comment " + hostile}}, http.StatusOK)
	carl.says("A comment")
	for _, page := range []string{"files", "commits", "checks"} {
		carl.open("/forge/hubs/deployment/pull/1/"+page, http.StatusOK)
	}
	carl.open("/forge/hubs/deployment/pull/1/files", http.StatusOK)
	carl.says("b: 2", "b: 3", "new & <odd>.txt")

	mia := f.signedIn("mia")
	mia.open("/forge/hubs/deployment/pulls", http.StatusOK)
	mia.says("#1 by carl", "carl:more/memory → staging")
	mia.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	mia.send("Request changes", url.Values{"body": {"Less, please."}}, http.StatusOK)
	mia.says("requested changes", "Less, please.")
	mia.send("Merge", nil, http.StatusMethodNotAllowed)
	mia.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	mia.send("Approve", nil, http.StatusOK)
	mia.says("All requirements of staging are met.")
	mia.send("Merge", url.Values{"method": {"squash"}}, http.StatusOK)
	mia.says("merged", "This pull request was merged.")
	carl.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	if carl.has("Revert") {
		t.Error("a contributor may take back what was merged")
	}
	mia.open("/forge/hubs/deployment/commits", http.StatusOK)
	mia.says("Begin")
	mia.open("/forge/hubs/deployment/branches", http.StatusOK)
	mia.says("protected", "Requires 1 approval.")
	carl.open("/forge/carl/deployment", http.StatusOK)
	carl.send("Sync fork", nil, http.StatusOK)
	carl.open("/forge/hubs/deployment/blob/staging/hubs/a.yaml", http.StatusOK)
	carl.says("b: 3")
	carl.open("/forge/hubs/deployment/blob/staging/bin", http.StatusOK)
	carl.says("binary")
	carl.open("/forge/hubs/deployment/commit/"+f.base, http.StatusOK)
}

func TestNotThere(t *testing.T) {
	f := start(t)
	carl := f.signedIn("carl")
	for _, gone := range []string{"/forge/hubs/nothing", "/forge/nobody", "/forge/hubs/deployment/pull/99", "/forge/hubs/deployment/pull/x", "/forge/hubs/deployment/blob/staging/none",
		"/forge/hubs/deployment/blob/staging/../../etc/passwd", "/forge/hubs/deployment/commit/zzz", "/forge/hubs/deployment/tree/--output=x"} {
		resp, err := carl.http.Get(f.URL + gone)
		f.ok(err)
		resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("%s: %s", gone, resp.Status)
		}
	}
}

// A pull request is also a text that git takes.
func TestDiffAsText(t *testing.T) {
	f := start(t)
	f.change(f.hosted, "more", map[string][]byte{"hubs/a.yaml": []byte("a: 1\nb: 3\n")})
	mia := f.signedIn("mia")
	mia.open("/forge/hubs/deployment/compare/staging...more", http.StatusOK)
	mia.send("Open pull request", url.Values{"title": {"More"}}, http.StatusOK)
	for suffix, want := range map[string]string{".diff": "+b: 3", ".patch": "Subject: [PATCH] Change a value"} {
		resp, err := mia.http.Get(f.URL + "/forge/hubs/deployment/pull/1" + suffix)
		f.ok(err)
		text, err := io.ReadAll(resp.Body)
		f.ok(err)
		resp.Body.Close()
		if !strings.Contains(string(text), want) || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %s %s", suffix, resp.Header.Get("Content-Type"), text)
		}
	}
}

// A change that changes nothing is a text without a word.
func TestEmptyDiff(t *testing.T) {
	f := start(t)
	f.change(f.hosted, "nothing", map[string][]byte{"hubs/a.yaml": []byte("a: 1\nb: 2\n")})
	mia := f.signedIn("mia")
	mia.open("/forge/hubs/deployment/compare/staging...nothing", http.StatusOK)
	mia.send("Open pull request", url.Values{"title": {"Nothing"}}, http.StatusOK)
	mia.open("/forge/hubs/deployment/pull/1.diff", http.StatusOK)
	if mia.doc == nil || strings.TrimSpace(textOf(mia.doc)) != "" {
		t.Errorf("the difference is %q", mia.text)
	}
	mia.open("/forge/hubs/deployment/pull/99.diff", http.StatusNotFound)
	mia.open("/forge/hubs/deployment/pull/x.patch", http.StatusNotFound)
}

func TestSessionsAndForms(t *testing.T) {
	f := start(t)
	b := f.browser()
	b.open("/forge/hubs/deployment/pulls?state=all", http.StatusOK)
	b.says("Sign in")
	b.send("Sign in", url.Values{"login": {"carl"}, "password": {"wrong"}}, http.StatusForbidden)
	b.send("Sign in", url.Values{"login": {"carl"}, "password": {password}}, http.StatusOK)
	if b.at != "/forge/hubs/deployment/pulls?state=all" {
		t.Errorf("after signing in it is at %s", b.at)
	}
	u, _ := url.Parse(f.URL + "/forge/")
	cookies := b.http.Jar.Cookies(u)
	if len(cookies) != 1 {
		t.Fatalf("cookies %v", cookies)
	}
	other, _ := url.Parse(f.URL + "/")
	if len(b.http.Jar.Cookies(other)) > 0 {
		t.Error("the session goes to pages that are not the forge's")
	}

	// A form without its token, with another's, or from another site.
	post := func(values url.Values, headers ...string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/forge/hubs/deployment/fork", strings.NewReader(values.Encode()))
		f.ok(err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := b.http.Do(req)
		f.ok(err)
		resp.Body.Close()
		return resp.StatusCode
	}
	b.open("/forge/hubs/deployment", http.StatusOK)
	form, _ := b.form("Fork")
	token := ""
	for n := range form.Descendants() {
		if attr(n, "name") == "form" {
			token = attr(n, "value")
		}
	}
	for what, got := range map[string]int{
		"no token":      post(url.Values{}),
		"wrong token":   post(url.Values{"form": {token + "x"}}),
		"another site":  post(url.Values{"form": {token}}, "Sec-Fetch-Site", "cross-site"),
		"another host":  post(url.Values{"form": {token}}, "Origin", "http://evil.example"),
		"a hub's pages": post(url.Values{"form": {token}}, "Sec-Fetch-Site", "same-site"),
	} {
		if got != http.StatusForbidden {
			t.Errorf("%s: %d", what, got)
		}
	}
}

// Tokens are shown once; a new password ends the other sessions.
func TestSettings(t *testing.T) {
	f := start(t)
	b, second := f.signedIn("carl"), f.signedIn("carl")
	b.open("/forge/-/settings", http.StatusOK)
	b.send("Create token", url.Values{"name": {"git " + hostile}, "scope": {store.ScopeRepo}, "days": {"1"}}, http.StatusOK)
	secret := regexp.MustCompile(`<pre class="secret">([^<]+)</pre>`).FindStringSubmatch(b.text)
	if secret == nil {
		t.Fatalf("no token is shown:\n%s", b.text)
	}
	if who, _, err := f.Host.Store.Bearer(t.Context(), secret[1]); err != nil || who.Login != "carl" {
		t.Errorf("the token opens %q, %v", who.Login, err)
	}
	b.open("/forge/-/settings", http.StatusOK)
	if strings.Contains(b.text, secret[1]) {
		t.Error("a token is shown again")
	}
	b.send("Revoke", nil, http.StatusOK)
	if _, _, err := f.Host.Store.Bearer(t.Context(), secret[1]); err == nil {
		t.Error("a revoked token still opens")
	}
	b.send("Change password", url.Values{"old": {"wrong"}, "new": {password + "2"}, "again": {password + "2"}}, http.StatusForbidden)
	b.open("/forge/-/settings", http.StatusOK)
	b.send("Change password", url.Values{"old": {password}, "new": {password + "2"}, "again": {password + "2"}}, http.StatusOK)
	b.says("Settings for carl")
	second.open("/forge/-/settings", http.StatusOK)
	second.says("Sign in")
	b.send("Sign out", nil, http.StatusOK)
	b.open("/forge/", http.StatusOK)
	b.says("Sign in")
}

// Where to go after signing in is never another site.
func TestSignInLeadsHere(t *testing.T) {
	f := start(t)
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "/forge/../x", "javascript:alert(1)"} {
		c := f.browser()
		c.open("/forge/-/signin?next="+url.QueryEscape(next), http.StatusOK)
		c.send("Sign in", url.Values{"login": {"mia"}, "password": {password}}, http.StatusOK)
		if !strings.HasPrefix(c.at, "/forge/") {
			t.Errorf("%s leads to %s", next, c.at)
		}
	}
}

func TestGuessingEnds(t *testing.T) {
	f := start(t)
	g := f.browser()
	g.open("/forge/-/signin", http.StatusOK)
	for range 10 {
		g.send("Sign in", url.Values{"login": {"mia"}, "password": {"wrong"}}, http.StatusForbidden)
	}
	g.send("Sign in", url.Values{"login": {"mia"}, "password": {password}}, http.StatusTooManyRequests)
}

// A press of Revert is a comment of the visitor's, which hubship answers.
func TestRevert(t *testing.T) {
	f := start(t)
	f.change(f.hosted, "checked", map[string][]byte{"hubs/a.yaml": []byte("a: 2\n")})
	mia, carl := f.signedIn("mia"), f.signedIn("carl")
	c := f.Client(f.mia, f.name)
	pr, err := c.Open(t.Context(), forge.NewPullRequest{Title: "Checked", Head: "checked", Base: "prod"})
	f.ok(err)
	const page = "/forge/hubs/deployment/pull/1"
	mia.open(page, http.StatusOK)
	if mia.has("Revert") {
		t.Error("what was not merged may be reverted")
	}
	_, err = c.Merge(t.Context(), pr.Number, forge.Merge{Head: pr.Head.Commit})
	f.ok(err)
	mia.open(page, http.StatusOK)
	form := mia.doc
	mia.send("Revert", nil, http.StatusOK)
	mia.says("The pull request that does so appears here shortly.")
	if mia.at != page || mia.has("Revert") || !strings.Contains(mia.text, `data-refresh="3"`) {
		t.Errorf("%s waits for no answer:\n%s", mia.at, mia.text)
	}
	said, err := c.Comments(t.Context(), 1)
	f.ok(err)
	if len(said) != 1 || said[0].Body != "/hubship revert" || said[0].Author != "mia" {
		t.Errorf("the comments are %+v", said)
	}
	// A contributor has no button, and what they send is no comment.
	carl.open(page, http.StatusOK)
	carl.says("/hubship revert")
	if carl.has("Revert") || strings.Contains(carl.text, "appears here shortly") {
		t.Error("a contributor may revert what was merged, or is told of an answer")
	}
	token := ""
	for n := range carl.doc.Descendants() {
		if attr(n, "name") == "form" {
			token = attr(n, "value")
		}
	}
	carl.doc = form
	carl.send("Revert", url.Values{"form": {token}}, http.StatusForbidden)
	carl.says("You cannot revert this.")
	// Once hubship has answered, the button is there again.
	_, err = f.Client(f.robot, f.name).Comment(t.Context(), 1, "#2 reverts this change.")
	f.ok(err)
	mia.open(page, http.StatusOK)
	mia.says("#2 reverts this change.")
	if !mia.has("Revert") || strings.Contains(mia.text, "appears here shortly") {
		t.Error("an answer is still waited for")
	}
}

// What hubship reported of a check is on its page, with the run itself.
func TestChecks(t *testing.T) {
	f := start(t)
	head := f.change(f.hosted, "checked", map[string][]byte{"hubs/a.yaml": []byte("a: 2\n")})
	own, mia := f.Client(f.robot, f.name), f.Client(f.mia, f.name)
	_, err := mia.Open(t.Context(), forge.NewPullRequest{Title: "Checked", Head: "checked", Base: "staging"})
	f.ok(err)
	b := f.signedIn("mia")
	const page = "/forge/hubs/deployment/pull/1/checks"
	b.open(page, http.StatusOK)
	b.says("No check has started yet")
	if len(b.frames) > 0 || !strings.Contains(b.text, `data-refresh="3"`) {
		t.Errorf("before the check: frames %v\n%s", b.frames, b.text)
	}
	check := forge.Check{Name: "hubship", Commit: head, URL: f.URL + "/runs/r1", State: forge.CheckInProgress, Title: "Checking", Summary: "| part | result |\n|---|---|\n| tests | running |\n"}
	check, err = own.SetCheck(t.Context(), check)
	f.ok(err)
	f.ok(own.SetStatus(t.Context(), head, forge.Status{State: forge.Success, Context: "hubship/policy", URL: f.URL + "/runs/r1"}))
	b.open(page, http.StatusOK)
	b.says("Checks pending", "hubship in progress", "Checking", "tests running")
	if fmt.Sprint(b.frames) != "[/runs/r1?embed]" || !strings.Contains(b.text, `<a href="`+f.URL+`/runs/r1">Open the run</a>`) || !strings.Contains(b.text, `data-refresh="3"`) {
		t.Errorf("during the check: frames %v\n%s", b.frames, b.text)
	}
	f.ok(own.SetStatus(t.Context(), head, forge.Status{State: forge.Failure, Context: "hubship/tests", Description: "lint: " + hostile, URL: f.URL + "/runs/r1"}))
	check.Commit, check.URL, check.State, check.Conclusion, check.Title, check.Summary = head, f.URL+"/runs/r1", forge.CheckCompleted, forge.CheckFailure, "Not ready: "+hostile, hostile
	check.Annotations = []forge.Annotation{
		{Path: "hubs/a.yaml", Start: 1, Level: forge.Problem, Title: "hubship schema", Message: "no such key " + hostile + "\nremove it"},
		{Path: "hubs/a.yaml", Start: 77, Level: forge.Warning, Title: "hubship parity", Message: "staging and prod differ"},
		{Path: "elsewhere.yaml", Start: 3, Level: forge.Notice, Title: "hubship chart", Message: "a newer one is there"},
	}
	_, err = own.SetCheck(t.Context(), check)
	f.ok(err)
	b.open("/forge/hubs/deployment/pull/1/files", http.StatusOK)
	b.says("error hubship schema no such key", "remove it", "line 77: warning hubship parity staging and prod differ")
	if strings.Contains(b.text, "elsewhere.yaml") {
		t.Error("a file is shown that the change does not touch")
	}
	b.open(page, http.StatusOK)
	b.says("Checks failure", "hubship failure", "Not ready: <script>", "hubship/tests", "hubs/a.yaml:1", "elsewhere.yaml:3 notice hubship chart a newer one is there")
	if fmt.Sprint(b.frames) != "[/runs/r1?embed]" || !strings.Contains(b.text, `data-refresh="10"`) {
		t.Errorf("after the check: frames %v\n%s", b.frames, b.text)
	}
	b.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	b.says("hubship/tests", "failure")
	if len(b.frames) > 0 {
		t.Errorf("the conversation embeds %v", b.frames)
	}
}

// Only hubship's own runs are embedded, whoever says that they are runs.
func TestFrames(t *testing.T) {
	f := start(t)
	head := f.change(f.hosted, "checked", map[string][]byte{"hubs/a.yaml": []byte("a: 2\n")})
	own, mia := f.Client(f.robot, f.name), f.Client(f.mia, f.name)
	_, err := mia.Open(t.Context(), forge.NewPullRequest{Title: "Checked", Head: "checked", Base: "staging"})
	f.ok(err)
	runs := f.URL + "/runs/"
	for name, at := range map[string]string{"scan": runs + "theirs", "not-hubship/plan": runs + "theirs"} {
		f.ok(mia.SetStatus(t.Context(), head, forge.Status{State: forge.Success, Context: name, URL: at}))
	}
	_, err = mia.SetCheck(t.Context(), forge.Check{Name: "mine", Commit: head, State: forge.CheckInProgress, URL: runs + "theirs"})
	f.ok(err)
	for i, at := range []string{"https://evil.example/runs/x", runs, runs + "../forge/-/settings", runs + "x/plan", runs + "x?y", runs + "x#y", runs + "%2e%2e", runs + "..", f.URL + "/runsx", "http://localhost/runs/x"} {
		f.ok(own.SetStatus(t.Context(), head, forge.Status{State: forge.Success, Context: fmt.Sprint("hubship/", i), URL: at}))
	}
	b := f.signedIn("mia")
	const page = "/forge/hubs/deployment/pull/1/checks"
	b.open(page, http.StatusOK)
	if len(b.frames) > 0 {
		t.Errorf("it embeds %v", b.frames)
	}
	f.ok(own.SetStatus(t.Context(), head, forge.Status{State: forge.Success, Context: "hubship/staging", URL: runs + "r-2"}))
	f.ok(own.SetStatus(t.Context(), head, forge.Status{State: forge.Success, Context: "hubship/staging/a", URL: runs + "r-2"}))
	b.open(page, http.StatusOK)
	b.says("Run of hubship/staging", "Open the run")
	if fmt.Sprint(b.frames) != "[/runs/r-2?embed]" {
		t.Errorf("it embeds %v", b.frames)
	}
}

// The pages bring the files that they are made of.
func TestAssets(t *testing.T) {
	f := start(t)
	b := f.browser()
	b.open("/forge/-/signin", http.StatusOK)
	found := 0
	for n := range b.doc.Descendants() {
		at := attr(n, "src")
		if n.Data == "link" {
			at = attr(n, "href")
		}
		if at == "" {
			continue
		}
		found++
		resp, err := b.http.Get(f.URL + at)
		f.ok(err)
		body, err := io.ReadAll(resp.Body)
		f.ok(err)
		resp.Body.Close()
		if !strings.HasPrefix(at, "/forge/-/") || resp.StatusCode != http.StatusOK || len(body) < 100 {
			t.Errorf("%s: %s, %d bytes", at, resp.Status, len(body))
		}
	}
	if found != 4 {
		t.Errorf("%d files, want an icon, two styles and a script", found)
	}
}

// A file is changed in the browser: in the contributor's fork, on a branch of
// its own, and from there by pull request.
func TestEdit(t *testing.T) {
	f := start(t)
	carl := f.signedIn("carl")
	carl.open("/forge/hubs/deployment/edit/staging/hubs/a.yaml", http.StatusForbidden)
	carl.open("/forge/hubs/deployment", http.StatusOK)
	carl.send("Fork", nil, http.StatusOK)
	carl.open("/forge/hubs/deployment/blob/staging/hubs/a.yaml", http.StatusOK)
	if !strings.Contains(carl.text, `href="/forge/carl/deployment/edit/staging/hubs/a.yaml"`) {
		t.Fatalf("there is no way to edit:\n%s", carl.text)
	}
	at := "/forge/carl/deployment/edit/staging/hubs/a.yaml"
	carl.open(at, http.StatusOK)
	carl.send("Commit", url.Values{"text": {"a: 1\r\nb: 2\r\n"}}, http.StatusUnprocessableEntity) // as it was
	carl.open(at, http.StatusOK)
	carl.send("Commit", url.Values{"text": {"a: 1\r\nb: 4 # <b>\r\n"}, "message": {"More b " + hostile}}, http.StatusOK)
	if carl.at != "/forge/hubs/deployment/compare/staging...carl:carl-patch-1" {
		t.Fatalf("after the commit it is at %s", carl.at)
	}
	carl.says("1 commit", "b: 4 # <b>")
	carl.send("Open pull request", nil, http.StatusOK)
	if carl.at != "/forge/hubs/deployment/pull/1" {
		t.Errorf("it is at %s", carl.at)
	}
	fork, err := f.Host.Find(t.Context(), "carl", "deployment")
	f.ok(err)
	g, err := f.Host.Git(fork)
	f.ok(err)
	tree, err := g.Tree(t.Context(), "carl-patch-1")
	f.ok(err)
	if data, err := fs.ReadFile(tree.FS(), "hubs/a.yaml"); err != nil || string(data) != "a: 1\nb: 4 # <b>\n" {
		t.Errorf("the file is %q, %v", data, err)
	}
	// Once more on the same branch; and not over what somebody else wrote.
	carl.open("/forge/carl/deployment/edit/carl-patch-1/hubs/a.yaml", http.StatusOK)
	stale := carl.doc
	carl.send("Commit", url.Values{"text": {"a: 1\nb: 5\n"}, "message": {"Still more"}}, http.StatusOK)
	carl.doc, carl.at = stale, "/forge/carl/deployment/edit/carl-patch-1/hubs/a.yaml"
	carl.send("Commit", url.Values{"text": {"a: 1\nb: 6\n"}, "message": {"Over it"}}, http.StatusConflict)
	for path, status := range map[string]int{"/edit/staging/bin": 422, "/edit/staging/hubs": 422, "/edit/staging/none": 404, "/edit/nothing/hubs/a.yaml": 404} {
		carl.open("/forge/carl/deployment"+path, status)
	}
	carl.open(at, http.StatusOK)
	carl.send("Commit", url.Values{"text": {"x\n"}, "branch": {"-x y..z"}, "message": {"odd"}}, http.StatusUnprocessableEntity)

	// Nobody gets around the protection.
	mia := f.signedIn("mia")
	mia.open("/forge/hubs/deployment/edit/staging/hubs/a.yaml", http.StatusOK)
	mia.send("Commit", url.Values{"text": {"a: 9\n"}, "branch": {"staging"}, "message": {"Straight in"}}, http.StatusForbidden)
}

// A change of 500 files is shown within bounds.
func TestLargeChange(t *testing.T) {
	f := start(t)
	files := map[string][]byte{"long.txt": []byte(strings.Repeat("a line\n", 3000))}
	for i := range 620 {
		files[fmt.Sprintf("many/%03d.yaml", i)] = []byte("a: 1\n")
	}
	f.change(f.hosted, "large", files)
	c := f.Client(f.mia, f.name)
	_, err := c.Open(t.Context(), forge.NewPullRequest{Title: "Large", Head: "large", Base: "staging"})
	f.ok(err)
	b := f.signedIn("mia")
	b.open("/forge/hubs/deployment/pull/1/files", http.StatusOK)
	b.says("more file", "many/000.yaml")
	if len(b.text) > 4<<20 {
		t.Errorf("the page has %d bytes", len(b.text))
	}
}
