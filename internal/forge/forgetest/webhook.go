package forgetest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
)

// mailbox keeps the events that were delivered.
type mailbox struct {
	t *testing.T

	mu     sync.Mutex
	events []forge.Event
	ids    map[string]bool
}

// wait returns an event of a type that is as it should be.
func wait[E forge.Event](m *mailbox, what string, is func(E) bool) E {
	m.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		m.mu.Lock()
		for _, event := range m.events {
			if e, ok := event.(E); ok && is(e) {
				m.mu.Unlock()
				return e
			}
		}
		m.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.t.Fatalf("nothing was delivered about %s, but %+v", what, m.events)
	panic("not reached")
}

func testWebhook(t *testing.T, w *world) {
	const secret = "a secret of the suite's webhook"
	m := &mailbox{t: t, ids: map[string]bool{}}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		event, err := w.Read(r, secret)
		if err != nil {
			t.Error(err)
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.events = append(m.events, event)
		if id := event.From().ID; id == "" || m.ids[id] {
			t.Errorf("delivery %q came twice, or has no name", id)
		}
		m.ids[event.From().ID] = true
	}))
	defer srv.Close()
	forged := make(chan error, 100)
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, err := w.Read(r, "another secret than that")
		forged <- err
	}))
	defer other.Close()
	w.Hook(t, srv.URL, secret)
	w.Hook(t, other.URL, secret)
	wait(m, "the webhook itself", func(forge.PingEvent) bool { return true })
	if err := <-forged; err == nil {
		t.Error("a delivery with another signature was read")
	}

	contributor, maintainer := w.login(w.Contributor), w.login(w.Maintainer)
	p := w.propose("numpy")
	opened := wait(m, "the pull request", func(e forge.PullRequestEvent) bool { return e.Action == "opened" })
	same(t, "the event", fmt.Sprintf("%+v", opened), fmt.Sprintf("%+v", forge.PullRequestEvent{Number: p.Number, Head: p.Head.Commit,
		Delivery: forge.Delivery{ID: opened.ID, Kind: "pull_request", Action: "opened", Repository: w.Maintainer.Repository(), Sender: contributor}}))
	second := w.commit("numpy", "More", map[string]*string{"more.yaml": text("x\n")})
	w.push("numpy")
	wait(m, "the push to its head", func(e forge.PullRequestEvent) bool {
		return e.Action == "synchronize" && e.Number == p.Number && e.Head == second && !e.Merged && e.Sender == contributor
	})
	c, err := w.Contributor.Comment(t.Context(), p.Number, hostile)
	ok(t, err)
	wait(m, "the comment", func(e forge.CommentEvent) bool {
		return e.Action == "created" && e.Number == p.Number && e.ID == c.ID && e.Author == contributor && e.Body == hostile
	})
	_, err = w.Maintainer.Review(t.Context(), p.Number, forge.NewReview{State: forge.Approved})
	ok(t, err)
	wait(m, "the review", func(e forge.ReviewEvent) bool {
		return e.Action == "submitted" && e.Number == p.Number && e.State == forge.Approved && e.Author == maintainer
	})
	before, err := w.Maintainer.Branch(t.Context(), "staging")
	ok(t, err)
	w.mergeable(p.Number)
	merged, err := w.Maintainer.Merge(t.Context(), p.Number, forge.Merge{Head: second})
	ok(t, err)
	wait(m, "the merge", func(e forge.PullRequestEvent) bool {
		return e.Action == "closed" && e.Merged && e.Number == p.Number && e.Sender == maintainer
	})
	wait(m, "the merge's push", func(e forge.PushEvent) bool {
		return e.Update == forge.RefUpdate{Branch: "staging", Old: before, New: merged} && !e.Forced && e.Sender == maintainer
	})
	// A push by git: a branch that is made, rewritten and deleted.
	url := w.remote(w.Maintainer).URL
	w.git(w.Maintainer, w.tree, "push", "--quiet", url, second+":refs/heads/topic/x")
	w.git(w.Maintainer, w.tree, "push", "--quiet", url, "+"+before+":refs/heads/topic/x")
	w.git(w.Maintainer, w.tree, "push", "--quiet", url, ":refs/heads/topic/x")
	for what, update := range map[string]forge.RefUpdate{
		"the new branch":       {Branch: "topic/x", Old: forge.ZeroID, New: second},
		"the rewritten branch": {Branch: "topic/x", Old: second, New: before},
		"the deleted branch":   {Branch: "topic/x", Old: before, New: forge.ZeroID},
	} {
		e := wait(m, what, func(e forge.PushEvent) bool { return e.Update == update })
		same(t, what+" is forced", e.Forced, what == "the rewritten branch")
	}
}
