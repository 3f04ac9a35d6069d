package rest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/git"
)

// Comments on lines: alone, as parts of a review, in threads, and what becomes
// of them when the line goes.
func TestLineComments(t *testing.T) {
	w := newWorld(t)
	clone, sha, n := w.proposal("numpy")
	pull, lines := base+"/pulls/"+n, base+"/pulls/"+n+"/comments"
	w.git("ada", clone, "rm", "--quiet", "README.md")
	sha2 := w.commit(clone, "long.txt", "1\n2\n3\n4\n")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")

	for _, c := range []struct {
		body any
		says string
	}{
		{obj{"body": " ", "path": "long.txt", "line": 1}, "blank"},
		{obj{"body": strings.Repeat("x", 70_000), "path": "long.txt", "line": 1}, "too long"},
		{obj{"body": "x", "line": 1}, "missing_field"},
		{obj{"body": "x", "path": "nothing.txt", "line": 1}, "path is not part of the change"},
		{obj{"body": "x", "path": "../../etc/passwd", "line": 1}, "path is not part of the change"},
		{obj{"body": "x", "path": "long.txt"}, "missing_field"},
		{obj{"body": "x", "path": "long.txt", "line": 5}, "line must be part of the diff"},
		{obj{"body": "x", "path": "long.txt", "line": -1}, "missing_field"},
		{obj{"body": "x", "path": "long.txt", "line": 1, "side": "LEFT"}, "line must be part of the diff"},
		{obj{"body": "x", "path": "long.txt", "line": 1, "side": "UP"}, "LEFT or RIGHT"},
		{obj{"body": "x", "path": "long.txt", "position": 9}, "position must be part"},
		{obj{"body": "x", "path": "long.txt", "line": 1, "start_line": 3}, "above line"},
		{obj{"body": "x", "path": "long.txt", "subject_type": "file"}, "choose a line"},
		{obj{"body": "x", "path": "long.txt", "line": 1, "commit_id": strings.Repeat("1", 40)}, "not part of the pull request"},
		{obj{"body": "x", "path": "long.txt", "line": 1, "commit_id": sha}, "path is not part of the change"}, // which came later
	} {
		if a := w.want(422, "ben", "POST", lines, c.body); !strings.Contains(string(a.body), c.says) {
			t.Errorf("%v: %s, want %q", c.body, a.body, c.says)
		}
	}
	w.want(404, "ben", "POST", lines, obj{"body": "x", "in_reply_to": 99})

	root := w.want(201, "ben", "POST", lines, obj{"body": "why 3?", "path": "long.txt", "line": 3, "start_line": 2, "commit_id": sha2}).object(t)
	if root["line"] != 3.0 || root["start_line"] != 2.0 || root["position"] != 3.0 || root["diff_hunk"] != "@@ -0,0 +1,4 @@\n+1\n+2\n+3" || root["in_reply_to_id"] != nil {
		t.Errorf("a comment on a line: %v", root)
	}
	gone := w.want(201, "mia", "POST", lines, obj{"body": "keep it", "path": "README.md", "position": 1, "commit_id": sha2}).object(t)
	if gone["side"] != "LEFT" || gone["line"] != 1.0 {
		t.Errorf("on a line that is removed: %v", gone)
	}
	// Replies have one thread, whichever of its comments they are to.
	reply := w.want(201, "ada", "POST", lines, obj{"body": "because", "in_reply_to": root["id"]}).object(t)
	again := w.want(201, "ben", "POST", lines, obj{"body": "I see", "in_reply_to": reply["id"]}).object(t)
	for _, r := range []obj{reply, again} {
		if r["in_reply_to_id"] != root["id"] || r["path"] != "long.txt" || r["line"] != 3.0 {
			t.Errorf("a reply: %v", r)
		}
	}
	// A review says something of several lines at once.
	w.want(422, "ben", "POST", pull+"/reviews", obj{"event": "COMMENT", "comments": []obj{{"path": "long.txt", "line": 9, "body": "x"}}})
	w.want(422, "ben", "POST", pull+"/reviews", obj{"comments": []obj{{"path": "long.txt", "line": 1, "body": "x"}}}) // there are no drafts
	// Asking for changes needs no more words.
	w.want(200, "ben", "POST", pull+"/reviews", obj{"event": "REQUEST_CHANGES",
		"comments": []obj{{"path": "long.txt", "line": 1, "body": "one"}, {"path": "numpy.txt", "line": 1, "body": "two"}}})
	count := func(who, path string) int { t.Helper(); return len(w.want(200, who, "GET", path, nil).list(t)) }
	if n := count("ada", lines); n != 6 {
		t.Errorf("%d comments", n)
	}
	if o := w.want(200, "ada", "GET", pull, nil).object(t); o["review_comments"] != 6.0 {
		t.Errorf("review_comments is %v", o["review_comments"])
	}
	if list := w.want(200, "ada", "GET", lines+"?sort=created&direction=desc&per_page=2", nil).list(t); len(list) != 2 || list[0]["body"] != "two" {
		t.Errorf("newest first: %v", list)
	}
	w.want(422, "ada", "GET", lines+"?since=yesterday", nil)
	if c := count("ada", lines+"?since=2999-01-01T00:00:00Z"); c != 0 {
		t.Errorf("of the future: %d", c)
	}

	// A push that changes the file makes what was said of it outdated.
	w.commit(clone, "long.txt", "1\n2\n4\n")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	var now []string
	for _, m := range w.want(200, "ada", "GET", lines, nil).list(t) {
		now = append(now, fmt.Sprintf("%v %v %v", m["path"], m["line"], m["original_line"]))
	}
	if want := []string{"long.txt <nil> 3", "README.md 1 1", "long.txt <nil> 3", "long.txt <nil> 3", "long.txt <nil> 1", "numpy.txt 1 1"}; !reflect.DeepEqual(now, want) {
		t.Errorf("after the push: %q", now)
	}
}

// Comments on lines are changed by whoever wrote them, and by maintainers.
func TestWhoChangesLineComments(t *testing.T) {
	w := newWorld(t)
	_, _, n := w.proposal("numpy")
	id := jsonNumber(w.want(201, "ben", "POST", base+"/pulls/"+n+"/comments", obj{"body": "why?", "path": "numpy.txt", "line": 1}).object(t)["id"])
	one := base + "/pulls/comments/" + id
	w.want(403, "ada", "PATCH", one, obj{"body": "mine"})
	w.want(422, "ben", "PATCH", one, obj{"body": ""})
	if o := w.want(200, "ben", "PATCH", one, obj{"body": "why three?"}).object(t); o["body"] != "why three?" {
		t.Errorf("edited: %v", o)
	}
	if o := w.want(200, "mia", "PATCH", one, obj{"body": "(removed)"}).object(t); o["body"] != "(removed)" {
		t.Errorf("by a maintainer: %v", o)
	}
	w.want(404, "ben", "PATCH", "/repos/ada/deployment/pulls/comments/"+id, obj{"body": "x"})
	w.want(404, "ben", "PATCH", base+"/pulls/comments/0", obj{"body": "x"})
}

// Every line of a patch has the number that it has in its file.
func TestNumbersOfLines(t *testing.T) {
	w := newWorld(t)
	clone, _, n := w.proposal("edits")
	random := rand.New(rand.NewPCG(1, 2))
	var before, after []string
	for i := range 400 {
		line := fmt.Sprintf("%d %d", i, random.IntN(1000))
		switch random.IntN(12) {
		case 0:
			before = append(before, line)
		case 1:
			after = append(after, line, "-- "+line, "++ "+line, "@@ "+line)
		default:
			before, after = append(before, line), append(after, line)
		}
	}
	w.git("mia", clone, "fetch", "--quiet", w.url+"/git/hub/deployment.git", "staging")
	w.git("mia", clone, "checkout", "--quiet", "FETCH_HEAD")
	w.commit(clone, "long.txt", strings.Join(before, "\n")+"\n")
	w.git("mia", clone, "push", "--quiet", w.url+"/git/hub/deployment.git", "HEAD:staging")
	w.git("ada", clone, "checkout", "--quiet", "edits")
	w.git("ada", clone, "merge", "--quiet", "-m", "Follow", "HEAD@{1}")
	w.commit(clone, "long.txt", strings.Join(after, "\n")) // without a newline at its end
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	seen := 0
	for _, f := range w.want(200, "ada", "GET", base+"/pulls/"+n+"/files", nil).list(t) {
		if f["filename"] != "long.txt" {
			continue
		}
		for _, l := range git.PatchLines(f["patch"].(string)) {
			if l.Old+l.New == 0 {
				continue
			}
			seen++
			if l.Old > 0 && before[l.Old-1] != l.Text || l.New > 0 && after[l.New-1] != l.Text {
				t.Errorf("%+v", l)
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d lines", seen)
	}
}
