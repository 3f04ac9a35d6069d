package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink takes what webhooks are sent, and may fail at first.
type sink struct {
	url string

	mu    sync.Mutex
	fails int
	got   []received
}

type received struct {
	event, guid, signature, body string
}

func newSink(t testing.TB) *sink {
	s := &sink{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fails > 0 {
			s.fails--
			http.Error(w, "not now", http.StatusBadGateway)
			return
		}
		s.got = append(s.got, received{r.Header.Get("X-GitHub-Event"), r.Header.Get("X-GitHub-Delivery"), r.Header.Get("X-Hub-Signature-256"), string(body)})
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// wait returns what arrived once there are so many.
func (s *sink) wait(t testing.TB, n int) []received {
	t.Helper()
	for range 5000 {
		s.mu.Lock()
		got := append([]received{}, s.got...)
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		time.Sleep(time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Fatalf("%d deliveries arrived, want %d: %+v", len(s.got), n, s.got)
	return nil
}

func TestWebhooks(t *testing.T) {
	w := newWorld(t)
	s := newSink(t)
	const secret = "a secret of the hook"
	w.want(http.StatusNotFound, "ben", http.MethodGet, base+"/hooks", nil)
	hook := w.want(http.StatusCreated, "mia", http.MethodPost, base+"/hooks", obj{"events": []string{"*"},
		"config": obj{"url": s.url, "content_type": "json", "secret": secret}}).object(t)
	at := base + "/hooks/" + jsonNumber(hook["id"])

	clone, sha, n := w.proposal("numpy")
	pull := base + "/pulls/" + n
	w.commit(clone, "numpy.txt", "two\n")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	w.want(http.StatusOK, "ada", http.MethodPatch, pull, obj{"title": "Better <script>"})
	w.want(http.StatusCreated, "ada", http.MethodPost, pull+"/requested_reviewers", obj{"reviewers": []string{"ben"}})
	review := w.want(http.StatusOK, "ben", http.MethodPost, pull+"/reviews", obj{"event": "REQUEST_CHANGES", "body": "no"}).object(t)
	w.want(http.StatusOK, "mia", http.MethodPut, pull+"/reviews/"+jsonNumber(review["id"])+"/dismissals", obj{"message": "enough"})
	w.want(http.StatusCreated, "ada", http.MethodPost, base+"/issues/"+n+"/comments", obj{"body": "please"})
	w.want(http.StatusCreated, "ben", http.MethodPost, base+"/statuses/"+sha, obj{"state": "success"})
	w.want(http.StatusOK, "ada", http.MethodPatch, pull, obj{"state": "closed"})
	w.want(http.StatusOK, "ada", http.MethodPatch, pull, obj{"state": "open"})
	w.want(http.StatusOK, "ben", http.MethodPut, pull+"/merge", obj{})
	w.git("mia", clone, "push", "--quiet", w.url+"/git/hub/deployment.git", "HEAD:refs/heads/new")
	w.git("mia", clone, "push", "--quiet", w.url+"/git/hub/deployment.git", ":new")

	seen := map[string]int{}
	for _, r := range s.wait(t, 15) {
		seen[r.event]++
		m := hmac.New(sha256.New, []byte(secret))
		m.Write([]byte(r.body))
		if want := "sha256=" + hex.EncodeToString(m.Sum(nil)); r.signature != want {
			t.Errorf("%s is signed %s, want %s", r.event, r.signature, want)
		}
		if err := w.desc.checkEvent(r.event, []byte(r.body)); err != nil {
			t.Errorf("%v", err)
		}
		if strings.Contains(r.body, secret) {
			t.Errorf("%s tells the secret", r.event)
		}
	}
	for event, n := range map[string]int{"ping": 1, "push": 3, "pull_request": 7, "pull_request_review": 2, "issue_comment": 1, "status": 1} {
		if seen[event] != n {
			t.Errorf("%d of %s, want %d", seen[event], event, n)
		}
	}

	list := w.want(http.StatusOK, "mia", http.MethodGet, at+"/deliveries?per_page=3", nil)
	if got := list.list(t); len(got) != 3 || !strings.Contains(list.header.Get("Link"), "cursor="+jsonNumber(got[2]["id"])) {
		t.Errorf("deliveries: %d, link %q", len(got), list.header.Get("Link"))
	}
	d := list.list(t)[0]
	one := w.want(http.StatusOK, "mia", http.MethodGet, at+"/deliveries/"+jsonNumber(d["id"]), nil)
	if strings.Contains(string(one.body), secret) || one.object(t)["status_code"] != 200.0 {
		t.Errorf("the delivery: %s", one.body)
	}
	if o := w.want(http.StatusOK, "mia", http.MethodGet, base+"/hooks", nil); len(o.list(t)) != 1 || strings.Contains(string(o.body), secret) {
		t.Errorf("the hook tells its secret: %s", o.body)
	}
	// Redelivered under the same id; tried again while nobody answers.
	s.mu.Lock()
	s.fails = 2
	s.mu.Unlock()
	before := len(s.wait(t, 15))
	w.want(http.StatusAccepted, "mia", http.MethodPost, at+"/deliveries/"+jsonNumber(d["id"])+"/attempts", nil)
	if got := s.wait(t, before+1); got[before].guid != d["guid"] {
		t.Errorf("redelivered as %s, want %s", got[before].guid, d["guid"])
	}
	w.want(http.StatusNoContent, "mia", http.MethodPost, at+"/pings", nil)
	s.wait(t, before+2)
	w.want(http.StatusUnprocessableEntity, "mia", http.MethodPost, base+"/hooks", obj{"config": obj{"url": "file:///etc/passwd"}})
	w.want(http.StatusUnprocessableEntity, "mia", http.MethodPost, base+"/hooks", obj{"config": obj{}})
	w.want(http.StatusNoContent, "mia", http.MethodDelete, at, nil)
	w.want(http.StatusNotFound, "mia", http.MethodPost, at+"/pings", nil)
}
