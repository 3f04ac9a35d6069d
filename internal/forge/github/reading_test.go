package github

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
)

func TestUnchangedIsNotReadTwice(t *testing.T) {
	s := newServer(t)
	body, tag := onePull, `W/"one"`
	s.on("GET /pulls/7", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, body)
	})
	c := s.client()
	var last forge.PullRequest
	for i := range 3 {
		p, err := c.PullRequest(t.Context(), 7)
		if err != nil || p.Title != "Add numpy" {
			t.Fatalf("%+v, %v", p, err)
		}
		if got := s.requests()[i].Header.Get("If-None-Match"); (got == tag) != (i > 0) {
			t.Errorf("request %d: If-None-Match: %q", i, got)
		}
	}
	body, tag = strings.Replace(onePull, "numpy", "scipy", 1), `"two"`
	if last, _ = c.PullRequest(t.Context(), 7); last.Title != "Add scipy" {
		t.Errorf("what changed was not read: %q", last.Title)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c := newCache(&bounded{next: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Header().Set("ETag", `"x"`)
		_, _ = w.Write(make([]byte, cacheBody))
		return w.Result(), nil
	})})
	for i := range 3 * cacheBytes / cacheBody {
		resp, err := c.RoundTrip(httptest.NewRequest(http.MethodGet, fmt.Sprintf("http://forge/%d", i), nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if c.bytes > cacheBytes || c.bytes != c.entries.Len()*cacheBody {
		t.Errorf("%d bytes in %d entries", c.bytes, c.entries.Len())
	}
}

func TestLongListsAreReadWhole(t *testing.T) {
	s := newServer(t)
	s.on("GET /pulls/7/files", paged(s, 523, func(i int) string {
		return fmt.Sprintf(`{"filename": "f%d", "status": "added", "additions": 1}`, i)
	}, true))
	c := s.client()
	for range 2 { // the second time from the cache, with the links
		files, err := c.Files(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != 523 || files[522].Path != "f522" || files[0].Status != forge.FileAdded {
			t.Errorf("%d files", len(files))
		}
	}
}

func TestAListThatDoesNotEndIsNoList(t *testing.T) {
	s := newServer(t)
	s.on("GET /issues/7/comments", paged(s, 1<<30, func(i int) string { return fmt.Sprintf(`{"id": %d}`, i) }, false))
	if _, err := s.client().Comments(t.Context(), 7); !errors.Is(err, forge.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if n := len(s.requests()); n != maxPages {
		t.Errorf("%d requests", n)
	}
}

func TestPollFindsWhatChanged(t *testing.T) {
	s := newServer(t)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s.on("GET /pulls", paged(s, 1000, func(i int) string { // each a minute older
		return fmt.Sprintf(`{"number": %d, "state": "closed", "updated_at": %q}`, 1000-i, noon.Add(-time.Duration(i)*time.Minute).Format(time.RFC3339))
	}, false))
	s.on("GET /branches", answer(200, `[{"name": "staging", "commit": {"sha": "`+commitA+`"}}]`))
	s.on("GET ", answer(200, `{"default_branch": "staging"}`))
	found, err := s.client().Poll(t.Context(), noon.Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(found.PullRequests) != 121 || !found.Next.Equal(noon) || found.Branches["staging"] != commitA || found.Default != "staging" {
		t.Errorf("%d pull requests, next %v, branches %v", len(found.PullRequests), found.Next, found.Branches)
	}
	if q := s.requests()[0].URL.Query(); q.Get("state") != "all" || q.Get("sort") != "updated" || q.Get("direction") != "desc" {
		t.Errorf("asked for %v", q)
	}
	if n := len(s.requests()); n != 4 {
		t.Errorf("%d requests", n)
	}
}

func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	endless := &bounded{next: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(zeros{})}, nil
	})}
	c, err := New(Options{Repository: hubs, Token: secretToken, Transport: endless})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.PullRequest(t.Context(), 7); !errors.Is(err, forge.ErrInvalid) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%v", err)
	}
}

// paged serves items 0 to total-1 in pages, as many as are asked for.
func paged(s *server, total int, item func(i int) string, tag bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
		var items []string
		for i := (page - 1) * size; i < min(page*size, total); i++ {
			items = append(items, item(i))
		}
		if page*size < total {
			q := r.URL.Query()
			q.Set("page", strconv.Itoa(page+1))
			w.Header().Set("Link", fmt.Sprintf(`<%s%s?%s>; rel="next"`, s.URL, r.URL.Path, q.Encode()))
		}
		if etag := fmt.Sprintf("%q", r.URL.RawQuery); tag {
			w.Header().Set("ETag", etag)
			if r.Header.Get("If-None-Match") == etag {
				w.Header().Del("Link") // it is not repeated
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		_, _ = io.WriteString(w, "["+strings.Join(items, ",")+"]")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
