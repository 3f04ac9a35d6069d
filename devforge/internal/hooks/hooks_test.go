package hooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubship/hubship/devforge/internal/store"
)

// post is a database with a hook and a Sender that runs until it is stopped.
type post struct {
	t      *testing.T
	store  *store.Store
	sender *Sender
	hook   store.Hook
	stop   func()
}

func newPost(t *testing.T, address, contentType string) *post {
	t.Helper()
	ctx := t.Context()
	s, err := store.Open(ctx, filepath.Join(t.TempDir(), "forge.db"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.CreateAccount(ctx, store.NewAccount{Login: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	r := store.Repository{Owner: a.ID, Name: "d", Dir: "d", DefaultBranch: "staging"}
	if err := s.AddRepository(ctx, &r); err != nil {
		t.Fatal(err)
	}
	p := &post{t: t, store: s, hook: store.Hook{Repository: r.ID, URL: address, ContentType: contentType, Secret: "s", Events: "push,status", Active: true}}
	if err := s.AddHook(ctx, &p.hook); err != nil {
		t.Fatal(err)
	}
	p.run()
	t.Cleanup(func() {
		p.stop()
		_ = s.Close()
	})
	return p
}

func (p *post) run() {
	p.sender = New(p.store, []time.Duration{5 * time.Millisecond, 10 * time.Millisecond}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); p.sender.Run(ctx) }()
	p.stop = func() { cancel(); <-done }
}

// settled queues an event and returns what became of it.
func (p *post) settled() store.Delivery {
	p.t.Helper()
	d, err := p.sender.Queue(p.t.Context(), p.hook, "push", "", []byte(`{"a":"<&>"}`), "")
	if err != nil {
		p.t.Fatal(err)
	}
	return p.wait(d.ID)
}

func (p *post) wait(id int64) store.Delivery {
	p.t.Helper()
	for range 500 {
		d, err := p.store.Delivery(p.t.Context(), p.hook.ID, id)
		if err != nil {
			p.t.Fatal(err)
		}
		if d.Due.IsZero() {
			return d
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatal("the delivery does not end")
	return store.Delivery{}
}

func TestForm(t *testing.T) {
	var body, signature, kind atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		body.Store(string(raw))
		signature.Store(r.Header.Get("X-Hub-Signature-256"))
		kind.Store(r.Header.Get("Content-Type"))
	}))
	defer srv.Close()
	if d := newPost(t, srv.URL, "form").settled(); d.Code != 200 || d.Status != "OK" || d.Attempts != 1 {
		t.Errorf("%+v", d)
	}
	m := hmac.New(sha256.New, []byte("s"))
	m.Write([]byte(body.Load().(string)))
	values, err := url.ParseQuery(body.Load().(string))
	if err != nil || values.Get("payload") != `{"a":"<&>"}` || signature.Load() != "sha256="+hex.EncodeToString(m.Sum(nil)) || kind.Load() != "application/x-www-form-urlencoded" {
		t.Errorf("%v, %v, %v, %v", body.Load(), signature.Load(), kind.Load(), err)
	}
}

func TestAttempts(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		attempts int64
	}{"broken": {500, 3}, "busy": {429, 3}, "refused for good": {404, 1}, "a redirect is not followed": {302, 1}} {
		var asked atomic.Int64
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
		}))
		d := newPost(t, srv.URL, "json").settled()
		srv.Close()
		if d.Attempts != c.attempts || asked.Load() != c.attempts || d.Code != int64(c.status) || d.Status == "OK" {
			t.Errorf("%s: asked %d times, %+v", name, asked.Load(), d)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	d := newPost(t, srv.URL+"/?key=hidden", "json").settled()
	if d.Attempts != 3 || d.Code != 0 || strings.Contains(d.ResBody+d.Status, "hidden") {
		t.Errorf("%+v", d)
	}
}

// What was queued and not sent when the process ended is sent by the next one.
func TestNextProcess(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	p := newPost(t, srv.URL, "json")
	p.stop()
	d, err := p.sender.Queue(t.Context(), p.hook, "push", "", []byte(`{}`), "")
	if err != nil {
		t.Fatal(err)
	}
	p.run()
	if d = p.wait(d.ID); d.Code != 200 {
		t.Errorf("%+v", d)
	}
}

func TestWants(t *testing.T) {
	h := store.Hook{Events: "push,status", Active: true}
	idle := store.Hook{Events: "*"}
	if !Wants(h, "push") || Wants(h, "pull_request") || !Wants(h, "ping") || Wants(idle, "push") || !Wants(idle, "ping") {
		t.Error("who wants what")
	}
}
