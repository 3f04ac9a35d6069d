package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/hubship/hubship/internal/install"
)

// The whole way in, as a browser goes it: hubship, the forge's page, and back.
func TestSignInThroughTheEmbeddedForge(t *testing.T) {
	w := newWorld(t, nil)
	jar, err := cookiejar.New(nil)
	w.ok(err)
	b := &http.Client{Jar: jar}
	base := fmt.Sprintf("http://localhost:%d", w.settings.Port)
	open := func(res *http.Response, err error) (at, page string) {
		t.Helper()
		w.ok(err)
		defer func() { _ = res.Body.Close() }()
		raw := new(bytes.Buffer)
		_, err = raw.ReadFrom(res.Body)
		w.ok(err)
		return res.Request.URL.Path, raw.String()
	}
	req, err := http.NewRequest(http.MethodGet, base+"/runs", nil)
	w.ok(err)
	req.Header.Set("Accept", "text/html")
	if at, page := open(b.Do(req)); at != "/signin" || !strings.Contains(page, "Sign in with an account of the forge") {
		t.Fatalf("at %s:\n%s", at, page)
	}
	at, page := open(b.Get(base + "/signin/start?next=/nothing"))
	if at != "/forge/-/signin" {
		t.Fatalf("at %s:\n%s", at, page)
	}
	password, err := os.ReadFile(w.paths.ForgePassword)
	w.ok(err)
	_, next, ok := strings.Cut(page, `name="next" value="`)
	if !ok {
		t.Fatal(page)
	}
	next, _, _ = strings.Cut(next, `"`)
	next = strings.ReplaceAll(next, "&amp;", "&")
	at, page = open(b.PostForm(base+"/forge/-/signin", url.Values{"login": {"admin"}, "password": {strings.TrimSpace(string(password))}, "next": {next}}))
	if at != "/nothing" || !strings.Contains(page, "Sign out") {
		t.Fatalf("at %s:\n%s", at, page)
	}
	info, err := os.Stat(w.paths.OAuthSecret)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the client's secret has mode %v, %v", info.Mode(), err)
	}
	for _, c := range jar.Cookies(&url.URL{Scheme: "http", Host: fmt.Sprintf("datahub.localhost:%d", w.settings.Port), Path: "/"}) {
		t.Errorf("a hub gets the cookie %s", c.Name)
	}
}

// Browsers send the cookies of localhost to every port of it: a program of another
// user that waits on one has them, and opens nothing with them.
func TestCookiesOpenNothingForOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: it takes root to be somebody else")
	}
	w := newWorld(t, nil)
	jar, err := cookiejar.New(nil)
	w.ok(err)
	base := fmt.Sprintf("http://localhost:%d", w.settings.Port)
	// as asks with what the browser has, in a program of a user of the machine.
	as := func(user int, method, path string, form url.Values) (at, page string) {
		t.Helper()
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread() // never unlocked: the thread has another user's rights
				if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(user), ^uintptr(0)); e != 0 {
					err = e
					return
				}
				c, err = (&net.Dialer{}).DialContext(ctx, "tcp4", addr)
			}()
			<-done
			return c, err
		}}
		req, err := http.NewRequest(method, base+path, strings.NewReader(form.Encode()))
		w.ok(err)
		req.Header.Set("Accept", "text/html")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := (&http.Client{Jar: jar, Transport: transport}).Do(req)
		w.ok(err)
		defer func() { _ = res.Body.Close() }()
		raw, err := io.ReadAll(res.Body)
		w.ok(err)
		return res.Request.URL.Path, string(raw)
	}
	token := func(page string) string {
		_, rest, _ := strings.Cut(page, `name="form" value="`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	password, err := os.ReadFile(w.paths.ForgePassword)
	w.ok(err)
	const person, thief = 1000, 65534
	if at, page := as(person, http.MethodPost, "/forge/-/signin", url.Values{"login": {"admin"}, "password": {strings.TrimSpace(string(password))}}); !strings.Contains(page, "Sign out") {
		t.Fatalf("at %s:\n%s", at, page)
	}
	if at, page := as(person, http.MethodGet, "/signin/start?next=/nothing", nil); at != "/nothing" || !strings.Contains(page, "Sign out") {
		t.Fatalf("at %s:\n%s", at, page)
	}
	_, settings := as(person, http.MethodGet, "/forge/-/settings", nil)
	for path, want := range map[string]string{"/forge/-/settings": "/forge/-/signin", "/nothing": "/signin", "/signin/start": "/forge/-/signin"} {
		for _, user := range []int{thief, 0} { // root could ask the browser itself
			if at, page := as(user, http.MethodGet, path, nil); at != want {
				t.Errorf("%s as user %d: at %s:\n%s", path, user, at, page)
			}
		}
	}
	if _, page := as(thief, http.MethodPost, "/forge/-/settings/tokens", url.Values{"form": {token(settings)}, "name": {"x"}, "scope": {"repo"}, "days": {"1"}}); !strings.Contains(page, "You have been signed out") {
		t.Errorf("a form sent by another user:\n%s", page)
	}
	for _, path := range []string{"/forge/-/settings", "/nothing"} {
		if at, page := as(person, http.MethodGet, path, nil); at != path || !strings.Contains(page, "Sign out") {
			t.Errorf("the person's own session is over, at %s:\n%s", at, page)
		}
	}
}

// With GitHub the pages stay closed until there is a client to sign in with.
func TestSignInIsNotSetUp(t *testing.T) {
	there := newWorld(t, nil)
	_, token := there.account("bot", "maintainer", deployment)
	file := t.TempDir() + "/token"
	there.ok(os.WriteFile(file, []byte(token), 0o600))
	here := newWorld(t, func(s *install.Settings) {
		s.GitHub = &install.GitHub{URL: fmt.Sprintf("http://localhost:%d/api/v3/", there.settings.Port), Repository: "hubs/deployment", TokenFile: file}
	})
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://localhost:%d/", here.settings.Port), nil)
	here.ok(err)
	req.Header.Set("Accept", "text/html")
	res, err := http.DefaultClient.Do(req)
	here.ok(err)
	defer func() { _ = res.Body.Close() }()
	raw := make([]byte, 64<<10)
	n, _ := res.Body.Read(raw)
	if page := string(raw[:n]); res.Request.URL.Path != "/signin" || !strings.Contains(page, "--github-oauth-client-id") || strings.Contains(page, "deployment</") {
		t.Errorf("%s:\n%s", res.Request.URL, page)
	}
}
