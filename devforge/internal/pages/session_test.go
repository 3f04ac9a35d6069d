package pages_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/pages"
	"github.com/hubship/hubship/devforge/internal/store"
)

// What opens a session is of this host alone: not of a hub, which may be another
// host of the same domain and sets cookies for all of it.
func TestCookies(t *testing.T) {
	f := start(t)
	for name, secure := range map[string]bool{"hubship_forge": false, "__Host-hubship_forge": true} {
		handler, err := pages.New(pages.Options{Host: f.Host, API: f.API, URL: f.URL + "/forge", APIURL: f.URL + "/api/v3", GitURL: f.URL + "/git", Secure: secure})
		f.ok(err)
		ask := func(method, path string, form url.Values, cookies ...*http.Cookie) *http.Response {
			req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form.Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, c := range cookies {
				req.AddCookie(c)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, req)
			return w.Result()
		}
		signIn := func(login string, cookies ...*http.Cookie) *http.Cookie {
			got := ask(http.MethodPost, "/forge/-/signin", url.Values{"login": {login}, "password": {password}}, cookies...).Cookies()
			if len(got) != 1 {
				t.Fatalf("cookies %v", got)
			}
			return got[0]
		}
		opens := func(cookies ...*http.Cookie) bool {
			page := ask(http.MethodGet, "/forge/", nil, cookies...).StatusCode == http.StatusOK
			req := httptest.NewRequest(http.MethodGet, "/", nil)
			for _, c := range cookies {
				req.AddCookie(c)
			}
			_, _, err := pages.Visitor(f.Host.Store, secure, req)
			if page != (err == nil) {
				t.Errorf("%v: a page says %v, the way in to hubship says %v", cookies, page, err)
			}
			return page
		}
		mia := signIn("mia")
		if mia.Name != name || mia.Domain != "" || mia.Secure != secure || !mia.HttpOnly || mia.SameSite != http.SameSiteLaxMode || secure && mia.Path != "/" {
			t.Errorf("secure %v: %v", secure, mia)
		}
		carl := signIn("carl")
		if !opens(mia) || !opens(carl) {
			t.Fatal("nobody has signed in")
		}
		// A hub's page may put a cookie beside it that is sent first.
		if opens(carl, mia) || opens(mia, carl) || opens(mia, mia) {
			t.Error("one of several cookies counts")
		}
		for _, other := range []string{"hubship_forge", "__Host-hubship_forge", "hubship_session"} {
			if other != name && opens(&http.Cookie{Name: other, Value: mia.Value}) {
				t.Errorf("%s opens a session where it is called %s", other, name)
			}
		}
		if again := signIn("carl", mia); opens(mia) || !opens(again) {
			t.Error("a session outlives that somebody else signs in in the same browser")
		}
		if _, _, err := f.Host.Store.Session(t.Context(), ""); err == nil || !strings.Contains(err.Error(), store.ErrDenied.Error()) {
			t.Errorf("nothing opens a session: %v", err)
		}
	}
}
