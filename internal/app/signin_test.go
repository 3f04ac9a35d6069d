package app

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
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
