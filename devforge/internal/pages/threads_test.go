package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/hubship/hubship/internal/git"
)

// pressLine presses the number of a line in the changes of a file.
func (b *browser) pressLine(path, line string) {
	b.t.Helper()
	actions, paths := map[string]string{}, map[string]string{}
	for n := range b.doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" || !strings.HasPrefix(attr(n, "id"), "line-") {
			continue
		}
		actions[attr(n, "id")] = attr(n, "action")
		for d := range n.Descendants() {
			if attr(d, "name") == "path" {
				paths[attr(n, "id")] = attr(d, "value")
			}
		}
	}
	for n := range b.doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "button" && attr(n, "name") == "line" && attr(n, "value") == line && paths[attr(n, "form")] == path {
			to, _, _ := strings.Cut(actions[attr(n, "form")], "#")
			b.open(to+"?"+url.Values{"path": {path}, "line": {line}}.Encode(), http.StatusOK)
			return
		}
	}
	b.t.Fatalf("%s has no line %s of %s", b.at, line, path)
}

// Somebody says something of lines, is answered, and the lines change.
func TestTalkAboutLines(t *testing.T) {
	f := start(t)
	carl, mia := f.signedIn("carl"), f.signedIn("mia")
	carl.open("/forge/hubs/deployment", http.StatusOK)
	carl.send("Fork", nil, http.StatusOK)
	fork, err := f.Host.Find(t.Context(), "carl", "deployment")
	f.ok(err)
	odd := `new & <odd> "file".txt`
	head := f.change(fork, "memory", map[string][]byte{"hubs/a.yaml": []byte("a: 1\nb: 3\n"), odd: []byte("x\ny\n")})
	carl.open("/forge/hubs/deployment/compare/staging...carl:memory", http.StatusOK)
	if strings.Contains(carl.text, `name="line"`) {
		t.Error("lines can be talked about where there is no pull request yet")
	}
	carl.send("Open pull request", url.Values{"title": {"More memory"}}, http.StatusOK)

	const files = "/forge/hubs/deployment/pull/1/files"
	mia.open(files, http.StatusOK)
	if mia.has("Comment on this line") {
		t.Error("there is a form before a line was chosen")
	}
	mia.pressLine("hubs/a.yaml", "R2")
	mia.says("Comment on line 2")
	mia.send("Comment on this line", url.Values{"body": {"Is 3 enough? " + hostile}}, http.StatusOK)
	mia.says("Is 3 enough?")
	if mia.at != files {
		t.Errorf("after the comment it is at %s", mia.at)
	}
	mia.pressLine("hubs/a.yaml", "L2") // what was there before
	mia.send("Comment on this line", url.Values{"body": {"It was 2."}}, http.StatusOK)
	mia.pressLine(odd, "R2")
	mia.send("Comment on this line", url.Values{"body": {"y?"}}, http.StatusOK)
	mia.pressLine(odd, "R1")
	mia.send("Comment on this line", url.Values{"body": {" "}}, http.StatusUnprocessableEntity)
	mia.says("body can't be blank")
	for _, nothing := range []string{"?path=hubs/a.yaml&line=R99", "?path=none&line=R1", "?path=hubs/a.yaml&line=x"} {
		mia.open(files+nothing, http.StatusOK)
		if mia.has("Comment on this line") {
			t.Errorf("%s opens a form", nothing)
		}
	}

	carl.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	carl.says("hubs/a.yaml:2", "Is 3 enough?", "It was 2.", odd+":2")
	if carl.has("Reply") {
		t.Error("replies stand where the page renews itself")
	}
	carl.open(files, http.StatusOK)
	carl.send("Reply", url.Values{"body": {"For now."}}, http.StatusOK)
	carl.says("Is 3 enough?", "For now.")

	// The file changes, and the odd one is gone.
	g, err := f.Host.Git(fork)
	f.ok(err)
	f.ok(g.SetBranch(t.Context(), "memory", f.base, head))
	_, err = g.CommitFiles(t.Context(), "memory", f.base, map[string][]byte{"hubs/a.yaml": []byte("a: 1\nb: 4\n")}, nil, "Change password anew", git.Identity{Name: "Carl", Email: "carl@localhost"})
	f.ok(err)
	carl.open(files, http.StatusOK)
	carl.says("line 2, before the file changed", "Is 3 enough?", "+b: 3", "On files that are no longer changed", "y?")
	carl.open("/forge/hubs/deployment/pull/1", http.StatusOK)
	carl.says("the file has changed since", "For now.")
	carl.send("Close without merging", nil, http.StatusOK)
	carl.open(files, http.StatusOK)
	carl.says("Is 3 enough?")
	if carl.has("Reply") || strings.Contains(carl.text, `name="line"`) {
		t.Error("what is closed can be talked about")
	}
}
