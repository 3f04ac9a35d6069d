package github

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// authorized adds the credentials to requests to the API, and to no other
// host that a redirect may lead to.
type authorized struct {
	next http.RoundTripper
	host string
	who  credentials
}

func (t *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != t.host {
		return t.next.RoundTrip(r)
	}
	token, err := t.who.token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := t.next.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusUnauthorized && t.who.refused(token) {
		resp.Header.Set(renewedHeader, "true")
	}
	return resp, err
}

// renewedHeader marks an answer to a request that is worth to be sent again,
// with new credentials.
const renewedHeader = "X-Hubship-Renewed"

var errTooLong = errors.New("the answer is too long")

// bounded reads the whole answer within bounds, so that no one behind it waits
// for, or holds, more.
type bounded struct{ next http.RoundTripper }

func (t *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, errTooLong
	}
	resp.Header.Del(renewedHeader)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// Limits of the cache.
const (
	cacheEntries = 512
	cacheBytes   = 64 << 20
	cacheBody    = 8 << 20 // of one answer
)

// cache asks for what it has read before only if it changed. Such a question
// does not count against the rate limit when nothing did.
type cache struct {
	next http.RoundTripper

	mu      sync.Mutex
	entries *simplelru.LRU[string, cached]
	bytes   int
}

type cached struct {
	header http.Header
	etag   string
	body   []byte
}

func newCache(next http.RoundTripper) *cache {
	c := &cache{next: next}
	// The error is that of a size below one.
	c.entries, _ = simplelru.NewLRU(cacheEntries, func(_ string, e cached) { c.bytes -= len(e.body) })
	return c
}

func (c *cache) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.Header.Get("If-None-Match") != "" || r.Header.Get("Range") != "" {
		return c.next.RoundTrip(r)
	}
	key := r.URL.String() + "\n" + r.Header.Get("Accept")
	c.mu.Lock()
	old, have := c.entries.Get(key)
	c.mu.Unlock()
	if have {
		r = r.Clone(r.Context())
		r.Header.Set("If-None-Match", old.etag)
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch {
	case have && resp.StatusCode == http.StatusNotModified:
		return old.again(resp), nil
	case resp.StatusCode == http.StatusOK && resp.Header.Get("ETag") != "" && resp.ContentLength <= cacheBody:
		return resp, c.keep(key, resp)
	}
	return resp, nil
}

// again is the answer of old, with what the new one says of the rate limit.
func (e cached) again(now *http.Response) *http.Response {
	_ = now.Body.Close()
	header := e.header.Clone()
	for name, values := range now.Header {
		if name != "Content-Type" && name != "Content-Length" && name != "Content-Encoding" {
			header[name] = values
		}
	}
	resp := *now
	resp.StatusCode, resp.Status = http.StatusOK, "200 OK"
	resp.Header, resp.Body, resp.ContentLength = header, io.NopCloser(bytes.NewReader(e.body)), int64(len(e.body))
	return &resp
}

func (c *cache) keep(key string, resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.Remove(key)
	c.entries.Add(key, cached{header: resp.Header.Clone(), etag: resp.Header.Get("ETag"), body: body})
	c.bytes += len(body)
	for c.bytes > cacheBytes {
		c.entries.RemoveOldest()
	}
	return nil
}
