package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/server/signin"
	"github.com/hubship/hubship/internal/store"
)

// people are a forge's: who they are is what their code and token say.
type people struct {
	mu   sync.Mutex
	may  map[string]forge.Permission // by login
	gone map[string]bool             // tokens
	n    int
	down bool
}

func (p *people) AuthorizeURL(redirect, state, challenge string) string {
	return "https://forge.example.org/login/oauth/authorize?" + url.Values{"redirect_uri": {redirect}, "state": {state}, "code_challenge": {challenge}}.Encode()
}

func (p *people) Exchange(_ context.Context, _, code, _ string) (forge.UserToken, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.may[code]; !ok {
		return forge.UserToken{}, fmt.Errorf("code: %w", forge.ErrForbidden)
	}
	p.n++
	return forge.UserToken{Secret: fmt.Sprintf("%s/%d", code, p.n)}, nil
}

func (p *people) Person(_ context.Context, token string) (forge.Person, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return forge.Person{}, forge.ErrUnavailable
	}
	if p.gone[token] {
		return forge.Person{}, forge.ErrSignedOut
	}
	login := filepath.Dir(token)
	return forge.Person{ID: int64(len(login)), Login: login}, nil
}

func (p *people) Granted(_ context.Context, who forge.Person) (forge.Permission, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return forge.None, forge.ErrUnavailable
	}
	return p.may[who.Login], nil
}

func (p *people) Revoke(_ context.Context, token string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone[token] = true
	return nil
}

// everybody are people with each permission, by its name.
func everybody() *people {
	p := &people{may: map[string]forge.Permission{}, gone: map[string]bool{}}
	for _, may := range []forge.Permission{forge.None, forge.Read, forge.Triage, forge.Write, forge.Maintain, forge.Admin} {
		p.may[string(may)] = may
	}
	return p
}

// door is the way in for people, at an address.
func door(t testing.TB, p forge.SignIn, history *store.Store, at string) *signin.Sessions {
	t.Helper()
	s, err := signin.New(signin.Options{Forge: p, Title: "the forge", Keep: history, URL: &url.URL{Scheme: "http", Host: at}, Name: "test", Fresh: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// browser keeps cookies, and goes where it is sent unless that is the forge.
func browser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// signIn walks the whole way in at the server's address, as a person.
func (r *running) signIn(t testing.TB, login string) *http.Client {
	t.Helper()
	b := browser(t)
	if res := r.tryIn(t, b, login); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in as %s: %s", login, res.Status)
	}
	return b
}

func (r *running) tryIn(t testing.TB, b *http.Client, login string) *http.Response {
	t.Helper()
	res := visit(t, b, "http://"+r.addr+"/signin/start?here=1&next=%2Fruns")
	to, err := res.Location()
	if err != nil {
		t.Fatalf("the way to the forge: %s %v", res.Status, err)
	}
	return visit(t, b, "http://"+r.addr+"/signin/callback?"+url.Values{"code": {login}, "state": {to.Query().Get("state")}}.Encode())
}

func visit(t testing.TB, b *http.Client, at string) *http.Response {
	t.Helper()
	res, err := b.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}
