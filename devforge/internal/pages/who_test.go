package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/store"
)

// Every page, asked by nobody, by somebody whose account was disabled since, and
// by a contributor without the token of a form: shown or not as its rule says.
func TestWhoMaySee(t *testing.T) {
	f := start(t)
	gone := f.Account(store.NewAccount{Login: "gone", Role: store.Maintainer, Password: password})
	disabled := f.signedIn("gone")
	f.ok(f.Host.Store.SetDisabled(t.Context(), gone.ID, true))
	carl := f.signedIn("carl")
	values := strings.NewReplacer("{$}", "", "{owner}", "hubs", "{repo}", "deployment", "{path...}", "staging", "{sha}", f.base, "{spec...}", "staging...prod", "{number}", "1", "{what}", "merge", "{id}", "1")
	for pattern, rule := range authority.Pages {
		method, path, _ := strings.Cut(pattern, " ")
		for who, b := range map[string]*browser{"nobody": f.browser(), "disabled": disabled, "carl": carl} {
			req, err := http.NewRequestWithContext(t.Context(), method, f.URL+"/forge"+values.Replace(path), strings.NewReader(url.Values{"login": {"x"}}.Encode()))
			f.ok(err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			client := *b.http
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			res, err := client.Do(req)
			f.ok(err)
			_ = res.Body.Close()
			signIn := res.StatusCode == http.StatusSeeOther && strings.Contains(res.Header.Get("Location"), "/-/signin")
			open := rule.Role == authority.Nobody
			switch {
			case method == http.MethodPost && res.StatusCode != http.StatusForbidden: // without a form's token, or with a wrong password
				t.Errorf("%s as %s: %d", pattern, who, res.StatusCode)
			case method == http.MethodGet && !open && who != "carl" && !signIn:
				t.Errorf("%s as %s: %d, want to be asked to sign in", pattern, who, res.StatusCode)
			case method == http.MethodGet && (open || who == "carl") && (signIn || res.StatusCode == http.StatusUnauthorized || res.StatusCode >= 500):
				t.Errorf("%s as %s: %d, want it shown", pattern, who, res.StatusCode)
			}
		}
	}
}
