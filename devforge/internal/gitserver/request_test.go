package gitserver

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// raw sends a request as it is, with the token.
func (f *fixture) raw(method, path string, header http.Header, body io.Reader) (int, string) {
	f.t.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(f.url, "http://"), "/git/")
	req, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+host+"/", body)
	if err != nil {
		f.t.Fatal(err)
	}
	req.URL.Opaque = "//" + host + "/git/" + path // not cleaned
	for k, v := range header {
		req.Header[k] = v
	}
	req.SetBasicAuth("ada", f.token)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestPathsLeadNowhereElse(t *testing.T) {
	f := newFixture(t, nil)
	secret := filepath.Join(filepath.Dir(f.root), "other.git")
	f.git("", "init", "--quiet", "--bare", secret)
	if err := os.Symlink(secret, filepath.Join(f.root, "link.git")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"../other.git/info/refs?service=git-upload-pack",
		"%2e%2e/other.git/info/refs?service=git-upload-pack",
		"..%2fother.git/info/refs?service=git-upload-pack",
		"deployment.git/../../other.git/info/refs?service=git-upload-pack",
		"deployment.git/%2e%2e/deployment.git/config",
		"link.git/info/refs?service=git-upload-pack",
		"nothing.git/info/refs?service=git-upload-pack",
		"deployment.git/info/refs",
		"deployment.git/info/refs?service=git-upload-archive",
		"deployment.git/info/refs?service=../../sh",
		"deployment.git/config",
		"deployment.git/HEAD",
		"deployment.git/objects/info/packs",
		"deployment.git",
		"DEPLOYMENT.git/info/refs?service=git-upload-pack",
		"-c.git/info/refs?service=git-upload-pack",
		".git/info/refs?service=git-upload-pack",
	} {
		if status, text := f.raw(http.MethodGet, path, nil, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d\n%.200s", path, status, text)
		}
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodGet} {
		if status, _ := f.raw(method, "deployment.git/git-receive-pack", nil, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", method, status)
		}
	}
	if status, text := f.raw(http.MethodGet, "deployment.git/info/refs?service=git-upload-pack&x=%0aGIT_DIR=/etc", nil, nil); status != http.StatusOK || !strings.Contains(text, "refs/heads/staging") {
		t.Errorf("an honest request: %d\n%.200s", status, text)
	}
}

func TestHeadersSetNothing(t *testing.T) {
	f := newFixture(t, nil)
	plain := http.Header{}
	_, want := f.raw(http.MethodGet, "deployment.git/info/refs?service=git-upload-pack", plain, nil)
	for _, h := range []http.Header{
		{"Git-Protocol": {"version=2\nGIT_DIR=/tmp"}},
		{"Git-Protocol": {strings.Repeat("x", 5000)}},
		{"Git-Dir": {"/tmp"}, "Git-Config-Count": {"1"}, "Content-Length": {"0"}},
		{"Proxy": {"http://127.0.0.1:1"}, "Path-Info": {"/etc"}, "X-Forwarded-For": {"\x01"}},
	} {
		h.Del("X-Forwarded-For")
		for k, v := range h { // what Go would refuse to send proves nothing
			h[k] = []string{strings.ReplaceAll(v[0], "\n", " ")}
		}
		if status, got := f.raw(http.MethodGet, "deployment.git/info/refs?service=git-upload-pack", h, nil); status != http.StatusOK || got != want {
			t.Errorf("%v: %d, answer changed: %v", h, status, got != want)
		}
	}
}

func TestGzipBody(t *testing.T) {
	f := newFixture(t, nil)
	request := "0014command=ls-refs\n0000"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(z, request); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	h := http.Header{"Git-Protocol": {"version=2"}, "Content-Type": {"application/x-git-upload-pack-request"}, "Content-Encoding": {"gzip"}}
	status, got := f.raw(http.MethodPost, "deployment.git/git-upload-pack", h, &zipped)
	if status != http.StatusOK || !strings.Contains(got, "refs/heads/staging") {
		t.Errorf("gzip: %d\n%s", status, got)
	}
	h.Set("Content-Encoding", "br")
	if status, _ = f.raw(http.MethodPost, "deployment.git/git-upload-pack", h, strings.NewReader(request)); status != http.StatusBadRequest {
		t.Errorf("an unknown encoding: %d", status)
	}
	h.Set("Content-Encoding", "gzip")
	if status, _ = f.raw(http.MethodPost, "deployment.git/git-receive-pack", h, strings.NewReader(request)); status != http.StatusBadRequest {
		t.Errorf("what is not gzip: %d", status)
	}
}

// A client that waits to be asked for the body is always asked: git begins its
// answer before it reads.
func TestClientIsAskedForTheBody(t *testing.T) {
	f := newFixture(t, nil)
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"deployment.git/git-upload-pack", strings.NewReader("0014command=ls-refs\n0000"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Git-Protocol": {"version=2"}, "Content-Type": {"application/x-git-upload-pack-request"}, "Expect": {"100-continue"}}
		req.SetBasicAuth("ada", f.token)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		cancel()
		if err = errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(got), "refs/heads/staging") {
			t.Fatalf("%s, %v\n%s", res.Status, err, got)
		}
	}
}

func TestBrokenPushes(t *testing.T) {
	f := newFixture(t, nil)
	zero, some := strings.Repeat("0", 40), strings.Repeat("a", 40)
	for name, body := range map[string]string{
		"no packets":     "hello, this is no push",
		"cut off":        "00",
		"a bad length":   "0003",
		"a long length":  "fff0" + zero,
		"not a command":  "000bnothing",
		"a short id":     "0020" + zero[:20] + " " + some[:6],
		"no end of list": "0066" + zero + " " + some + " refs/heads/x",
	} {
		if status, text := f.raw(http.MethodPost, "deployment.git/git-receive-pack", nil, strings.NewReader(body)); status != http.StatusBadRequest {
			t.Errorf("%s: %d\n%.200s", name, status, text)
		}
	}
	if len(f.pushed()) != 0 {
		t.Errorf("announced %v", f.pushed())
	}
}

// Git's answer arrives in pieces of any size; what the client gets is the same:
// what is said for people at once, and a report of the server's own at the end.
func TestReportInPieces(t *testing.T) {
	packet := func(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }
	git := packet("unpack ok\n") + packet("ok refs/hubship/incoming/x/0\n") + packet("ng refs/hubship/incoming/x/1 bad object\n") + "0000"
	words := packet("\x02Resolving deltas\n")
	for name, c := range map[string]struct {
		sideband     bool
		answer, want string
		unpack       string
	}{
		"with side bands": {true, words + packet("\x01"+git[:20]) + packet("\x01") + packet("\x01"+git[20:]) + "0000", words + packet("\x02one line\n") + "REPORT", "ok"},
		"without":         {false, git, "REPORT", "ok"},
		"cut off":         {true, packet("\x01" + git)[:30], packet("\x02one line\n") + "REPORT", ""},
		"not packets":     {false, "fatal: no such thing", "REPORT", ""},
		"nothing":         {false, "", "REPORT", ""},
	} {
		for _, size := range []int{1, 2, 3, 5, 7, 64, 10_000} {
			rec := httptest.NewRecorder()
			w := &reportWriter{ResponseWriter: rec, header: rec.Header(), sideband: c.sideband}
			w.WriteHeader(http.StatusOK)
			for rest := c.answer; rest != ""; {
				n := min(size, len(rest))
				if m, err := io.WriteString(w, rest[:n]); m != n || err != nil {
					t.Fatalf("Write() = %d, %v", m, err)
				}
				rest = rest[n:]
			}
			unpack, failed := w.said()
			if unpack != c.unpack || (failed["refs/hubship/incoming/x/1"] == "bad object") != (c.unpack == "ok") || failed["refs/hubship/incoming/x/0"] != "" {
				t.Errorf("%s in pieces of %d: unpack %q, failed %v", name, size, unpack, failed)
			}
			w.finish([]byte("REPORT"), []string{"one\nline"})
			if got := rec.Body.String(); got != c.want {
				t.Errorf("%s in pieces of %d:\n%q, want\n%q", name, size, got, c.want)
			}
		}
	}
}
