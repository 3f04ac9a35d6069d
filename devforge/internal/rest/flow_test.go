package rest

import (
	"crypto/sha1" //nolint:gosec // as packs have it
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
)

// The whole way of a change, every answer held against GitHub's description.
func TestProcess(t *testing.T) {
	w := newWorld(t)
	clone, sha, n := w.proposal("numpy")
	pull := base + "/pulls/" + n

	for _, path := range []string{"/user", base, "/repos/ada/deployment", base + "/branches", base + "/branches/staging",
		base + "/commits", base + "/commits/staging", base + "/compare/staging...ada:numpy", base + "/contents/README.md",
		base + "/collaborators/ada/permission", base + "/pulls", pull, pull + "/files", pull + "/commits", pull + "/reviews", pull + "/comments",
		base + "/commits/" + sha + "/status", base + "/commits/" + sha + "/check-runs", base + "/issues/" + n + "/comments", base + "/deployments"} {
		w.want(http.StatusOK, "ben", http.MethodGet, path, nil)
	}
	o := w.want(http.StatusOK, "ben", http.MethodGet, pull, nil).object(t)
	if o["mergeable"] != true || o["mergeable_state"] != "clean" || o["changed_files"] != 1.0 || o["additions"] != 1.0 || o["commits"] != 1.0 {
		t.Errorf("the pull request: mergeable %v (%v), %v files, %v additions, %v commits", o["mergeable"], o["mergeable_state"], o["changed_files"], o["additions"], o["commits"])
	}
	files := w.want(http.StatusOK, "ben", http.MethodGet, pull+"/files", nil).list(t)
	if len(files) != 1 || files[0]["filename"] != "numpy.txt" || files[0]["status"] != "added" || files[0]["patch"] != "@@ -0,0 +1 @@\n+one" {
		t.Errorf("files: %v", files)
	}

	// Rules for staging: a green check, and a review by somebody who counts.
	rules := obj{"required_status_checks": obj{"strict": false, "contexts": []string{"ci"}}, "enforce_admins": true,
		"required_pull_request_reviews": obj{"required_approving_review_count": 1, "dismiss_stale_reviews": true}, "restrictions": nil}
	w.want(http.StatusForbidden, "ben", http.MethodPut, base+"/branches/staging/protection", rules)
	w.want(http.StatusOK, "mia", http.MethodPut, base+"/branches/staging/protection", rules)
	w.want(http.StatusOK, "ben", http.MethodGet, base+"/branches/staging/protection", nil)
	w.want(http.StatusOK, "ben", http.MethodGet, base+"/branches/staging", nil)
	w.want(http.StatusMethodNotAllowed, "ben", http.MethodPut, pull+"/merge", obj{})

	w.want(http.StatusCreated, "ada", http.MethodPost, pull+"/requested_reviewers", obj{"reviewers": []string{"ben"}})
	w.want(http.StatusUnprocessableEntity, "ada", http.MethodPost, pull+"/reviews", obj{"event": "APPROVE"})
	w.want(http.StatusOK, "ben", http.MethodPost, pull+"/reviews", obj{"event": "APPROVE", "body": "Good."})
	if o := w.want(http.StatusOK, "ada", http.MethodGet, pull, nil).object(t); len(o["requested_reviewers"].([]any)) != 0 {
		t.Errorf("still asked: %v", o["requested_reviewers"])
	}
	w.want(http.StatusForbidden, "ada", http.MethodPost, base+"/statuses/"+sha, obj{"state": "success", "context": "ci"})
	w.want(http.StatusCreated, "ben", http.MethodPost, base+"/statuses/"+sha, obj{"state": "pending", "context": "ci"})
	w.want(http.StatusMethodNotAllowed, "ben", http.MethodPut, pull+"/merge", obj{})
	w.want(http.StatusCreated, "ben", http.MethodPost, base+"/statuses/"+sha, obj{"state": "success", "context": "ci", "target_url": "http://localhost/run", "description": "fine"})
	if o := w.want(http.StatusOK, "ada", http.MethodGet, base+"/commits/"+sha+"/status", nil).object(t); o["state"] != "success" || o["total_count"] != 1.0 {
		t.Errorf("combined status: %v of %v", o["state"], o["total_count"])
	}

	// A push dismisses the review, and the status was for another commit.
	sha = w.commit(clone, "numpy.txt", "two\n")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	reviews := w.want(http.StatusOK, "ada", http.MethodGet, pull+"/reviews", nil).list(t)
	if len(reviews) != 1 || reviews[0]["state"] != "DISMISSED" {
		t.Errorf("reviews after a push: %v", reviews)
	}
	w.want(http.StatusOK, "ben", http.MethodPost, pull+"/reviews", obj{"event": "APPROVE"})
	check := w.want(http.StatusCreated, "ben", http.MethodPost, base+"/check-runs", obj{"name": "ci", "head_sha": sha, "status": "in_progress"}).object(t)
	id := jsonNumber(check["id"])
	w.want(http.StatusOK, "ben", http.MethodPatch, base+"/check-runs/"+id, obj{"conclusion": "success", "output": obj{"title": "Plan", "summary": "ok",
		"annotations": []obj{{"path": "numpy.txt", "start_line": 1, "end_line": 1, "annotation_level": "warning", "message": "hm"}}}})
	if list := w.want(http.StatusOK, "ada", http.MethodGet, base+"/check-runs/"+id+"/annotations", nil).list(t); len(list) != 1 {
		t.Errorf("annotations: %v", list)
	}
	w.want(http.StatusForbidden, "ada", http.MethodPut, pull+"/merge", obj{})
	w.want(http.StatusConflict, "ben", http.MethodPut, pull+"/merge", obj{"sha": strings.Repeat("1", 40)})
	merged := w.want(http.StatusOK, "ben", http.MethodPut, pull+"/merge", obj{"sha": sha}).object(t)
	if got := w.git("ben", w.clone("ben", "hub/deployment"), "log", "-1", "--format=%H %P %an"); !strings.HasPrefix(got, merged["sha"].(string)+" ") || !strings.HasSuffix(got, sha+" ben") {
		t.Errorf("staging is at %s, merged as %v", got, merged)
	}
	if o := w.want(http.StatusOK, "ada", http.MethodGet, pull, nil).object(t); o["merged"] != true || o["state"] != "closed" || o["merge_commit_sha"] != merged["sha"] || o["changed_files"] != 1.0 {
		t.Errorf("after the merge: %v %v %v %v", o["merged"], o["state"], o["merge_commit_sha"], o["changed_files"])
	}
	w.want(http.StatusMethodNotAllowed, "ben", http.MethodPut, pull+"/merge", obj{})
	if o := w.want(http.StatusOK, "ada", http.MethodPost, "/repos/ada/deployment/merge-upstream", obj{"branch": "staging"}).object(t); o["merge_type"] != "fast-forward" {
		t.Errorf("sync: %v", o)
	}
	if len(w.moved) != 2 { // the merge, and the fork's branch
		t.Errorf("moved: %v", w.moved)
	}
}

// Labels and comments of a pull request.
func TestLabelsAndComments(t *testing.T) {
	w := newWorld(t)
	_, _, n := w.proposal("numpy")
	labels := base + "/issues/" + n + "/labels"
	w.want(http.StatusForbidden, "ada", http.MethodPost, labels, obj{"labels": []string{"x"}})
	w.want(http.StatusUnprocessableEntity, "ben", http.MethodPost, labels, obj{"labels": []string{" "}})
	w.want(http.StatusUnprocessableEntity, "ben", http.MethodPost, labels, obj{"labels": "x"})
	w.want(http.StatusOK, "ben", http.MethodPost, labels, []string{"hub: data8", "a/b"})
	w.want(http.StatusOK, "ben", http.MethodPost, labels, obj{"labels": []string{"a/b", "c"}})
	w.want(http.StatusForbidden, "ada", http.MethodDelete, labels+"/c", nil)
	w.want(http.StatusOK, "ben", http.MethodDelete, labels+"/c", nil)
	if list := w.want(http.StatusOK, "ben", http.MethodDelete, labels+"/HUB:%20data8", nil).list(t); len(list) != 1 || list[0]["name"] != "a/b" {
		t.Errorf("labels: %v", list)
	}
	w.want(http.StatusNotFound, "ben", http.MethodDelete, labels+"/c", nil)
	comment := w.want(http.StatusCreated, "ada", http.MethodPost, base+"/issues/"+n+"/comments", obj{"body": "<b>please</b>"}).object(t)
	w.want(http.StatusOK, "ada", http.MethodPatch, base+"/issues/comments/"+jsonNumber(comment["id"]), obj{"body": "thanks"})
	w.want(http.StatusForbidden, "ben", http.MethodPatch, base+"/issues/comments/"+jsonNumber(comment["id"]), obj{"body": "no"})
	w.want(http.StatusOK, "mia", http.MethodPatch, base+"/issues/comments/"+jsonNumber(comment["id"]), obj{"body": "(removed)"})
}

func TestPushes(t *testing.T) {
	w := newWorld(t)
	clone, _, n := w.proposal("x")
	pull := base + "/pulls/" + n
	w.want(http.StatusOK, "mia", http.MethodPut, base+"/branches/staging/protection", obj{"required_status_checks": nil, "enforce_admins": true,
		"required_pull_request_reviews": obj{}, "restrictions": nil})
	upstream := w.url + "/git/hub/deployment.git"
	for name, c := range map[string]struct {
		who, ref, says string
	}{
		"a contributor":            {"ada", "refs/heads/new", "push to your fork"},
		"to a protected branch":    {"ben", "refs/heads/staging", "push to another branch or to your fork and open a pull request"},
		"a maintainer, held to it": {"mia", "refs/heads/staging", "push to another branch or to your fork and open a pull request"},
		"to the forge's own refs":  {"ben", "refs/pull/1/head", "only branches and tags"},
		"to some other ref":        {"ben", "refs/hubship/x", "only branches and tags"},
	} {
		out, err := w.try(c.who, clone, "push", upstream, "HEAD:"+c.ref)
		if err == nil || !strings.Contains(out, c.says) || !strings.Contains(out, "[remote rejected]") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if out, err := w.try("ben", clone, "push", upstream, "HEAD:refs/heads/own", ":refs/heads/staging"); err == nil {
		t.Errorf("a protected branch was deleted:\n%s", out)
	}
	w.git("ben", clone, "push", upstream, "HEAD:refs/heads/own")
	// A token that reads does not push, and one that is revoked does nothing.
	reads, secret, err := w.host.Store.CreateToken(t.Context(), w.id["mia"], "reads", []string{store.ScopeRead}, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.token["reader"] = secret
	w.git("reader", clone, "fetch", "--quiet", upstream, "staging")
	if out, err := w.try("reader", clone, "push", upstream, "HEAD:refs/heads/read"); err == nil {
		t.Errorf("pushed to read:\n%s", out)
	}
	if err := w.host.Store.RevokeToken(t.Context(), w.id["mia"], reads.ID); err != nil {
		t.Fatal(err)
	}
	if out, err := w.try("reader", clone, "fetch", upstream, "staging"); err == nil {
		t.Errorf("fetched with a revoked token:\n%s", out)
	}
	// A rule may let a branch be deleted and not rewritten.
	w.want(http.StatusOK, "mia", http.MethodPut, base+"/branches/own/protection", obj{"required_status_checks": nil, "enforce_admins": true,
		"required_pull_request_reviews": nil, "restrictions": nil, "allow_deletions": true})
	if out, err := w.try("ben", clone, "push", "--force", upstream, "HEAD~1:refs/heads/own"); err == nil {
		t.Errorf("rewritten:\n%s", out)
	}
	w.git("ben", clone, "push", "--quiet", upstream, ":own")
	// Who may write to the base may work on the head, while its author allows.
	w.git("ben", clone, "commit", "--quiet", "--allow-empty", "-m", "Help")
	w.git("ben", clone, "push", "--quiet", "origin", "HEAD:x")
	if out, err := w.try("ben", clone, "push", "origin", "HEAD:other"); err == nil {
		t.Errorf("pushed to somebody's fork:\n%s", out)
	}
	w.want(http.StatusOK, "ada", http.MethodPatch, pull, obj{"maintainer_can_modify": false})
	w.git("ben", clone, "commit", "--quiet", "--allow-empty", "-m", "More")
	if out, err := w.try("ben", clone, "push", "origin", "HEAD:x"); err == nil {
		t.Errorf("pushed to a head that its author keeps:\n%s", out)
	}
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD:x")
	if list := w.want(http.StatusOK, "ada", http.MethodGet, pull+"/commits", nil).list(t); len(list) != 3 || list[2]["sha"] != w.git("ada", clone, "rev-parse", "HEAD") {
		t.Errorf("%d commits", len(list))
	}
	// The references of a pull request can be fetched.
	w.git("ben", clone, "fetch", "--quiet", upstream, "refs/pull/"+n+"/head", "refs/pull/"+n+"/merge")
	// Its head is gone: so is the pull request.
	w.git("ada", clone, "push", "--quiet", "origin", ":x")
	if o := w.want(http.StatusOK, "ada", http.MethodGet, pull, nil).object(t); o["state"] != "closed" || o["merged"] != false {
		t.Errorf("a pull request without a head is %v", o["state"])
	}
}

func TestMergeMethods(t *testing.T) {
	w := newWorld(t)
	for _, method := range []string{"squash", "rebase"} {
		clone, _, n := w.proposal(method)
		w.commit(clone, method+".txt", "two\n")
		w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
		before := w.git("ben", w.clone("ben", "hub/deployment"), "rev-parse", "HEAD")
		// Something else lands first: the merge is no fast-forward.
		other := w.clone("mia", "hub/deployment")
		w.commit(other, "other-"+method, "x")
		w.git("mia", other, "push", "--quiet", "origin", "HEAD:staging")
		w.want(http.StatusOK, "ben", http.MethodPut, base+"/pulls/"+n+"/merge", obj{"merge_method": method})
		after := w.clone("ben", "hub/deployment")
		want := map[string]string{"squash": "ada ben\nada ada", "rebase": "ada ben\nada ben\nada ada"}[method]
		if got := w.git("ben", after, "log", "--format=%an %cn", before+"..HEAD"); got != want {
			t.Errorf("%s: %q", method, got)
		}
		if got := w.git("ben", after, "show", "HEAD:"+method+".txt"); got != "two" {
			t.Errorf("%s: the file is %q", method, got)
		}
	}
}

// Of merges and pushes at once one wins, and the rest say so.
func TestTwoMergesAtOnce(t *testing.T) {
	w := newWorld(t)
	_, _, n := w.proposal("race")
	var group sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for range 6 {
		group.Go(func() {
			a := w.send("ben", http.MethodPut, base+"/pulls/"+n+"/merge", obj{})
			mu.Lock()
			defer mu.Unlock()
			got[a.status]++
		})
	}
	group.Wait()
	if got[http.StatusOK] != 1 || got[http.StatusMethodNotAllowed] != 5 {
		t.Errorf("six merges at once: %v", got)
	}
	if c := w.git("ben", w.clone("ben", "hub/deployment"), "rev-list", "--count", "--merges", "HEAD"); c != "1" {
		t.Errorf("%s merges", c)
	}
}

// Who claims that a protected branch is not there yet does not get past its
// protection.
func TestFirstPushThatIsNone(t *testing.T) {
	w := newWorld(t)
	if err := w.host.SetProtection(t.Context(), w.repo, "staging", &host.Protection{Reviews: &host.RequiredReviews{Count: 1}}); err != nil {
		t.Fatal(err)
	}
	clone := w.clone("mia", "hub/deployment")
	before := w.git("mia", clone, "rev-parse", "origin/staging")
	sha := w.commit(clone, "sneak", "x")
	w.git("mia", clone, "push", "--quiet", "origin", "HEAD:refs/heads/other")
	push := func(ref string) string {
		t.Helper()
		line := fmt.Sprintf("%s %s %s\x00 report-status", strings.Repeat("0", 40), sha, ref)
		pack := append([]byte("PACK"), 0, 0, 0, 2, 0, 0, 0, 0) // no objects: they are there
		sum := sha1.Sum(pack)
		body := fmt.Sprintf("%04x%s0000%s%s", len(line)+4, line, pack, sum[:])
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/git/hub/deployment.git/git-receive-pack", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-git-receive-pack-request")
		req.SetBasicAuth("mia", w.token["mia"])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		said, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(said)
	}
	if said := push("refs/heads/staging"); !strings.Contains(said, "ng refs/heads/staging") {
		t.Errorf("the server said %q", said)
	}
	w.git("mia", clone, "fetch", "--quiet", "origin")
	if after := w.git("mia", clone, "rev-parse", "origin/staging"); after != before {
		t.Errorf("staging moved to %s", after)
	}
	if said := push("refs/heads/new"); !strings.Contains(said, "ok refs/heads/new") {
		t.Errorf("of a branch that is new the server said %q", said)
	}
}
